import { describe, expect, test } from 'vitest';
import { createRandom } from '../learning/random.js';
import { mmd, slicedWasserstein } from './alignment.js';

const random = createRandom('alignment');
const cloud = (rows: number, shift: number): Float32Array =>
  Float32Array.from({ length: rows * 3 }, (_, i) => random.normal() + (i % 3 === 0 ? shift : 0));
const near = { a: cloud(300, 0), b: cloud(200, 0), inputs: 3, seed: 1 };
const shifted = { ...near, b: cloud(200, 2) };
const apart = { ...near, b: cloud(200, 1_000) };

describe('mmd', () => {
  test('is 0 between a set and itself, small between samples of one source, and grows with the shift to its bound', () => {
    expect(mmd({ ...near, b: near.a }).rbf).toBeLessThan(1e-6);
    expect(mmd(near).rbf).toBeLessThan(0.12);
    expect(mmd(shifted).rbf).toBeGreaterThan(3 * mmd(near).rbf);
    const far = mmd({ a: new Float32Array(30), b: new Float32Array(30).fill(9), inputs: 3, seed: 1 });
    expect(far.multiKernel).toBeGreaterThan(far.rbf);
    expect(far.multiKernel).toBeLessThanOrEqual(Math.sqrt(10));
    expect(mmd(apart).rbf).toBeLessThanOrEqual(Math.SQRT2);
  });

  test('is the textbook value for two sets of one row', () => {
    const { rbf } = mmd({ a: Float32Array.of(0), b: Float32Array.of(3), inputs: 1, seed: 1 });
    expect(rbf).toBeCloseTo(Math.sqrt(2 - 2 * Math.exp(-1 / 2)), 12);
  });
});

describe('slicedWasserstein', () => {
  test('in one dimension is the area between the quantile functions, for sets of different size too', () => {
    const sets = { a: Float32Array.of(0, 1, 2, 3), b: Float32Array.of(5, 7), inputs: 1, seed: 1, projections: 3 };
    expect(slicedWasserstein(sets)).toBeCloseTo((5 + 4 + 5 + 4) / 4, 6);
    expect(slicedWasserstein({ ...sets, b: sets.a })).toBe(0);
  });

  test('grows with the shift', () => {
    const projections = 50;
    const [small, large] = [near, shifted].map((sets) => slicedWasserstein({ ...sets, projections }));
    expect(small).toBeLessThan(0.2);
    expect(large).toBeGreaterThan(0.7);
    expect(large).toBeLessThan(2);
  });

  test('samples large sets down, repeatably, and refuses what is no set of rows', () => {
    const few = { ...shifted, projections: 20, maximumRows: 50 };
    expect(slicedWasserstein(few)).toBe(slicedWasserstein(few));
    expect(slicedWasserstein({ ...few, seed: 2 })).not.toBe(slicedWasserstein(few));
    for (const a of [new Float32Array(), new Float32Array(4)]) {
      expect(() => mmd({ ...near, a })).toThrow(expect.objectContaining({ code: 'EVALUATION_SHAPE' }));
    }
  });
});
