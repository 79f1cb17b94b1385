import { type AgentHistory, HISTORY_ROWS } from '@twinwatch/core/wire/http';
import { describe, expect, it } from 'vitest';
import { alarmsFrom, isActive, MAXIMUM_ALARMS, withAlarmEvent } from '../alarm-list.js';
import { newestDecision } from '../decide.js';
import {
  initialState,
  MAXIMUM_DECISIONS,
  MAXIMUM_HISTORIES,
  MAXIMUM_ROUNDS,
  type PageEvent,
  reduce,
  reduceAll,
} from '../page-state.js';
import { agent, alarmEvent, demoState, round, telemetry } from './demo-federation.js';

const state = (): PageEvent => ({ type: 'state', data: demoState() });
const row = (id: string, index: number): PageEvent => ({
  type: 'telemetry',
  data: { agent: id, telemetry: telemetry(id, index) },
});

describe('page state', () => {
  it('starts connecting and empty, and takes everything from the first state', () => {
    const before = initialState(5);
    expect(before).toMatchObject({ connection: { status: 'connecting', sinceMs: 5 }, server: null, agents: [] });
    const after = reduce(before, state());
    expect(after.server).toMatchObject({ federation: 'demo', phase: 'rounds', roundsPlanned: 20 });
    expect(after.agents.map(({ id }) => id)).toEqual(['site-1', 'site-2', 'site-3', 'site-4', 'site-5']);
    expect(after.rounds).toHaveLength(19);
    expect(after.alarms.filter(isActive).map((alarm) => alarm.agent)).toEqual(['site-3']);
    expect(before.agents).toEqual([]);
  });

  it('replaces an agent and a round by name, keeps them in order, and puts site-10 after site-9', () => {
    const after = reduceAll(initialState(0), [
      state(),
      { type: 'agent', data: agent('site-10', 9) },
      { type: 'agent', data: { ...agent('site-9', 8), eligibleRows: 1 } },
      { type: 'agent', data: { ...agent('site-9', 8), eligibleRows: 2 } },
      { type: 'round', data: { ...round(19), phase: 'committed' } },
      { type: 'round', data: round(20) },
    ]);
    expect(after.agents.map(({ id }) => id).slice(-2)).toEqual(['site-9', 'site-10']);
    expect(after.agents.at(-2)?.eligibleRows).toBe(2);
    expect(after.rounds.map((each) => each.round)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    expect(after.rounds[18]?.phase).toBe('committed');
  });

  it('updates phase and model, and ignores a phase before the first state', () => {
    const phase: PageEvent = { type: 'phase', data: { phase: 'finished', activity: 'Watching', progress: null } };
    expect(reduce(initialState(0), phase).server).toBeNull();
    const model = { ...demoState().model!, modelVersion: 'm-000020' };
    const after = reduceAll(initialState(0), [state(), phase, { type: 'model', data: model }]);
    expect(after.server).toMatchObject({ phase: 'finished', activity: 'Watching', progress: null, federation: 'demo' });
    expect(after.model?.modelVersion).toBe('m-000020');
  });

  it('keeps decisions by their command, and an answered one answered', () => {
    const decision = (commandId: string, atMs: number, rows: number | null): PageEvent => ({
      type: 'decision',
      data: {
        ...{ commandId, agent: 'site-3', action: 'dismiss', alarmId: 'site-3:1', range: null, shelveMs: null },
        ...{ by: 'Ada', atMs, answer: rows === null ? null : { verdict: 'done', detail: '', rows } },
      },
    });
    const after = reduceAll(initialState(0), [
      state(),
      decision('b', 2, null),
      decision('a', 1, 4),
      decision('a', 1, null),
      decision('b', 2, 7),
    ]);
    expect(after.decisions.map(({ commandId, answer }) => `${commandId} ${answer?.rows}`)).toEqual(['a 4', 'b 7']);
    expect(newestDecision(after.decisions, ['confirm', 'dismiss'])?.commandId).toBe('b');
    expect(newestDecision(after.decisions, ['acknowledge'])).toBeNull();
    const many = Array.from({ length: MAXIMUM_DECISIONS + 3 }, (_, i) => decision(`c${i}`, i, 1));
    expect(reduceAll(initialState(0), many).decisions).toHaveLength(MAXIMUM_DECISIONS);
  });

  it('keeps the time of the loss while the connection stays lost', () => {
    const lost = (atMs: number): PageEvent => ({ type: 'connection', status: 'lost', atMs });
    expect(reduceAll(initialState(0), [lost(10), lost(20), lost(30)]).connection).toEqual({
      status: 'lost',
      sinceMs: 10,
    });
  });

  it('keeps telemetry over a reconnect, once, bounded, and starts afresh when a plant does', () => {
    const rows = Array.from({ length: HISTORY_ROWS + 30 }, (_, index) => row('site-1', index));
    const full = reduceAll(initialState(0), [state(), ...rows]);
    expect(full.history['site-1']).toHaveLength(HISTORY_ROWS);
    const again = reduceAll(full, [state(), rows.at(-1)!]);
    expect(again.history['site-1']).toEqual(full.history['site-1']);
    expect(reduce(again, row('site-1', 3)).history['site-1']).toHaveLength(1);
  });

  it('fills in what the server has kept, around what it has itself', () => {
    const rows = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => telemetry('site-1', from + i));
    const kept = (from: number, to: number, withTags: boolean): PageEvent => {
      const values = withTags ? { L_T1: rows(from, to).map((_, i) => (i === 0 ? null : i)) } : undefined;
      const columns: AgentHistory = {
        atMs: rows(from, to).map(({ atMs }) => atMs),
        score: rows(from, to).map(({ score }) => score),
        ...(values === undefined ? {} : { values }),
      };
      return { type: 'history', data: { 'site-1': columns } };
    };
    const times = (after: { history: Record<string, readonly { atMs: number }[]> } | ReturnType<typeof reduce>) =>
      after.history['site-1']?.map(({ atMs }) => atMs);
    // The page has seen 2 and 3, was away, and has seen 9 and 10; the server has 4 to 9.
    const own = [row('site-1', 2), row('site-1', 3), row('site-1', 9), row('site-1', 10)];
    const scores = reduceAll(initialState(0), [...own, kept(4, 10, false)]);
    expect(times(scores)).toEqual(rows(2, 11).map(({ atMs }) => atMs));
    expect(scores.history['site-1']?.[2]).toEqual({ ...rows(4, 5)[0], values: {} });
    expect(scores.history['site-1']?.[7]).toEqual(telemetry('site-1', 9));
    const whole = reduce(scores, kept(4, 10, true));
    expect(times(whole)).toEqual(times(scores));
    expect(whole.history['site-1']?.slice(2, 4).map(({ values }) => values)).toEqual([
      { L_T1: { value: null, quality: 'absent' } },
      { L_T1: { value: 1, quality: 'good' } },
    ]);
    expect(whole.history['site-1']?.[7]).toEqual(telemetry('site-1', 9));
    expect(reduce(whole, kept(4, 10, false)).history).toEqual(whole.history);
    expect(reduce(whole, kept(4, 4, true)).history).toBe(whole.history);
    expect(reduce(whole, kept(11, 11 + HISTORY_ROWS, true)).history['site-1']).toHaveLength(HISTORY_ROWS);
  });

  it('forgets the telemetry of sites that are gone, and of those silent longest when there are too many', () => {
    const many = Array.from({ length: MAXIMUM_HISTORIES + 2 }, (_, index) => row(`plant-${index}`, 1));
    const crowded = reduceAll(initialState(0), [...many.slice(0, 64), row('plant-0', 2), ...many.slice(64)]);
    expect(Object.keys(crowded.history)).toHaveLength(MAXIMUM_HISTORIES);
    expect(crowded.history['plant-0']).toHaveLength(2);
    expect(crowded.history['plant-1']).toBeUndefined();
    expect(reduce(crowded, state()).history).toEqual({});
  });

  it('keeps the newest rounds', () => {
    const events = Array.from(
      { length: MAXIMUM_ROUNDS + 10 },
      (_, index): PageEvent => ({ type: 'round', data: round(index + 1) }),
    );
    const { rounds } = reduceAll(initialState(0), events);
    expect([rounds.length, rounds[0]?.round]).toEqual([MAXIMUM_ROUNDS, 11]);
  });
});

