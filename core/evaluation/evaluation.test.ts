import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batadalScore } from './batadal.js';
import { balancedAccuracy, confusion, f1, trueNegativeRate, truePositiveRate } from './confusion.js';
import { episodesOf, falseAlarmEpisodesPerDay } from './episodes.js';
import { keepLabelled, maskLabels } from './labels.js';
import { prAuc, rocAuc } from './ranking.js';

const wrongShape = expect.objectContaining({ code: 'EVALUATION_SHAPE' });
const bits = (text: string): number[] => [...text].map(Number);

describe('labels', () => {
  test('−999, −1, NaN and missing labels are no labels, and never normal rows', () => {
    const mask = maskLabels([0, 1, -999, -1, Number.NaN, null, undefined, 1]);
    expect([...mask.known]).toEqual([1, 1, 0, 0, 0, 0, 0, 1]);
    const kept = keepLabelled([0.1, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.8], mask);
    expect([...kept.scores]).toEqual([0.1, 0.9, 0.8]);
    expect([...kept.labels]).toEqual([0, 1, 1]);
    expect(() => keepLabelled([1], mask)).toThrow(wrongShape);
  });

  test('every measure refuses them', () => {
    const labels = [0, 1, -999];
    const scores = [0.1, 0.9, 0.5];
    for (const measure of [
      () => rocAuc(scores, labels),
      () => prAuc(scores, labels),
      () => confusion([true, true, true], labels),
      () => batadalScore({ scoresAboveThreshold: [true, true, true], labels }),
      () => rocAuc([0.1], [0, 1]),
      () => rocAuc([0.1, Number.NaN], [0, 1]),
      () => falseAlarmEpisodesPerDay({ alarms: [1], labels: [0, 1], intervalMs: 1 }),
    ]) {
      expect(measure).toThrow(wrongShape);
    }
  });
});

describe('ranking', () => {
  const labelled = fc.array(fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 1 })), {
    minLength: 1,
    maxLength: 40,
  });

  test('ROC area is the share of pairs in the right order, ties half', () => {
    fc.assert(
      fc.property(labelled, (rows) => {
        const attacks = rows.filter(([, label]) => label === 1);
        const normals = rows.filter(([, label]) => label === 0);
        const wins = attacks.flatMap(([a]) => normals.map(([n]) => (a > n ? 1 : a === n ? 0.5 : 0)));
        const expected = wins.reduce((sum: number, win) => sum + win, 0) / wins.length;
        const area = rocAuc(
          rows.map(([score]) => score),
          rows.map(([, label]) => label),
        );
        if (wins.length === 0) expect(area).toBeNaN();
        else expect(area).toBeCloseTo(expected, 12);
      }),
    );
  });

  test('average precision is Σ ΔR · P over the distinct thresholds', () => {
    fc.assert(
      fc.property(labelled, (rows) => {
        const attacks = rows.filter(([, label]) => label === 1).length;
        let expected = 0;
        let recall = 0;
        for (let threshold = 6; threshold >= 0; threshold--) {
          const flagged = rows.filter(([score]) => score >= threshold);
          const found = flagged.filter(([, label]) => label === 1).length;
          if (flagged.length > 0) expected += (found / attacks - recall) * (found / flagged.length);
          recall = found / attacks;
        }
        const area = prAuc(
          rows.map(([score]) => score),
          rows.map(([, label]) => label),
        );
        if (attacks === 0) expect(area).toBeNaN();
        else expect(area).toBeCloseTo(expected, 12);
      }),
    );
  });

  test('known values: constant scores give one half and the share of attacks; scikit-learn agrees on its own example', () => {
    expect(rocAuc([5, 5, 5, 5], [0, 1, 0, 0])).toBe(0.5);
    expect(prAuc([5, 5, 5, 5], [0, 1, 0, 0])).toBe(0.25);
    expect(rocAuc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).toBe(0.75);
    expect(prAuc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).toBeCloseTo(0.8333, 4);
  });
});

describe('confusion', () => {
  test('counts, rates, F1 and balanced accuracy', () => {
    const counts = confusion([true, true, false, false, false, true], [1, 0, 1, 0, 0, 1]);
    expect(counts).toEqual({ truePositives: 2, falsePositives: 1, trueNegatives: 2, falseNegatives: 1 });
    expect(truePositiveRate(counts)).toBeCloseTo(2 / 3, 12);
    expect(trueNegativeRate(counts)).toBeCloseTo(2 / 3, 12);
    expect(f1(counts)).toBeCloseTo(2 / 3, 12);
    expect(balancedAccuracy(counts)).toBeCloseTo(2 / 3, 12);
    expect(f1(confusion([0, 0], [1, 0]))).toBe(0);
    expect(balancedAccuracy(confusion([0, 0, 0], [1, 0, 0]))).toBe(0.5);
  });
});

describe('episodes', () => {
  test('are the runs of set rows, at both ends too', () => {
    expect(episodesOf(bits('1100101'))).toEqual([
      [0, 2],
      [4, 5],
      [6, 7],
    ]);
    expect(episodesOf([])).toEqual([]);
    expect(episodesOf([true, true])).toEqual([[0, 2]]);
  });

  test('false alarms are those that touch no attack, per day of normal rows', () => {
    const labels = bits('000011110000'.repeat(6));
    const alarms = bits(`010110000110${'0'.repeat(60)}`);
    expect(falseAlarmEpisodesPerDay({ alarms, labels, intervalMs: 3_600_000 })).toBe(1);
  });
});

describe('batadalScore', () => {
  test('is 1 for a detector that is always right, and ½ · 0 + ½ · ½ for one that says nothing', () => {
    const labels = bits('0011100110');
    expect(batadalScore({ scoresAboveThreshold: labels, labels })).toMatchObject({ s: 1, sTtd: 1, sCm: 1 });
    const silent = batadalScore({ scoresAboveThreshold: bits('0000000000'), labels });
    expect(silent).toMatchObject({ s: 0.25, sTtd: 0, sCm: 0.5 });
    expect(silent.attacks.map((attack) => attack.delayRows)).toEqual([null, null]);
  });

  test('counts delays in labelled rows of each attack', () => {
    const labels = bits('001111001100');
    const result = batadalScore({ scoresAboveThreshold: bits('000110011100'), labels });
    expect(result.attacks).toEqual([
      { episode: [2, 6], delayRows: 1 },
      { episode: [8, 10], delayRows: 0 },
    ]);
    expect(result.sTtd).toBe(1 - (1 / 4 + 0) / 2);
    expect(result.sCm).toBeCloseTo((4 / 6 + 5 / 6) / 2, 12);
    expect(result.s).toBeCloseTo((result.sTtd + result.sCm) / 2, 12);
  });

  test('has no value where attacks or normal rows are missing', () => {
    expect(() => batadalScore({ scoresAboveThreshold: [0, 1], labels: [0, 0] })).toThrow(wrongShape);
    expect(() => batadalScore({ scoresAboveThreshold: [0, 1], labels: [1, 1] })).toThrow(wrongShape);
  });
});

test('areas are the same for single-precision scores, which are sorted another way', () => {
  const scored = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 1 })), { minLength: 1 });
  fc.assert(
    fc.property(scored, fc.float({ min: -1, max: 1, noNaN: true }), (rows, shift) => {
      const singles = Float32Array.from(rows, ([score]) => score / 20 + shift);
      const labels = rows.map(([, label]) => label);
      expect(prAuc(singles, labels)).toBe(prAuc([...singles], labels));
      expect(rocAuc(singles, labels)).toBe(rocAuc([...singles], labels));
    }),
  );
});
