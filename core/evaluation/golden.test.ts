import { describe, expect, test } from 'vitest';
import { affiliation } from './affiliation.js';
import { mmd, slicedWasserstein } from './alignment.js';
import { batadalScore } from './batadal.js';
import { balancedAccuracy, confusion, f1 } from './confusion.js';
import { detections, episodePrecision, episodeRecall, falseAlarmEpisodesPerDay } from './episodes.js';
import { prAuc, rocAuc } from './ranking.js';

/** Computed by golden.py with scikit-learn 1.2, scipy 1.10 and numpy 1.24, which share no code with what is tested. */
const GOLDEN = {
  rocAuc: 0.6828945786753214,
  prAuc: 0.5809828533451914,
  f1: 0.44144144144144143,
  balancedAccuracy: 0.6101093881476138,
  delays: [18, null, 0, null],
  s: 0.4613046940738069,
  episodeRecall: 0.5,
  episodePrecision: 0.5714285714285714,
  falseAlarmsPerDay: 0.2553191489361702,
  affiliation: { precision: 0.5671997961259114, recall: 0.7545430335804162, f1: 0.6475944415149641 },
  mmd: { rbf: 0.35359421257767887, multiKernel: 0.7352943220916115 },
  slicedWasserstein: 0.5390125156084712,
};

const ROWS = 400;
const wave = (count: number, pace: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.sin((i + 1) * pace));
const flags = (...episodes: readonly (readonly [number, number])[]): number[] =>
  Array.from({ length: ROWS }, (_, row) => (episodes.some(([start, end]) => row >= start && row < end) ? 1 : 0));

const labels = flags([40, 64], [150, 153], [200, 290], [330, 331]);
const alarms = flags([20, 24], [58, 70], [170, 205], [230, 240], [262, 300], [315, 318], [380, 382]);
const gate = wave(ROWS, 0.31);
const scores = wave(ROWS, 0.9).map(
  (value, row) => Math.round(100 * (0.5 + 0.25 * value + 0.2 * labels[row]! * (gate[row]! > -0.5 ? 1 : 0))) / 100,
);

describe('the numbers of other implementations', () => {
  test('of rows', () => {
    expect(new Set(scores).size).toBeLessThan(ROWS / 2);
    expect(rocAuc(scores, labels)).toBeCloseTo(GOLDEN.rocAuc, 12);
    expect(prAuc(scores, labels)).toBeCloseTo(GOLDEN.prAuc, 12);
    expect(f1(confusion(alarms, labels))).toBeCloseTo(GOLDEN.f1, 12);
    expect(balancedAccuracy(confusion(alarms, labels))).toBeCloseTo(GOLDEN.balancedAccuracy, 12);
  });

  test('of episodes', () => {
    expect(detections({ alarms, labels }).map(({ delayRows }) => delayRows)).toEqual(GOLDEN.delays);
    expect(batadalScore({ scoresAboveThreshold: alarms, labels }).s).toBeCloseTo(GOLDEN.s, 12);
    expect(episodeRecall({ alarms, labels })).toBe(GOLDEN.episodeRecall);
    expect(episodePrecision({ alarms, labels })).toBeCloseTo(GOLDEN.episodePrecision, 12);
    const perDay = falseAlarmEpisodesPerDay({ alarms, labels, intervalMs: 3_600_000 });
    expect(perDay).toBeCloseTo(GOLDEN.falseAlarmsPerDay, 12);
  });

  test('of affiliation, as far as these draw time out', () => {
    const measured = affiliation({ alarms, labels });
    for (const name of ['precision', 'recall', 'f1'] as const) {
      expect(Math.abs(measured[name] - GOLDEN.affiliation[name])).toBeLessThan(0.0025);
    }
  });

  test('of alignment, where the drawn directions come near the integral over all', () => {
    const sets = {
      a: Float32Array.from(wave(120, 1.7)),
      b: Float32Array.from(wave(90, 2.3), (value) => 1.4 * value + 0.5),
      ...{ inputs: 2, seed: 1 },
    };
    expect(mmd(sets).rbf).toBeCloseTo(GOLDEN.mmd.rbf, 6);
    expect(mmd(sets).multiKernel).toBeCloseTo(GOLDEN.mmd.multiKernel, 6);
    const distance = slicedWasserstein({ ...sets, projections: 4_000 });
    expect(Math.abs(distance / GOLDEN.slicedWasserstein - 1)).toBeLessThan(0.01);
  });
});

describe('affiliation', () => {
  test('is 1 for alarms that are the attacks, and 0 where nothing was alarmed', () => {
    expect(affiliation({ alarms: labels, labels })).toEqual({ precision: 1, recall: 1, f1: 1 });
    expect(affiliation({ alarms: labels.map(() => 0), labels })).toEqual({ precision: Number.NaN, recall: 0, f1: 0 });
  });

  test('is kind to an alarm near an attack, and more so the nearer it is', () => {
    const one = flags([100, 110]);
    const near = [5, 20, 60].map(
      (gap) => affiliation({ alarms: flags([110 + gap, 115 + gap]), labels: one }).precision,
    );
    expect(near).toEqual([...near].sort((a, b) => b - a));
    // By hand: zone 0–400 around an attack of 100–110, an alarm at 130–140: distances 20–30 of at most 290.
    const { precision, recall } = affiliation({ alarms: flags([130, 140]), labels: one });
    expect(precision).toBeCloseTo((100 - 25 + 290 - 25) / 400, 12);
    expect(recall).toBeCloseTo((2 * 105 - 130 + (400 - 130)) / 400, 12);
  });

  test('gives alarms at random far more than 0, which is why baselines stand beside it', () => {
    const every = affiliation({ alarms: labels.map((_, row) => row % 2), labels });
    expect(every.f1).toBeGreaterThan(0.6);
    expect(every.f1).toBeLessThan(0.8);
  });
});