describe('alarm list', () => {
  const raised = alarmEvent('site-1', 4, 1, 'raised', 10);
  const shelved = alarmEvent('site-1', 4, 2, 'shelved', 11);
  const unshelved = alarmEvent('site-1', 4, 3, 'unshelved', 12);
  const acknowledged = alarmEvent('site-1', 4, 4, 'acknowledged', 13);
  const cleared = { ...alarmEvent('site-1', 4, 5, 'cleared', 14), contributions: [], peakScore: 0.97 };
  const all = [raised, shelved, unshelved, acknowledged, cleared];

  it('folds transitions in any order, twice over, to the same alarm', () => {
    const expected = [
      {
        alarmId: 'site-1:4',
        agent: 'site-1',
        raisedAtMs: raised.atMs,
        clearedAtMs: cleared.atMs,
        acknowledged: true,
        shelved: false,
        cause: raised,
        peakScore: 0.97,
        transition: 5,
      },
    ];
    expect(alarmsFrom(all)).toEqual(expected);
    expect(alarmsFrom([...all].reverse())).toEqual(expected);
    expect([...all].reverse().reduce(withAlarmEvent, alarmsFrom(all))).toEqual(expected);
    expect([cleared, unshelved, shelved, raised, acknowledged].reduce(withAlarmEvent, alarmsFrom([]))).toEqual(
      expected,
    );
  });

  it('returns the same list for an event it has', () => {
    const list = alarmsFrom(all);
    for (const event of all) expect(withAlarmEvent(list, event)).toBe(list);
  });

  it('shows a clearing whose raising is out of reach', () => {
    const [alarm] = alarmsFrom([cleared]);
    expect([alarm?.raisedAtMs, alarm?.clearedAtMs]).toEqual([null, cleared.atMs]);
  });

  it('is bounded, and drops cleared alarms before active ones', () => {
    const oldest = alarmEvent('site-9', 1, 1, 'raised', 0);
    const events = Array.from({ length: MAXIMUM_ALARMS + 5 }, (_, index) => [
      alarmEvent('site-1', index, 1, 'raised', 10 + 2 * index),
      alarmEvent('site-1', index, 2, 'cleared', 11 + 2 * index),
    ]).flat();
    const list = alarmsFrom([oldest, ...events]);
    expect(list).toHaveLength(MAXIMUM_ALARMS);
    expect(list.filter(isActive).map((alarm) => alarm.agent)).toEqual(['site-9']);
    expect(list[0]?.alarmId).toBe(`site-1:${MAXIMUM_ALARMS + 4}`);
  });
});
