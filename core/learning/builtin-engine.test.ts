import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BuiltinEngine } from './builtin-engine.js';
import type { Architecture, Dataset, FitRequest } from './engine.js';
import { crossEntropy, sigmoid } from './loss.js';
import { forward, initialParameters, layers, memberParameterCount, parameterCount } from './network.js';
import { createRandom } from './random.js';

/** Mean weighted loss and proximal term in double precision, written again without the kernels: what is differentiated numerically. */
function referenceLoss(
  architecture: Architecture,
  parameters: Float64Array,
  data: Dataset,
  proximal: FitRequest['proximal'],
) {
  const rows = data.labels.length;
  const totalWeight = data.weights?.reduce((sum, weight) => sum + weight, 0) ?? rows;
  let loss = 0;
  for (let row = 0; row < rows; row++) {
    let below: number[] = [];
    for (const { layer, inputs, outputs, weightOffset, biasOffset } of layers(architecture)) {
      if (layer === 0) below = [...data.features.subarray(row * inputs, (row + 1) * inputs)];
      const isHidden = layer < architecture.hidden.length;
      const sums = Array.from({ length: outputs }, (_, o) =>
        below.reduce(
          (sum, value, i) => sum + value * parameters[weightOffset + i * outputs + o]!,
          parameters[biasOffset + o]!,
        ),
      );
      below = isHidden ? sums.map((sum) => Math.max(sum, 0)) : sums;
      if (isHidden) continue;
      const p = 1 / (1 + Math.exp(-sums[0]!));
      const y = data.labels[row]!;
      loss -= ((data.weights?.[row] ?? 1) / totalWeight) * (y * Math.log(p) + (1 - y) * Math.log(1 - p));
    }
  }
  if (proximal === undefined) return loss;
  return loss + parameters.reduce((sum, value, i) => sum + (proximal.mu / 2) * (value - proximal.anchor[i]!) ** 2, 0);
}

function problem(architecture: Architecture, rows: number, seed: number) {
  const random = createRandom(seed);
  const draw = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
  return {
    architecture,
    parameters: initialParameters(architecture, seed).map((value) => value + 0.05 * random.normal()),
    data: {
      features: draw(rows * architecture.inputs),
      labels: Float32Array.from({ length: rows }, () => [0, 1, random.next()][random.integer(3)]!),
      weights: Float32Array.from({ length: rows }, () => 0.1 + 3 * random.next()),
    },
    proximal: { mu: 0.3, anchor: draw(parameterCount(architecture)) },
  };
}

