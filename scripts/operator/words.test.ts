import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { DecisionView } from '@twinwatch/core/wire/http';
import { describe, expect, it } from 'vitest';
import { decideAlarms, labelRange } from './decide.js';
import { alarmTable, alarmWords, decisionLine, quarantineTable } from './words.js';

const MINUTE_MS = 60_000;
const START_MS = Date.UTC(2026, 0, 17);

const event = (alarm: number, transition: AlarmEvent['transition'], minute: number): AlarmEvent => ({
  ...{ eventId: `site-1:${alarm}:${transition === 'raised' ? 1 : 2}`, alarmId: `site-1:${alarm}`, agent: 'site-1' },
  ...{ transition, atMs: START_MS + minute * MINUTE_MS, score: 0.98, threshold: 0.5, modelVersion: 'v1' },
  ...{ contributions: [{ tag: 'L_T1', share: 0.5, value: 1 }], latencyMs: 1 },
});
const decision = (alarm: number, rest: Partial<DecisionView> = {}): DecisionView => ({
  ...{ commandId: 'c', agent: 'site-1', action: 'dismiss', alarmId: `site-1:${alarm}`, range: null, shelveMs: null },
  ...{ by: 'Ada', atMs: 5, answer: null, ...rest },
});

describe('words for operators', () => {
  it('list what is active or undecided, and all where asked', () => {
    const alarms = [event(1, 'raised', 0), event(1, 'cleared', 30), event(2, 'raised', 60), event(2, 'cleared', 75)];
    const state = { alarms: [...alarms, event(3, 'raised', 90)], decisions: [decision(1)] };
    const table = alarmTable(state, { site: null, all: false });
    expect(table.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['ALARM', 'RAISED', 'CLEARED', 'SCORE', 'MOSTLY', 'DECIDED'],
      ['site-1:3', '2026-01-17T01:30Z', 'active', '0.980', 'L_T1', '-'],
      ['site-1:2', '2026-01-17T01:00Z', '2026-01-17T01:15Z', '0.980', 'L_T1', '-'],
    ]);
    expect(alarmTable(state, { site: 'site-1', all: true })).toContain('dismissed by Ada (not answered yet)');
    expect(alarmTable(state, { site: 'site-2', all: true })).toBe('There is no alarm.');
  });

  it('tell of one alarm when, how high, which tags, and who decided what', () => {
    const alarms = [event(1, 'raised', 0), { ...event(1, 'cleared', 90), peakScore: 0.9961 }];
    const done = decision(1, { answer: { verdict: 'done', detail: '', rows: 4 }, atMs: START_MS });
    const words = alarmWords({ alarms, decisions: [decision(2), done] }, 'site-1:1');
    expect(words.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['site-1:1'],
      ['raised', '2026-01-17T00:00Z'],
      ['cleared', '2026-01-17T01:30Z, after 1 h 30 min'],
      ['score', '0.980 at first, 0.996 at most; threshold 0.500'],
      ['model', 'v1'],
      ['L_T1', '50 %, at 1'],
      ['2026-01-17T00:00:00Z', 'dismissed by Ada: 4 rows at site-1 are learned as normal'],
    ]);
    expect(alarmWords({ alarms, decisions: [] }, 'site-1:9')).toContain('no alarm site-1:9');
  });

  it('list values that do not come as such, while they do not', () => {
    const silent = (transition: AlarmEvent['transition'], minute: number): AlarmEvent => ({
      ...event(4, transition, minute),
      ...{ alarmId: 'site-1:c4', eventId: `site-1:c4:${minute}`, score: 0, contributions: [] },
      communication: { tags: ['L_T1', 'L_T2'], devices: ['PLC1'], reason: 'MODBUS_TIMEOUT' },
    });
    const alarms = [silent('raised', 1), silent('acknowledged', 2)];
    const table = (rest: AlarmEvent[], all: boolean) =>
      alarmTable({ alarms: [...alarms, ...rest], decisions: [] }, { site: null, all })
        .split('\n')
        .at(-1)!;
    const line = (state: string) => [
      'site-1:c4',
      '2026-01-17T00:01Z',
      state,
      '-',
      'No good values of PLC1: 2 tags',
      '-',
    ];
    expect(table([], false).split(/ {2,}/)).toEqual(line('active, seen'));
    expect(table([silent('cleared', 9)], true).split(/ {2,}/)).toEqual(line('2026-01-17T00:09Z'));
    expect(table([silent('cleared', 9)], false)).toContain('No alarm is active');
  });

  it('list who is in quarantine, and each reason', () => {
    const reason = (round: number) => ({ round, verdict: 'too-large', detail: 'norm 9', atMs: START_MS });
    const quarantine = { sinceMs: START_MS, reasons: [reason(3), reason(4)] };
    const table = quarantineTable([
      { id: 'site-1', quarantine: null },
      { id: 'site-2', quarantine },
    ]);
    expect(table.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
      ['AGENT', 'SINCE', 'ROUND', 'REFUSED AS', 'BECAUSE'],
      ['site-2', '2026-01-17T00:00:00Z', '3', 'too-large', 'norm 9'],
      ['4', 'too-large', 'norm 9'],
    ]);
    expect(quarantineTable([{ id: 'site-1', quarantine: null }])).toBe('No agent is in quarantine.');
  });

  it.each([
    [decision(1), 'site-1:1: dismissed by Ada; site-1 has not answered yet'],
    [decision(1, { answer: { verdict: 'done', detail: '', rows: 4 } }), '4 rows at site-1 are learned as normal'],
    [
      decision(1, { action: 'confirm', answer: { verdict: 'done', detail: 'the alarm still lasts', rows: 4 } }),
      '4 rows at site-1 are learned as attacked; the alarm still lasts',
    ],
    [decision(1, { answer: { verdict: 'superseded', detail: 'later', rows: 4 } }), 'without effect; later'],
    [
      decision(1, { action: 'acknowledge', answer: { verdict: 'unchanged', detail: 'it is over', rows: 0 } }),
      'acknowledged by Ada, as it was before; it is over',
    ],
    [
      decision(1, {
        ...{ action: 'label', alarmId: null, answer: { verdict: 'done', detail: '', rows: 9 } },
        range: { fromMs: START_MS, toMs: START_MS + MINUTE_MS, label: 'anomalous' },
      }),
      'site-1, 2026-01-17T00:00Z to 2026-01-17T00:01Z: labelled by Ada: 9 rows at site-1 are learned as attacked',
    ],
  ])('say what became of a decision (%#)', (view, words) => expect(decisionLine(view)).toContain(words));
});

describe('what an operator mistypes', () => {
  const options = { server: 'http://127.0.0.1:65534', by: 'Ada', wait: '1s' };
  it.each([
    [() => labelRange('s', '2026-01-01', '2026-01-02', options), 'CLI_USAGE', '--normal or --attack'],
    [() => labelRange('s', 'yesterday', '2026-01-02', { ...options, normal: true }), 'CLI_USAGE', 'FROM'],
    [() => labelRange('s', '2026-01-03', '2026-01-02', { ...options, normal: true }), 'CLI_USAGE', 'before FROM'],
    [() => decideAlarms('shelve', ['s:1'], { ...options, for: '8' }), 'CLI_USAGE', '--for'],
    [() => decideAlarms('dismiss', ['s:1'], { ...options, server: 'localhost' }), 'CLI_USAGE', 'http://'],
    [() => decideAlarms('dismiss', ['s:1'], options), 'CLI_SERVER_UNREACHABLE', '--server'],
  ])('is told with what to do (%#)', async (run, code, message) => {
    await expect(run()).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });
});
