import { roundsConfig } from '@twinwatch/core/config/server';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_NORMS } from './defence.js';
import { step } from './round-machine.js';
import {
  type Effect,
  type FederationEvent,
  type FederationState,
  INITIAL_STATE,
  type MachineConfig,
  restoredState,
} from './round-state.js';
import type { ClosedRound } from './step.js';

const CONFIG: MachineConfig = {
  ...roundsConfig.parse({ method: 'fedavg', count: 2, quorum: 2, deadline: '1s', twinEpochs: 1 }),
  seed: 1,
  layerCount: 3,
  parameterBytes: 400,
};
const AGGREGATED = { type: 'aggregated', twinHash: 'g0', optimizer: null, leftOut: [], remarks: [] } as const;
const VALIDATION = { loss: 0.5, rocAuc: 0.8, prAuc: 0.6 };

class Federation {
  state: FederationState = INITIAL_STATE;
  effects: readonly Effect[] = [];
  closed: ClosedRound[] = [];
  readonly config: MachineConfig;

  constructor(config: Partial<MachineConfig> = {}) {
    this.config = { ...CONFIG, ...config };
  }

  on(event: FederationEvent): this {
    const before = JSON.stringify(this.state);
    const frozen = this.state;
    const next = step(this.state, event, this.config, 5_000);
    expect(JSON.stringify(frozen)).toBe(before);
    this.state = next.state;
    this.effects = next.effects;
    this.closed.push(...next.closed);
    return this;
  }

  hello(...agents: string[]): this {
    for (const agent of agents) {
      this.on({ type: 'hello', agent, compatible: true, detail: '', eligibleRows: 500, codecs: ['f32'] });
    }
    return this;
  }

  offline(agent: string, connectionId = 'c1'): this {
    return this.on({ type: 'status', agent, online: false, connectionId });
  }

  online(agent: string, connectionId = 'c1'): this {
    return this.on({ type: 'status', agent, online: true, connectionId });
  }

  /** Three agents, lineage frozen, round 1 collecting. */
  started(...agents: string[]): this {
    this.hello(...agents);
    for (const agent of agents) this.on({ type: 'calibration', agent });
    expect(this.types()).toEqual(['freeze-lineage']);
    return this.on({ type: 'lineage-frozen', lineageHash: 'L', globalHash: 'g0', twinHash: 'g0' });
  }

  update(agent: string, change: Partial<Extract<FederationEvent, { type: 'update' }>['update']> = {}): this {
    const { current, release } = this.state;
    const open = current ?? release;
    const base = current?.baseHash ?? release?.candidate.parametersHash ?? 'none';
    return this.on({
      type: 'update',
      verdict: 'accepted',
      detail: '',
      norm: current === null ? null : 1,
      update: {
        ...{ agent, round: open?.round ?? 9, attempt: open?.attempt ?? 1, kind: current === null ? 'evaluate' : 'fit' },
        ...{ baseHash: base, rows: 100, bytes: 50, ...change },
      },
    });
  }

  aggregated(hash: string): this {
    return this.on({ ...AGGREGATED, globalHash: hash });
  }

  types(): string[] {
    return this.effects.map(({ type }) => type);
  }

  verdict(): string | undefined {
    const receipt = this.effects.find((effect) => effect.type === 'receipt');
    return receipt?.verdict;
  }
}

const TEACHER = { hash: 'T', bytes: 90, codec: 'int8' } as const;

