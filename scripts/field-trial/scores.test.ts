import { expect, it } from 'vitest';
import { baselines } from './baselines.js';
import { alarmAt, attackRows, scoresOf } from './scores.js';

const HOUR = 3_600_000;
const label = [0, 1, 1, 1, 1, 0, null, 0, 1, 1, 0, 0] as const;
const time = label.map((_, i) => i * HOUR);
const on = [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1].map(Boolean);

it('scores labelled rows only, as the competition does', () => {
  const scores = scoresOf({ score: on.map(Number), alarm: on, label, intervalMs: HOUR })!;
  // First attack 2 of 4 hours late, second missed; 2 of 6 attack rows and 3 of 5 normal rows are right.
  expect(scores.STTD).toBeCloseTo(1 - (0.5 + 1) / 2, 12);
  expect(scores.SCM).toBeCloseTo((2 / 6 + 3 / 5) / 2, 12);
  expect(scores.S).toBeCloseTo((scores.STTD + scores.SCM) / 2, 12);
  expect(scores).toMatchObject({ episodeRecall: 0.5, episodePrecision: 0.5 });
  expect(scores.affiliationF1).toBeGreaterThan(scores.F1);
  expect(scoresOf({ score: [1, 0], alarm: [true, false], label: [null, 0], intervalMs: HOUR })).toBeNull();
});

it('tells what became of each attack', () => {
  const alarms = [
    { raisedAtMs: 3 * HOUR, clearedAtMs: 7 * HOUR },
    { raisedAtMs: 11 * HOUR, clearedAtMs: null },
  ];
  expect(alarmAt(time, alarms)).toEqual(on);
  const [first, second] = attackRows(time, on, label, HOUR);
  expect(first).toMatchObject({ endMs: 4 * HOUR, detectedAtMs: 3 * HOUR, timeToDetectionHours: 2, durationHours: 4 });
  expect(second).toMatchObject({ detected: false, detectedAtMs: null, timeToDetectionHours: 2, durationHours: 2 });
});

it('learns the actuator rule from the history', () => {
  const tags = [
    { name: 'S_PU1', unit: '', kind: 'status', resolution: 1 },
    { name: 'F_PU1', unit: 'L/s', kind: 'analog', resolution: 1 },
    { name: 'S_PU2', unit: '', kind: 'status', resolution: 1 },
  ] as const;
  const row = (...values: number[]) => ({ timeMs: 0, sequence: null, values: Float64Array.from(values) });
  const history = [row(1, 98, 0), row(1, 102, 0), row(0, 0, 1)];
  const feed = [row(1, 102.5, 0), row(1, 60, 0), row(0, 5, 1), row(1, 100, 1)];
  const rule = baselines(history, feed, tags, 1).at(-1)!;
  expect(rule.alarm).toEqual([false, true, true, true]);
  expect(rule.score).toEqual([0, 1, 1, 1]);
});
