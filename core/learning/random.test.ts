import { expect, test } from 'vitest';
import { createRandom } from './random.js';

test('the same seed gives the same numbers, on every machine and in every release', () => {
  const random = createRandom('plant');
  expect([random.next(), random.next(), random.normal(), random.integer(100)]).toEqual([
    0.9854912362907094, 0.16657745759469722, -0.9569947776551426, 27,
  ]);
  expect(createRandom(1).next()).not.toBe(createRandom(2).next());
});

test('next is uniform, normal is standard normal, integer and shuffle reach everything', () => {
  const random = createRandom(3);
  const count = 40_000;
  const uniform = Array.from({ length: count }, random.next);
  const normal = Array.from({ length: count }, random.normal);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = (values: readonly number[]): number => mean(values.map((value) => value ** 2)) - mean(values) ** 2;
  expect(mean(uniform)).toBeCloseTo(0.5, 1.9);
  expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...uniform)).toBeLessThan(1);
  expect(Math.abs(mean(normal))).toBeLessThan(0.03);
  expect(Math.abs(variance(normal) - 1)).toBeLessThan(0.03);
  expect(variance(uniform)).toBeCloseTo(1 / 12, 2);
  const counts = [0, 0, 0];
  for (let i = 0; i < 3_000; i++) counts[random.integer(3)]!++;
  expect(Math.min(...counts)).toBeGreaterThan(900);
  expect(random.shuffle([1, 2, 3, 4]).toSorted()).toEqual([1, 2, 3, 4]);
});

test('a fork depends on seed and label only', () => {
  const drawn = createRandom(9);
  drawn.next();
  expect(drawn.fork('a').next()).toBe(createRandom(9).fork('a').next());
  expect(drawn.fork('a').next()).not.toBe(drawn.fork('b').next());
});