describe('gradient', () => {
  test('is what central differences of an independent double-precision loss give, weights, soft labels and proximal term included', async () => {
    const architectures = fc.record({
      inputs: fc.integer({ min: 1, max: 9 }),
      hidden: fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 3 }),
      members: fc.integer({ min: 1, max: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(
        architectures,
        fc.integer({ min: 1, max: 7 }),
        fc.integer(),
        async (architecture, rows, seed) => {
          const { parameters, data, proximal } = problem(architecture, rows, seed);
          const { loss, gradient } = await new BuiltinEngine().gradient({ architecture, parameters, data, proximal });
          const exact = Float64Array.from(parameters);
          expect(loss).toBeCloseTo(referenceLoss(architecture, exact, data, proximal), 4);
          const h = 1e-6;
          exact.forEach((value, i) => {
            exact[i] = value + h;
            const above = referenceLoss(architecture, exact, data, proximal);
            exact[i] = value - h;
            const below = referenceLoss(architecture, exact, data, proximal);
            exact[i] = value;
            expect(gradient[i]).toBeCloseTo((above - below) / (2 * h), 4);
          });
        },
      ),
      { numRuns: 40, seed: 3 },
    );
  });

  test('cross-entropy and sigmoid hold for logits where exp overflows', () => {
    expect(crossEntropy(800, 1)).toBe(0);
    expect(crossEntropy(800, 0)).toBe(800);
    expect(crossEntropy(-800, 1)).toBe(800);
    expect(sigmoid(-800)).toBe(0);
    expect(sigmoid(800)).toBe(1);
    expect(sigmoid(0.3) + sigmoid(-0.3)).toBeCloseTo(1, 15);
  });
});

describe('BuiltinEngine.fit', () => {
  const engine = new BuiltinEngine();
  const random = createRandom('ring');
  const features = Float32Array.from({ length: 2 * 400 }, () => 2 * random.normal());
  const labels = Float32Array.from({ length: 400 }, (_, row) => {
    return Math.hypot(features[2 * row]!, features[2 * row + 1]!) > 2.2 ? 1 : 0;
  });
  const architecture = { inputs: 2, hidden: [16, 8], members: 2 };
  const ring: FitRequest = {
    architecture,
    parameters: initialParameters(architecture, 1),
    data: { features, labels },
    epochs: 40,
    batchSize: 16,
    learningRate: 0.01,
    seed: 4,
  };

  test('learns a ring that no line separates, and is repeatable', async () => {
    const fitted = await engine.fit(ring);
    expect(fitted.steps).toBe(2 * 40 * 25);
    expect(fitted.loss).toBeLessThan(0.1);
    const scores = await engine.score(architecture, fitted.parameters, features);
    expect(scores.filter((score, row) => score >= 0.5 === (labels[row] === 1)).length).toBeGreaterThan(390);
    expect(await engine.fit(ring)).toEqual(fitted);
    expect((await engine.fit({ ...ring, seed: 5 })).parameters).not.toEqual(fitted.parameters);
  });

  test('trains members apart from each other, and scores their mean', async () => {
    const short = { ...ring, epochs: 2 };
    const { parameters } = await engine.fit(short);
    const count = memberParameterCount(architecture);
    const one = { ...architecture, members: 1 };
    const alone = await engine.fit({ ...short, architecture: one, parameters: ring.parameters.slice(0, count) });
    expect(parameters.slice(0, count)).toEqual(alone.parameters);
    const first = forward(one, parameters.slice(0, count), features);
    const second = forward(one, parameters.slice(count), features);
    expect(first).not.toEqual(second);
    forward(architecture, parameters, features).forEach((score, row) => {
      expect(score).toBeCloseTo((first[row]! + second[row]!) / 2, 6);
    });
  });

  test('a proximal term keeps parameters near their anchor', async () => {
    const distance = async (mu: number): Promise<number> => {
      const { parameters } = await engine.fit({ ...ring, epochs: 5, proximal: { mu, anchor: ring.parameters } });
      return Math.hypot(...parameters.map((value, i) => value - ring.parameters[i]!));
    };
    expect(await distance(10)).toBeLessThan((await distance(0)) / 5);
  });

  test('rows of weight 0 change nothing, and all weights times a factor change nothing', async () => {
    const weights = labels.map((_, row) => (row < 200 ? 1 : 0));
    const poisoned = features.map((value, i) => (i < 400 ? value : 1_000));
    const fit = async (data: Dataset) => (await engine.fit({ ...ring, epochs: 2, data })).parameters;
    const expected = await fit({ features, labels, weights });
    expect(await fit({ features: poisoned, labels, weights })).toEqual(expected);
    expect(await fit({ features, labels, weights: weights.map((weight) => 4 * weight) })).toEqual(expected);
  });

  test.each<[string, Partial<FitRequest>, string]>([
    ['parameters of another network', { parameters: new Float32Array(7) }, 'LEARNING_SHAPE'],
    ['labels that are missing', { data: { features, labels: labels.slice(1) } }, 'LEARNING_SHAPE'],
    ['half a row', { data: { features: features.slice(1), labels } }, 'LEARNING_SHAPE'],
    ['an anchor of another network', { proximal: { mu: 1, anchor: new Float32Array(3) } }, 'LEARNING_SHAPE'],
    ['a width of 0', { architecture: { ...architecture, hidden: [0] } }, 'LEARNING_SHAPE'],
    ['a parameter that is NaN', { parameters: ring.parameters.map(() => Number.NaN) }, 'LEARNING_NOT_FINITE'],
    ['a feature that is NaN', { data: { features: features.map(() => Number.NaN), labels } }, 'LEARNING_NOT_FINITE'],
    ['training that diverges', { learningRate: 1e30 }, 'LEARNING_NOT_FINITE'],
    ['unlabelled rows marked −999', { data: { features, labels: labels.map(() => -999) } }, 'LEARNING_REQUEST'],
    ['no rows', { data: { features: new Float32Array(), labels: new Float32Array() } }, 'LEARNING_REQUEST'],
    ['weights that are all 0', { data: { features, labels, weights: new Float32Array(400) } }, 'LEARNING_REQUEST'],
    ['no epochs', { epochs: 0 }, 'LEARNING_REQUEST'],
    ['half a batch', { batchSize: 0.5 }, 'LEARNING_REQUEST'],
    ['no learning rate', { learningRate: Number.NaN }, 'LEARNING_REQUEST'],
  ])('refuses %s', async (_, wrong, code) => {
    await expect(engine.fit({ ...ring, epochs: 3, ...wrong })).rejects.toMatchObject({ code });
  });

  test('stops between steps with the reason of the signal', async () => {
    const reason = new Error('deadline');
    await expect(engine.fit(ring, { aborted: true, reason })).rejects.toBe(reason);
  });
});

test('layers lie one behind the other in the flat parameters, members last', () => {
  const slices = layers({ inputs: 3, hidden: [4, 2], members: 2 });
  expect(slices.map(({ weightOffset, biasOffset }) => [weightOffset, biasOffset])).toEqual([
    [0, 12],
    [16, 24],
    [26, 28],
    [29, 41],
    [45, 53],
    [55, 57],
  ]);
  expect(parameterCount({ inputs: 3, hidden: [4, 2], members: 2 })).toBe(58);
});
