import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AgentView, RoundView, ServerState } from '@twinwatch/core/wire/http';
import { describe, expect, it } from 'vitest';
import { type StoryEffect, type StoryEvent, type StoryOptions, startStory, tell } from './story.js';
import { stopped } from './wording.js';

const MINUTE = 60_000;
const INTERVAL = 15 * MINUTE;
const START = Date.UTC(2026, 0, 5);
const options: StoryOptions = {
  sites: ['site-1', 'site-2'],
  attackedSite: 'site-2',
  attack: 'pumps-off',
  commissioningRows: 100,
  intervalMs: INTERVAL,
};

const model = { modelVersion: 'v1', round: 1, hash: '', bytes: 1, threshold: 0.5, rocAuc: 0.9, releasedAtMs: 0 };

/** A demonstration that is fed by hand: rows are minutes of wall time. */
function demonstration(with_: Partial<StoryOptions> = {}) {
  const story = { ...options, ...with_ };
  let state = startStory(0);
  let nowMs = 0;
  const effects: StoryEffect[] = [];
  const hear = (event: StoryEvent, afterMs = 10) => {
    nowMs += afterMs;
    const told = tell(story, state, event, nowMs);
    state = told.state;
    effects.push(...told.effects);
  };
  const agent = (id: string, modelVersion: string | null): AgentView => ({
    id,
    status: { online: true, connectionId: 'c', atMs: 0, softwareVersion: '0', modelVersion, health: null },
    eligibleRows: 0,
    lastRound: null,
    rejectedUpdates: 0,
    quarantine: null,
    lastTelemetry: null,
  });
  const server = (more: Partial<ServerState>): void =>
    hear({
      kind: 'server',
      event: {
        kind: 'state',
        data: {
          federation: 'demo',
          phase: 'finished',
          activity: '',
          progress: null,
          roundsPlanned: 1,
          agents: [],
          rounds: [],
          model: null,
          alarms: [],
          decisions: [],
          refusedMessages: [],
          registry: null,
          ...more,
        },
      },
    });
  return {
    hear,
    server,
    accepted: (...versions: (string | null)[]) =>
      server({ model, agents: story.sites.map((site, i) => agent(site, versions[i] ?? 'v1')) }),
    rows: (rows: number) =>
      hear({
        kind: 'plant',
        sites: Object.fromEntries(
          story.sites.map((site) => [site, { rows, timeMs: START + rows * INTERVAL, attack: null }]),
        ),
      }),
    attack: (state: 'started' | 'ended', row: number) =>
      hear({ kind: 'attack', site: story.attackedSite, name: 'pumps-off', state, atMs: START + row * INTERVAL }),
    alarm: (agent: string, transition: AlarmEvent['transition'], row: number, number = 1) =>
      hear({
        kind: 'server',
        event: {
          kind: 'alarm',
          data: {
            eventId: `${agent}:${number}:${transition}`,
            alarmId: `${agent}:${number}`,
            agent,
            transition,
            atMs: START + row * INTERVAL,
            score: 0.9,
            threshold: 0.5,
            modelVersion: 'v1',
            contributions: [{ tag: 'F_PU3', share: 0.4, value: 0 }],
            latencyMs: 1,
          },
        },
      }),
    said: () => effects.flatMap((effect) => (effect.kind === 'say' ? [effect.text] : [])).join('\n'),
    asked: () => effects.filter(({ kind }) => kind === 'start-attack').length,
    finished: () => effects.some(({ kind }) => kind === 'finish'),
    state: () => state,
  };
}

function untilAttack() {
  const demo = demonstration();
  demo.rows(100);
  demo.accepted();
  demo.rows(124);
  return demo;
}

