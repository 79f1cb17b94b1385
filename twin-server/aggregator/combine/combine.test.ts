import { roundsConfig } from '@twinwatch/core/config/server';
import { describe, expect, it } from 'vitest';
import { combine } from './combine.js';
import { filterUpdates } from './filter.js';
import { krum } from './krum.js';
import { medianOf } from './norm.js';
import { type Momenta, serverStep } from './server-optimizer.js';
import { coordinateMedian, trimmedMean } from './trimmed-mean.js';

/** Numbers in comments marked golden come from golden.py. */
const CLOSE = 6;

const x = Array.from({ length: 7 }, (_, k) =>
  Float32Array.from({ length: 5 }, (_, i) => {
    const value = Math.sin((k * 5 + i + 1) * 1.7);
    return k === 5 ? -4 * value : k === 6 ? 9 - value : value;
  }),
);
const equal = new Float64Array(7).fill(1 / 7);
const rows = Float64Array.from([3, 4, 2, 3, 4, 2, 2], (copies) => copies / 20);
const { filter } = roundsConfig.parse({});
const optimizer = (serverOptimizer: object) => roundsConfig.parse({ serverOptimizer }).serverOptimizer;
const combiner = (of: object) => roundsConfig.parse({ quorum: 100, combiner: of }).combiner;

function expectClose(actual: ArrayLike<number>, golden: readonly number[]): void {
  expect(actual).toHaveLength(golden.length);
  for (const [i, value] of golden.entries()) expect(actual[i]).toBeCloseTo(value, CLOSE);
}

describe('combiners', () => {
  it('come to what numpy comes to', () => {
    expectClose(
      combine(x, rows, combiner({ type: 'mean' })).aggregated,
      [0.6924763, 0.3988319, 1.2366692, 1.3144121, 0.4565414],
    );
    expectClose(coordinateMedian(x, equal), [-0.148999, -0.2946716, 0.8591618, 0.4941134, 0.3590584]);
    expectClose(coordinateMedian(x, rows), [-0.4244369, -0.2946716, 0.8591618, 0.445427, -0.3011696]);
    expectClose(trimmedMean(x, equal, 2 / 7), [0.0101331, -0.3786167, 0.5787085, 0.5547273, -0.0244188]);
    expectClose(trimmedMean(x, rows, 0.3), [-0.1673688, -0.3988924, 0.6488218, 0.4803288, -0.2586635]);
    expect(krum(x, 2, 3)).toEqual([3, 1, 0]);
    const chosen = combine(x, rows, combiner({ type: 'multiKrum', byzantine: 2, keep: 3 }));
    expectClose(chosen.aggregated, [0.2813315, -0.4996084, -0.1525879, 0.5389286, 0.0137119]);
    expect(chosen.passedOver).toEqual([2, 4, 5, 6]);
    expect(combine(x, rows, combiner({ type: 'krum', byzantine: 1 })).aggregated).toEqual(x[krum(x, 1, 1)![0]!]);
  });

  it('let the strategy’s weights in, or leave them out', () => {
    const weighted = combine(x, rows, combiner({ type: 'median' })).aggregated;
    expect(weighted).toEqual(coordinateMedian(x, rows));
    expect(combine(x, rows, combiner({ type: 'median', weights: 'equal' })).aggregated).toEqual(
      coordinateMedian(x, equal),
    );
    const all = [1, 2, 10].map((value) => Float32Array.of(value));
    expect(trimmedMean(all, [0.6, 0.2, 0.2], 0.4)).toEqual(Float32Array.of(1));
    expect(trimmedMean(all, [0.25, 0.5, 0.25], 0)[0]).toBeCloseTo(3.75, CLOSE);
    expect(coordinateMedian(all, [0.5, 0, 0.5])).toEqual(Float32Array.of(5.5));
  });

  it('keep every parameter within the honest range, whatever fewer than half send', () => {
    const honest = [1, 1.1, 1.2, 0.9].map((value) => Float32Array.of(value, -value));
    for (const evil of [1e30, -1e30]) {
      const sent = [...honest, ...[0, 1, 2].map(() => Float32Array.of(evil, evil))];
      for (const of of [{ type: 'median' }, { type: 'trimmedMean', trim: 0.45 }]) {
        const { aggregated } = combine(sent, equal, combiner(of));
        expect(aggregated[0]).toBeGreaterThanOrEqual(0.9 - 1e-6);
        expect(aggregated[0]).toBeLessThanOrEqual(1.2 + 1e-6);
        expect(aggregated[1]).toBeLessThanOrEqual(-0.9 + 1e-6);
      }
    }
  });

  it('keep at most n − f − 2, and take the median where there are too few for f', () => {
    expect(krum(x, 2, 7)).toHaveLength(3);
    expect(krum(x, 3, 1)).toBeNull();
    const fallen = combine(x, rows, combiner({ type: 'krum', byzantine: 3 }));
    expect(fallen.aggregated).toEqual(coordinateMedian(x, equal));
    expect(fallen.remarks).toEqual([
      expect.stringContaining('7 updates are too few for krum, which needs 9 against 3'),
    ]);
  });
});

