import { describe, expect, it } from 'vitest';
import { aggregateRound } from '../aggregation.js';
import { strategyRound } from '../testing/strategy-round.js';
import { dtml } from './dtml.js';
import type { ServerQuestion } from './strategy.js';

/** Two clients of one and three rows at (1, 1) and (5, −3): Θ_agg is (4, −2). */
const clients = [
  { agent: 'a', parameters: Float32Array.of(1, 1), rows: 1 },
  { agent: 'b', parameters: Float32Array.of(5, -3), rows: 3 },
];

/** L_tw = ‖Θ‖²/2, whose gradient is Θ: the mean over clients is (3, −1), whatever their rows. */
async function bowl({ wanted, at }: ServerQuestion): Promise<number | Float32Array> {
  return wanted === 'training-gradient' ? at.slice() : at.reduce((sum, value) => sum + (value * value) / 2, 0);
}

async function next(t: number, settings: object, answer = bowl): Promise<number[]> {
  const zero = new Float32Array(2);
  const round = strategyRound(t, { dtml: settings }, { clients, global: zero, twin: zero });
  const outcome = await aggregateRound(dtml, round, answer);
  if ('failure' in outcome) throw new Error(outcome.detail);
  expect(outcome.twin).toBe(zero);
  return [...outcome.global];
}

describe('DTML', () => {
  it('steps from the weighted mean along the plain mean of the gradients at each client’s parameters', async () => {
    expect(await next(7, { beta: 0.5 })).toEqual([2.5, -1.5]);
    expect(await next(0, { beta: 0 })).toEqual([4, -2]);
  });

  it('clips the mean gradient to a norm, and only where it is longer', async () => {
    const [x, y] = await next(0, { beta: 1, clipNorm: 1 });
    expect(x).toBeCloseTo(4 - 3 / Math.sqrt(10), 6);
    expect(y).toBeCloseTo(-2 + 1 / Math.sqrt(10), 6);
    expect(await next(0, { beta: 0.5, clipNorm: 4 })).toEqual([2.5, -1.5]);
  });

  it('shortens the step over the rounds', async () => {
    expect(await next(0, { beta: 1, decay: 1 })).toEqual([1, -1]);
    expect(await next(3, { beta: 1, decay: 1 })).toEqual([3.25, -1.75]);
  });

  it('leaves out a step that raises the twin loss, where told to', async () => {
    expect(await next(0, { beta: 1, skipRising: true })).toEqual([1, -1]);
    expect(await next(0, { beta: 10, skipRising: true })).toEqual([4, -2]);
    expect(await next(0, { beta: 10 })).toEqual([-26, 8]);
  });

  it('fails in words on a gradient that is not finite', async () => {
    await expect(next(0, {}, async () => Float32Array.of(Number.NaN, 0))).rejects.toThrow('parameter 0');
  });
});