describe('round machine', () => {
  it('trains a teacher once, whatever becomes of the round, and counts its bytes once for each agent', () => {
    const f = new Federation({ method: 'dtkd', count: 3 }).started('a', 'b');
    const effect = { type: 'fit-twin', from: 'twin', epochs: 5, isTeacher: true };
    expect(f.effects).toEqual([effect]);
    f.state = restoredState(JSON.stringify(f.state));
    expect(f.on({ type: 'resumed' }).effects).toEqual([effect]);
    f.on({ type: 'twin-fitted', twinHash: 't1', teacher: TEACHER });
    expect(f.state).toMatchObject({ twinHash: 't1', teacher: TEACHER, current: { baseHash: 'g0', bytesDown: 980 } });
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.state.current).toMatchObject({ attempt: 2, step: 'collecting', bytesDown: 1_780 });
    f.hello('c').update('a').update('b').aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    expect(f.state).toMatchObject({ teacher: TEACHER, current: { round: 2, step: 'collecting', bytesDown: 1_290 } });
  });

  it('goes on from a state of before there were teachers', () => {
    const { teacher: _, ...old } = new Federation().started('a', 'b').state;
    expect(restoredState(JSON.stringify(old)).teacher).toBeNull();
  });

  it('forgets the best round once people have said what rows were, and releases one that knows of it', () => {
    const f = new Federation().started('a', 'b');
    f.update('a').update('b').aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    f.on({ type: 'labels-changed' });
    expect(f.state.best).toBeNull();
    const worse = { ...VALIDATION, prAuc: 0.3 };
    f.update('a').update('b').aggregated('g2').on({ type: 'validated', validation: worse });
    expect(f.state.release?.candidate).toEqual({ round: 2, parametersHash: 'g2', validation: worse });
    const before = f.state;
    f.on({ type: 'labels-changed' }).on({ type: 'labels-changed' });
    expect(f.state).toEqual({ ...before, best: null, acceptedNorms: NO_NORMS });
  });

  it('calibrates, runs every round, releases the best, and finishes', () => {
    const f = new Federation().started('a', 'b', 'c');
    expect(f.effects).toEqual([
      { type: 'send-fit', agents: ['a', 'b', 'c'] },
      { type: 'arm-deadline', round: 1, attempt: 1, ms: 1_000 },
    ]);
    f.update('a').update('b');
    expect(f.types()).toEqual(['receipt']);
    expect(f.update('c').types()).toEqual(['receipt', 'aggregate']);
    expect(f.aggregated('g1').types()).toEqual(['validate']);
    f.on({ type: 'validated', validation: VALIDATION });
    expect(f.closed[0]).toMatchObject({ committed: true, round: { round: 1, bytesUp: 150, bytesDown: 1_200 } });
    expect(f.state.current).toMatchObject({ round: 2, step: 'collecting', baseHash: 'g1' });
    f.update('a')
      .update('b')
      .update('c')
      .aggregated('g2')
      .on({ type: 'validated', validation: { ...VALIDATION, prAuc: 0.5 } });
    expect(f.types()).toEqual(['send-evaluate', 'arm-deadline']);
    expect(f.state.release).toMatchObject({ round: 2, attempt: 2, candidate: { round: 1, parametersHash: 'g1' } });
    f.update('a').update('b');
    expect(f.update('c').types()).toEqual(['receipt', 'release']);
    f.on({ type: 'released', parametersHash: 'g1', modelVersion: 'v1' });
    expect(f.state).toMatchObject({ committed: 2, current: null, release: null, released: { modelVersion: 'v1' } });
  });

  it('sends Θ_tw down in odd rounds of CWA, after the twin has trained', () => {
    const f = new Federation({ method: 'cwa' }).started('a', 'b');
    f.update('a')
      .update('b')
      .on({ ...AGGREGATED, globalHash: 'g1', twinHash: 'g1' });
    expect(f.on({ type: 'validated', validation: VALIDATION }).types()).toEqual(['fit-twin']);
    f.on({ type: 'twin-fitted', twinHash: 't1' });
    expect(f.state.current).toMatchObject({ step: 'collecting', baseHash: 't1' });
  });

  it('answers each wrong update with its reason and counts none of them', () => {
    const f = new Federation().started('a', 'b', 'c');
    expect(f.update('a', { round: 7 }).verdict()).toBe('stale-round');
    expect(f.update('a', { baseHash: 'x' }).verdict()).toBe('wrong-base');
    expect(f.update('nobody').verdict()).toBe('unknown-agent');
    expect(f.state.current?.accepted).toEqual([]);
    expect(f.update('b').verdict()).toBe('accepted');
    expect(f.update('b').verdict()).toBe('duplicate');
    expect(f.state.current?.accepted).toEqual([{ agent: 'b', rows: 100 }]);
    expect(f.state.agents.a?.rejectedUpdates).toBe(2);
  });

  it('does not wait for an agent whose last will arrived, nor for one whose update was refused', () => {
    const f = new Federation().online('a').online('b').online('c').started('a', 'b', 'c');
    f.update('a').update('b');
    expect(f.offline('c').types()).toEqual(['aggregate']);
    const g = new Federation().started('a', 'b', 'c').update('a').update('b');
    g.on({
      type: 'update',
      verdict: 'not-finite',
      detail: 'NaN',
      norm: null,
      update: { agent: 'c', round: 1, attempt: 1, kind: 'fit', baseHash: 'g0', rows: 1, bytes: 9 },
    });
    expect(g.types()).toEqual(['receipt', 'aggregate']);
  });

  it('waits for the answer to this attempt where one to an earlier attempt is refused', () => {
    const f = new Federation().started('a', 'b').update('a').update('b');
    f.on({ type: 'step-failed', detail: 'zero-weight' }).on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.state.current).toMatchObject({ step: 'collecting', attempt: 2 });
    expect(f.update('a', { attempt: 1, baseHash: 'old' }).verdict()).toBe('wrong-base');
    expect(f.state.current).toMatchObject({ refused: [], rejected: [{ agent: 'a', attempt: 1 }] });
    f.on({ type: 'malformed-update', agent: 'b', task: { round: 1, attempt: 1 }, detail: 'NaN' });
    expect(f.state.current?.refused).toEqual([]);
    expect(f.update('b').types()).toEqual(['receipt']);
    expect(f.update('a').types()).toEqual(['receipt', 'aggregate']);
  });

  it('goes on without an agent whose answer is malformed, and waits for one whose answer cannot be told', () => {
    const f = new Federation().started('a', 'b', 'c').update('a').update('b');
    f.on({ type: 'malformed-update', agent: 'c', task: null, detail: 'no CBOR' });
    expect(f.types()).toEqual([]);
    f.on({ type: 'malformed-update', agent: 'c', task: { round: 1, attempt: 1 }, detail: 'loss: must be a number' });
    expect(f.effects).toContainEqual({
      ...{ type: 'receipt', agent: 'c', round: 1, attempt: 1 },
      ...{ verdict: 'malformed', detail: 'loss: must be a number' },
    });
    expect(f.types()).toEqual(['aggregate', 'receipt']);
    expect(f.state.agents.c?.rejectedUpdates).toBe(2);
  });

  it('asks an agent whose answer was refused again in the next attempt', () => {
    const f = new Federation().started('a', 'b').update('a');
    f.on({ type: 'malformed-update', agent: 'b', task: { round: 1, attempt: 1 }, detail: 'NaN' });
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['b'] });
    expect(f.update('b').types()).toEqual(['receipt', 'aggregate']);
  });

  it('tells a fit without parameters, and a fit that comes too late, what is wrong', () => {
    const f = new Federation({ count: 1 }).started('a', 'b', 'c');
    f.update('c', { kind: 'evaluate' });
    expect(f.effects[0]).toMatchObject({ verdict: 'wrong-shape', detail: expect.stringContaining('no parameters') });
    expect(f.state.current?.refused).toEqual(['c']);
    f.update('a').update('b').aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    expect(f.state.release).toMatchObject({ round: 1, step: 'evaluating' });
    f.update('c', { kind: 'fit', attempt: 1 });
    expect(f.effects[0]).toMatchObject({ verdict: 'stale-round', detail: 'round 1 takes no more updates' });
    expect(f.state.release?.refused).toEqual([]);
    f.update('a').update('b');
    expect(f.update('c', { baseHash: 'other' }).types()).toEqual(['receipt', 'release']);
    expect(f.state.release).toMatchObject({ answered: ['a', 'b'], refused: ['c'] });
  });

  it('keeps a bounded number of refusals, and of names that never take part', () => {
    const f = new Federation().started('a', 'b', 'c');
    for (let i = 0; i < 50; i++) f.update('a', { baseHash: `x${i}` });
    expect(f.state.current?.rejected).toHaveLength(32);
    expect(f.state.current?.rejected.at(-1)?.detail).toContain('x49');
    expect(f.state.current?.refused).toEqual(['a']);
    expect(f.state.agents.a?.rejectedUpdates).toBe(50);
    for (let i = 0; i < 300; i++) f.online(`made-up-${i}`);
    expect(Object.keys(f.state.agents)).toHaveLength(3 + 256);
    expect(f.hello('d').state.agents.d).toMatchObject({ compatible: true, online: true });
  });

  it('goes on from a state that was written before refusals were kept apart', () => {
    const f = new Federation().started('a', 'b');
    const { refused: _, leftOut: __, remarks: ___, ...older } = f.state.current!;
    const { acceptedNorms: ____, optimizer: _____, ...rest } = f.state;
    const agents = Object.entries(rest.agents).map(([id, { strikes: _s, quarantinedAtMs: _q, ...agent }]) => [
      id,
      agent,
    ]);
    f.state = restoredState(JSON.stringify({ ...rest, agents: Object.fromEntries(agents), current: older }));
    f.update('a');
    expect(f.update('b').types()).toEqual(['receipt', 'aggregate']);
    expect(restoredState(JSON.stringify(INITIAL_STATE))).toEqual(INITIAL_STATE);
  });

  it('asks an agent no more once several tasks were answered badly, until an operator says so', () => {
    const f = new Federation({ count: 9, defence: { normRatio: 20, rowsRatio: 4, quarantineAfter: 2 } });
    f.started('a', 'b', 'c');
    const refused = (agent: string, verdict: 'too-large' | 'stale-round') => {
      const { round, attempt, baseHash } = f.state.current!;
      const update = { agent, round, attempt, kind: 'fit', baseHash: baseHash!, rows: 1, bytes: 9 } as const;
      return f.on({ type: 'update', verdict, detail: 'huge', norm: null, update });
    };
    const commit = () => {
      const hash = `g${f.state.current!.round}`;
      f.update('a').update('b').aggregated(hash).on({ type: 'validated', validation: VALIDATION });
    };
    const strikes = () => f.state.agents.c!.strikes.map(({ round }) => round);
    refused('c', 'too-large');
    refused('c', 'too-large');
    expect(strikes()).toEqual([1]);
    commit();
    f.update('c');
    expect(strikes()).toEqual([]);
    commit();
    refused('c', 'stale-round');
    expect(strikes()).toEqual([]);
    refused('c', 'too-large');
    commit();
    refused('c', 'too-large');
    expect(f.state.agents.c).toMatchObject({ quarantinedAtMs: 5_000, strikes: [{ round: 3 }, { round: 4 }] });
    commit();
    expect(f.state.current?.asked).toEqual(['a', 'b']);
    expect(f.update('c').verdict()).toBe('quarantined');
    f.on({ type: 'malformed-update', agent: 'c', task: null, detail: '' });
    expect(strikes()).toEqual([3, 4]);
    f.state = restoredState(JSON.stringify(f.state));
    f.offline('b').hello('c');
    expect(f.types()).not.toContain('send-fit');
    f.on({ type: 'quarantine-lifted', agent: 'c' }).hello('c');
    expect(f.effects).toEqual([{ type: 'send-fit', agents: ['c'] }]);
    expect(f.update('c').verdict()).toBe('accepted');
    expect(f.on({ type: 'quarantine-lifted', agent: 'nobody' }).state.agents.nobody).toBeUndefined();
  });

  it('remembers the norms it accepted, until people have said what rows were or most of the agents are beyond the bound', () => {
    const f = new Federation({ count: 9 }).started('a', 'b', 'c');
    f.update('a').update('b').update('c');
    expect(f.state.acceptedNorms.norms).toEqual([1, 1, 1]);
    f.aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    const tooLarge = (agent: string) => {
      const update = { agent, round: 2, attempt: f.state.current!.attempt, kind: 'fit', baseHash: 'g1' } as const;
      const about = { ...update, rows: 1, bytes: 9 };
      return f.on({ type: 'update', verdict: 'too-large', detail: '', norm: null, update: about });
    };
    tooLarge('a').on({ type: 'deadline', round: 2, attempt: 1 });
    expect(f.state.acceptedNorms.norms).toHaveLength(3);
    tooLarge('a');
    tooLarge('b').on({ type: 'deadline', round: 2, attempt: 2 });
    expect(f.state.acceptedNorms.norms).toEqual([]);
    f.update('a').on({ type: 'labels-changed' });
    expect(f.state.acceptedNorms.norms).toEqual([]);
  });

  it('ignores a last will that belongs to an older connection', () => {
    const f = new Federation().online('a', 'old').online('a', 'new').offline('a', 'old');
    expect(f.state.agents.a?.online).toBe(true);
    expect(f.offline('a', 'new').state.agents.a?.online).toBe(false);
  });

  it('records a round without quorum, and tries again with what was accepted', () => {
    const f = new Federation().online('a').online('b').started('a', 'b').update('a');
    expect(f.offline('b').types()).toEqual([]);
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.closed[0]).toMatchObject({ committed: false, detail: '1 of 2 updates at the deadline' });
    expect(f.state.current).toMatchObject({ step: 'waiting', attempt: 1, accepted: [{ agent: 'a', rows: 100 }] });
    f.hello('b');
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['b'] });
    expect(f.state.current).toMatchObject({ step: 'collecting', attempt: 2 });
    expect(f.on({ type: 'deadline', round: 1, attempt: 1 }).types()).toEqual([]);
    expect(f.update('b').types()).toEqual(['receipt', 'aggregate']);
  });

  it('aggregates at the deadline once there is a quorum', () => {
    const f = new Federation().started('a', 'b', 'c').update('a').update('b');
    expect(f.on({ type: 'deadline', round: 1, attempt: 1 }).types()).toEqual(['aggregate']);
    expect(f.update('c').verdict()).toBe('stale-round');
  });

  it('sends the task again to whoever says hello in the middle, and lets a new agent in where one is needed', () => {
    const f = new Federation().online('a').online('b').started('a', 'b');
    expect(f.hello('a').effects).toEqual([{ type: 'send-fit', agents: ['a'] }]);
    expect(f.hello('d').types()).toEqual([]);
    f.offline('b');
    expect(f.hello('d').effects).toEqual([{ type: 'send-fit', agents: ['d'] }]);
  });

  it('pauses until a deadline after a step of its own failed, and collects anew', () => {
    const f = new Federation().started('a', 'b').update('a').update('b');
    f.on({ type: 'step-failed', detail: 'zero-weight' });
    expect(f.state.current).toMatchObject({ step: 'waiting', pausing: true, accepted: [] });
    expect(f.hello('a').types()).toEqual([]);
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.state.current).toMatchObject({ step: 'collecting', attempt: 2 });
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['a', 'b'] });
  });

  it('freezes the lineage without an agent that stays silent, once its time is up', () => {
    const f = new Federation().hello('a', 'b', 'c').on({ type: 'calibration', agent: 'a' });
    expect(f.on({ type: 'calibration', agent: 'b' }).types()).toEqual(['arm-calibration-deadline']);
    expect(f.on({ type: 'calibration-deadline' }).types()).toEqual(['freeze-lineage']);
  });

  it('asks the configured share of the agents, never fewer than a quorum', () => {
    const agents = Array.from({ length: 10 }, (_, i) => `s${i}`);
    expect(new Federation({ fraction: 0.3 }).started(...agents).state.current?.asked).toHaveLength(3);
    expect(new Federation({ fraction: 0.1, quorum: 4 }).started(...agents).state.current?.asked).toHaveLength(4);
  });

  it('repeats what was going on after a restart', () => {
    const f = new Federation().started('a', 'b', 'c').update('a');
    f.on({ type: 'resumed' });
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['b', 'c'] });
    f.update('b').update('c').on({ type: 'resumed' });
    expect(f.types()).toEqual(['aggregate']);
    expect(f.aggregated('g1').on({ type: 'resumed' }).types()).toEqual(['validate']);
  });

  it('goes on when more rounds are configured after it had finished', () => {
    const f = new Federation({ count: 1 }).started('a', 'b').update('a').update('b').aggregated('g1');
    f.on({ type: 'validated', validation: VALIDATION }).update('a').update('b');
    f.on({ type: 'released', parametersHash: 'g1', modelVersion: 'v1' });
    expect(f.state.current).toBeNull();
    const more = new Federation({ count: 3 });
    more.state = f.state;
    expect(more.on({ type: 'resumed' }).state.current).toMatchObject({ round: 2, step: 'collecting' });
  });

  it('in any order of events: counts each agent once per round, and only with a quorum', () => {
    const agent = fc.constantFrom('a', 'b', 'c');
    const action = fc.oneof(
      agent.map((a) => (f: Federation) => f.hello(a)),
      agent.map((a) => (f: Federation) => f.online(a)),
      agent.map((a) => (f: Federation) => f.offline(a)),
      agent.map((a) => (f: Federation) => f.on({ type: 'calibration', agent: a })),
      agent.map((a) => (f: Federation) => f.update(a)),
      agent.map((a) => (f: Federation) => f.update(a, { round: 1 })),
      fc.constant((f: Federation) => f.on({ type: 'calibration-deadline' })),
      fc.constant((f: Federation) => f.on({ type: 'resumed' })),
      fc.constant((f: Federation) => {
        const open = f.state.current ?? f.state.release;
        return open === null ? f : f.on({ type: 'deadline', round: open.round, attempt: open.attempt });
      }),
      fc.constant(finishWork),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const f = new Federation();
        for (const act of actions) {
          act(f);
          const accepted = f.state.current?.accepted.map((one) => one.agent) ?? [];
          expect(new Set(accepted).size).toBe(accepted.length);
        }
        const committed = f.closed.filter((closed) => closed.committed);
        expect(committed.map(({ round }) => round.round)).toEqual(committed.map((_, i) => i + 1));
        for (const { round } of committed) expect(round.accepted.length).toBeGreaterThanOrEqual(2);
      }),
      { numRuns: 300 },
    );
  });
});

/** Whatever the server itself is busy with comes to its end. */
function finishWork(f: Federation): Federation {
  const { current, release, freezing } = f.state;
  if (freezing) return f.on({ type: 'lineage-frozen', lineageHash: 'L', globalHash: 'g0', twinHash: 'g0' });
  if (current?.step === 'aggregating') return f.aggregated(`g${current.round}`);
  if (current?.step === 'validating') return f.on({ type: 'validated', validation: VALIDATION });
  if (release?.step === 'releasing') return f.on({ type: 'released', parametersHash: 'g', modelVersion: 'v1' });
  return f;
}
