import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { balancedAccuracy, confusion } from './confusion.js';
import { chooseThreshold } from './threshold.js';

const histogram = (counts: number[]) => ({ counts, rows: counts.reduce((sum, count) => sum + count, 0) });

describe('chooseThreshold', () => {
  test('lies half-way between classes that are apart', () => {
    const choice = chooseThreshold({ scores: [0.1, 0.2, 0.6, 0.9], labels: [0, 0, 1, 1], maximumFalseRate: 0 });
    expect(choice).toMatchObject({ balancedAccuracy: 1, validationFalseRate: 0, isWithinMaximum: true });
    expect(choice.threshold).toBeCloseTo(0.4, 12);
    expect(choice.heldBackFalseRate).toBeNull();
  });

  test('gives up attacks rather than exceed the false rate on validation rows', () => {
    const scores = [0.1, 0.1, 0.1, 0.7, 0.5, 0.6, 0.8];
    const labels = [0, 0, 0, 0, 1, 1, 1];
    expect(chooseThreshold({ scores, labels, maximumFalseRate: 0.25 }).threshold).toBeCloseTo(0.3, 12);
    expect(chooseThreshold({ scores, labels, maximumFalseRate: 0.24 }).threshold).toBeCloseTo(0.75, 12);
  });

  test('keeps to the false rate on the rows that agents held back, which the twin does not know', () => {
    const validation = { scores: [0.1, 0.2, 0.6, 0.9], labels: [0, 0, 1, 1] };
    const normalHistogram = histogram([90, 0, 0, 0, 0, 0, 5, 4, 1, 0]);
    const strict = chooseThreshold({ ...validation, normalHistogram, maximumFalseRate: 0.01 });
    expect(strict.threshold).toBeCloseTo(0.8, 12);
    expect(strict).toMatchObject({ balancedAccuracy: 0.75, heldBackFalseRate: 0.01, isWithinMaximum: true });
    const lax = chooseThreshold({ ...validation, normalHistogram, maximumFalseRate: 0.1 });
    expect(lax.balancedAccuracy).toBe(1);
    expect(lax.threshold).toBeGreaterThan(0.2);
    expect(lax.threshold).toBeLessThanOrEqual(0.6);
  });

  test('asks the twin for the false rate only where held-back rows are too few to show it', () => {
    const scores = [0.1, 0.1, 0.6, 0.3, 0.5, 0.8];
    const labels = [0, 0, 0, 1, 1, 1];
    const enough = { scores, labels, normalHistogram: histogram([500, 0, 0, 0]), maximumFalseRate: 0.01 };
    expect(chooseThreshold(enough).threshold).toBeLessThanOrEqual(0.3);
    const few = { ...enough, normalHistogram: histogram([499, 0, 0, 0]) };
    expect(chooseThreshold(few).threshold).toBeCloseTo(0.7, 12);
  });

  test('says so where no threshold is within the maximum', () => {
    const choice = chooseThreshold({
      scores: [0.2, 0.9],
      labels: [0, 1],
      normalHistogram: histogram([0, 10]),
      maximumFalseRate: 0.01,
    });
    expect(choice).toMatchObject({ threshold: 1, heldBackFalseRate: 1, isWithinMaximum: false });
  });

  test('a histogram without rows is as none', () => {
    const normalHistogram = histogram([0, 0]);
    const choice = chooseThreshold({ scores: [0.2, 0.9], labels: [0, 1], normalHistogram, maximumFalseRate: 0 });
    expect(choice).toMatchObject({ heldBackFalseRate: null, balancedAccuracy: 1 });
  });

  test('no other threshold within the maximum does better, and its figures are those of its alarms', () => {
    const rows = fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 1 })), {
      minLength: 2,
      maxLength: 40,
    });
    fc.assert(
      fc.property(rows, fc.double({ min: 0, max: 0.5, noNaN: true }), (drawn, maximumFalseRate) => {
        const labels = [0, 1, ...drawn.map(([, label]) => label)];
        const scores = [0, 19, ...drawn.map(([score]) => score)].map((score) => score / 21);
        const judge = (threshold: number) => {
          const counts = confusion(
            scores.map((score) => score >= threshold),
            labels,
          );
          const falseRate = counts.falsePositives / (counts.falsePositives + counts.trueNegatives);
          return { balanced: balancedAccuracy(counts), falseRate };
        };
        const choice = chooseThreshold({ scores, labels, maximumFalseRate });
        expect(choice.isWithinMaximum).toBe(true);
        expect(judge(choice.threshold).balanced).toBeCloseTo(choice.balancedAccuracy, 12);
        expect(judge(choice.threshold).falseRate).toBeCloseTo(choice.validationFalseRate, 12);
        for (let step = 0; step <= 21; step++) {
          const other = judge((step + 0.5) / 21);
          if (other.falseRate <= maximumFalseRate) {
            expect(other.balanced).toBeLessThanOrEqual(choice.balancedAccuracy + 1e-12);
          }
        }
      }),
      { seed: 8 },
    );
  });
});
