import type { AgentStatus } from '@twinwatch/core/wire/status';
import { describe, expect, it } from 'vitest';
import {
  type AgentState,
  type CurrentRound,
  type FederationState,
  INITIAL_STATE,
} from '../aggregator/rounds/round-state.js';
import { agentView, phaseView, type Snapshot, serverState } from './views.js';

const agent = (change: object = {}) => ({
  ...{ online: true, connectionId: 'c', compatible: true, detail: '', eligibleRows: 300, calibrated: true },
  ...{ lastRound: 3, rejectedUpdates: 1, strikes: [], quarantinedAtMs: null, ...change },
});
const ROUND: CurrentRound = {
  ...{ round: 4, attempt: 1, step: 'collecting', pausing: false, before: null, baseHash: 'g3', asked: ['a', 'b'] },
  ...{
    accepted: [{ agent: 'a', rows: 10 }],
    rejected: [],
    refused: [],
    leftOut: [],
    remarks: [],
    bytesUp: 20,
    bytesDown: 80,
    traffic: {},
    startedAtMs: 7,
  },
};
const RUNNING: FederationState = {
  ...INITIAL_STATE,
  agents: { a: agent(), b: agent({ online: false }) },
  lineageHash: 'L',
  committed: 3,
  current: ROUND,
};
const SNAPSHOT: Snapshot = {
  ...{
    federation: 'test',
    machine: { method: 'cwa', count: 10, quorum: 2, minimumRows: 1 },
    twinProgress: null,
    tags: null,
  },
  ...{
    state: RUNNING,
    statuses: new Map(),
    telemetry: new Map(),
    closedRounds: [],
    model: null,
    alarms: [],
    decisions: [],
    refused: new Map(),
    registry: null,
    certificates: [],
  },
};
const phase = (state: FederationState | null, twinProgress: number | null = null) =>
  phaseView({ ...SNAPSHOT, state, twinProgress });

describe('views', () => {
  it('put the open round after the closed ones, in place of its own failed attempt', () => {
    const closed = { round: 3, phase: 'committed' } as Snapshot['closedRounds'][number];
    const { rounds } = serverState({ ...SNAPSHOT, closedRounds: [closed, { ...closed, round: 4, phase: 'failed' }] });
    expect(rounds).toMatchObject([
      { round: 3, phase: 'committed' },
      { round: 4, phase: 'collecting', accepted: ['a'], milliseconds: null },
    ]);
  });

  it('know agents by their status alone, too', () => {
    const status = { online: true } as AgentStatus;
    const { agents } = serverState({ ...SNAPSHOT, statuses: new Map([['new', status]]) });
    expect(agents.map(({ id, eligibleRows, lastRound }) => [id, eligibleRows, lastRound])).toEqual([
      ['a', 300, 3],
      ['b', 300, 3],
      ['new', 0, null],
    ]);
  });

  it('tell of an agent that is here why it takes no part', () => {
    const of = (one: AgentState) => {
      const state = { ...INITIAL_STATE, agents: { a: one } };
      return agentView('a', { state, statuses: new Map(), telemetry: new Map() }).unfit;
    };
    const unfit = { compatible: false, detail: 'upgrade it', codecs: [] };
    expect(of(agent(unfit))).toBe('upgrade it');
    expect(of(agent({ ...unfit, online: false }))).toBeUndefined();
    expect(of(agent({}))).toBeUndefined();
  });

  it('tell whose messages were refused, most first', () => {
    const of = (count: number) => ({
      ...{ count, byCode: { WIRE_REPLAYED: count } },
      last: { code: 'WIRE_REPLAYED' as const, detail: 'not newer', atMs: 1 },
    });
    const refused = new Map([
      ['a', of(2)],
      ['b', of(7)],
    ]);
    expect(serverState({ ...SNAPSHOT, refused }).refusedMessages).toEqual([
      { sender: 'b', ...of(7) },
      { sender: 'a', ...of(2) },
    ]);
  });

  it('tell who is in quarantine, since when and why, and count nobody on it', () => {
    const strike = { round: 3, attempt: 1, verdict: 'too-large', detail: 'norm 9', atMs: 5 } as const;
    const agents = { a: agent({ strikes: [strike], quarantinedAtMs: 5 }), b: agent({ strikes: [strike] }) };
    const state = { ...RUNNING, agents, current: { ...ROUND, step: 'waiting' as const } };
    const view = serverState({ ...SNAPSHOT, state });
    const { attempt: _, ...reason } = strike;
    expect(view.agents.map(({ quarantine }) => quarantine)).toEqual([{ sinceMs: 5, reasons: [reason] }, null]);
    expect(view.activity).toBe('round 4 of 10 waits for agents: 1 of at least 2 are here (a: in quarantine)');
  });

  it('say in words what is waited for', () => {
    expect(phase(null, 0.4)).toEqual({ phase: 'simulating-twin', activity: 'simulating the twin', progress: 0.4 });
    const unfit = { ...INITIAL_STATE, agents: { a: agent({ compatible: false, detail: 'lacks the tags X' }) } };
    expect(phase(unfit).activity).toBe('waiting for agents: 0 of at least 2 are here (a: lacks the tags X)');
    const some = { ...INITIAL_STATE, agents: { a: agent(), b: agent({ calibrated: false }) } };
    expect(phase(some)).toMatchObject({ phase: 'calibrating', progress: 0.5 });
    expect(phase(RUNNING)).toMatchObject({ phase: 'rounds', activity: 'round 4 of 10: 1 of 2 updates are here' });
    expect(phase({ ...RUNNING, current: { ...ROUND, step: 'waiting' } }).activity).toMatch(
      /waits for agents: 1 of at least 2/,
    );
    expect(phase({ ...RUNNING, current: null, committed: 10, releaseFailure: 'why' })).toMatchObject({
      phase: 'finished',
      activity: '10 rounds are done; its release failed: why',
    });
  });
});