describe('filters', () => {
  const none = Float32Array.of(0, 0, 0, 0, 0);

  it('leave out what points away from the median update, or from the twin', () => {
    const byMedian = filterUpdates(x, none, { ...filter, cosine: 'median' });
    expect(byMedian.leftOut).toEqual([{ place: 2, detail: expect.stringContaining('-0.506, below 0') }]);
    const strict = filterUpdates(x, none, { ...filter, cosine: 'median', minimumCosine: 0.4 });
    expect(strict.kept.map(({ place }) => place)).toEqual([5, 6]);
    const twin = Float32Array.from(x[3]!, (value) => -value);
    const byTwin = filterUpdates([x[3]!, twin], twin, { ...filter, cosine: 'twin' });
    expect(byTwin.kept).toEqual([{ place: 1, update: twin }]);
    expect(byTwin.leftOut[0]?.detail).toContain('the twin model is -1.000');
  });

  it('say so where the twin has no direction, and compare with the median', () => {
    const filtered = filterUpdates(x, none, { ...filter, cosine: 'twin' });
    expect(filtered.remarks).toEqual([expect.stringContaining('compared with their median instead')]);
    expect(filtered.leftOut.map(({ place }) => place)).toEqual([2]);
  });

  it('scale down what is longer than a multiple of the median norm, and touch nothing else', () => {
    const { kept } = filterUpdates(x, none, { ...filter, normMultiple: 1.5 });
    expectClose(kept[6]!.update, [1.0483282, 1.23504, 1.1843382, 1.0106917, 1.1061403]);
    expect(kept[0]!.update).toBe(x[0]);
    expect(medianOf([4, 1, 3, 2])).toBe(2.5);
  });
});

describe('server optimisers', () => {
  it.each([
    [{ type: 'fedavgm', learningRate: 0.5 }, [-0.0960123, -0.1393272, 0.0252145, 0.0860032, 0.0011088]],
    [{ type: 'fedadam', learningRate: 0.03 }, [0.1024657, 0.0312599, 0.0091055, 0.0197096, -0.0622521]],
    [{ type: 'fedyogi', learningRate: 0.03 }, [0.1025084, 0.0312952, 0.0091036, 0.0196019, -0.0622998]],
  ] as const)('step as numpy does: %o', (of, golden) => {
    let parameters: Float32Array = Float32Array.from({ length: 5 }, (_, i) => 0.1 * Math.sin((i + 1) * 0.9));
    let momenta: Momenta | null = null;
    for (const aggregated of x.slice(0, 3)) {
      const step: ReturnType<typeof serverStep> = serverStep(parameters, aggregated, momenta, optimizer(of));
      parameters = step.parameters;
      momenta = step.after;
    }
    expectClose(parameters, golden);
  });

  it('without one take the aggregate as it is, and with momentum 0 and η 1 come to the same', () => {
    const base = x[0]!;
    expect(serverStep(base, x[1]!, null, optimizer({ type: 'none' }))).toEqual({ parameters: x[1], after: null });
    const plain = serverStep(base, x[1]!, null, optimizer({ type: 'fedavgm', momentum: 0 }));
    expectClose(plain.parameters, [...x[1]!]);
  });
});