describe('the story', () => {
  it('attacks only when every agent has the model, every plant is commissioned, and all was quiet for a while', () => {
    const demo = demonstration();
    demo.accepted('v1', null);
    demo.rows(99);
    demo.accepted();
    expect(demo.state().phase).toBe('accepting');
    demo.rows(100);
    expect(demo.state().phase).toBe('watching');
    demo.rows(123);
    expect(demo.asked()).toBe(0);
    demo.rows(124);
    expect(demo.asked()).toBe(1);
    // A plant that was restarting has not heard; it is asked again, until it has.
    demo.hear({ kind: 'tick' }, 5_000);
    expect(demo.asked()).toBe(2);
    demo.attack('started', 126);
    demo.hear({ kind: 'tick' }, 5_000);
    expect(demo.asked()).toBe(2);
  });

  it('ends well when the attacked site alarms and clears, and the others stay quiet', () => {
    const demo = untilAttack();
    demo.attack('started', 126);
    demo.alarm('site-2', 'raised', 130);
    expect(demo.said()).toMatch(/ALARM from site-2.*F_PU3 40 %; 1 h of plant time after the attack began/);
    demo.attack('ended', 150);
    demo.alarm('site-2', 'cleared', 156);
    demo.rows(179);
    expect(demo.finished()).toBe(false);
    demo.rows(180);
    expect(demo.finished()).toBe(true);
    expect(demo.state().failures).toEqual([]);
  });

  it('tells of rounds and the release what the best round is chosen by, beside what guessing gets', () => {
    const round = (number: number, prAuc: number): RoundView => ({
      ...{ round: number, phase: 'committed', method: 'cwa', asked: ['a', 'b'], accepted: ['a', 'b'], rejected: [] },
      validation: { loss: 1, rocAuc: 0.95, prAuc, attackShare: 0.0909 },
      ...{ bytesUp: 1000, bytesDown: 2000, startedAtMs: 0, milliseconds: 5 },
    });
    const demo = demonstration();
    demo.server({ roundsPlanned: 2 });
    demo.hear({ kind: 'server', event: { kind: 'round', data: round(1, 0.7) } });
    expect(demo.said()).toContain(
      "round 1/2 cwa: 2 of 2 agents, PR AUC 0.700 (guessing: 0.091) on the twin's validation episodes; 1.0 kB up, 2.0 kB down",
    );
    const run = { processCount: 5, dataDir: '/tmp/demo' };
    expect(stopped(run, demo.state())).toMatch(/^all 5 processes have ended; 1 of 2 rounds are committed\n/);
    expect(stopped(run, startStory(0))).toMatch(
      /nothing was learned yet\n {2}data: \/tmp\/demo\n {2}logs: \/tmp\/demo\/logs/,
    );
  });

  it('names what went wrong: a false alarm, a missed attack, an alarm that does not clear', () => {
    const elsewhere = untilAttack();
    elsewhere.alarm('site-1', 'raised', 125);
    elsewhere.attack('started', 126);
    elsewhere.alarm('site-2', 'raised', 127);
    elsewhere.attack('ended', 150);
    elsewhere.rows(150 + 192);
    expect(elsewhere.state().failures.join()).toMatch(/site-1 raised an alarm.*site-2 did not clear/);
    const missed = untilAttack();
    missed.attack('started', 126);
    missed.attack('ended', 150);
    missed.rows(150 + 192);
    expect(missed.state().failures.join()).toMatch(/pumps-off on site-2 was not alarmed/);
    const late = untilAttack();
    late.attack('started', 126);
    late.attack('ended', 150);
    late.alarm('site-2', 'raised', 170);
    late.alarm('site-2', 'cleared', 175);
    late.rows(150 + 192);
    expect(late.state().failures.join()).toMatch(/pumps-off on site-2 was not alarmed while it was on/);
  });

  it('hears the same things again after a restart of the server without telling them twice', () => {
    const demo = untilAttack();
    demo.attack('started', 126);
    demo.alarm('site-2', 'raised', 130);
    const before = demo.said();
    demo.alarm('site-2', 'raised', 130);
    demo.accepted();
    expect(demo.said()).toBe(before);
    demo.hear({ kind: 'crashed', name: 'server', how: 'SIGKILL' });
    expect(demo.said()).toMatch(/server ended unexpectedly \(SIGKILL\)/);
  });

  it('tells of a process that is killed after the end, and of nothing else', () => {
    const demo = demonstration({ attack: null });
    demo.accepted();
    for (let tick = 0; tick < 2_000 && demo.state().phase !== 'done'; tick++) demo.rows(100 + tick * 10);
    expect(demo.state().phase).toBe('done');
    const before = demo.said();
    demo.alarm('site-1', 'raised', 90_000, 9);
    expect(demo.said()).toBe(before);
    demo.hear({ kind: 'crashed', name: 'broker', how: 'SIGKILL' });
    expect(demo.said()).toContain('broker ended unexpectedly (SIGKILL); it is started again');
  });

  it('takes alarms from before the watch for an earlier run, and gives up where nothing goes on', () => {
    const demo = demonstration({ attack: null });
    demo.alarm('site-1', 'raised', 50);
    demo.rows(100);
    demo.accepted();
    demo.alarm('site-1', 'raised', 60, 2);
    demo.rows(291);
    expect(demo.finished()).toBe(false);
    demo.rows(292);
    expect(demo.finished()).toBe(true);
    expect(demo.state().failures).toEqual([]);
    const stuck = demonstration();
    stuck.hear({ kind: 'tick' }, 601_000);
    expect(stuck.state().failures.join()).toMatch(/nothing went on while learning .*offline: site-1, site-2/);
  });
});
