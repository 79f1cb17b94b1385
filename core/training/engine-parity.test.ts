import * as tfjs from '@tensorflow/tfjs';
import { describe, expect, test } from 'vitest';
import { ADAM_EPSILON } from '../learning/adam.js';
import { BuiltinEngine } from '../learning/builtin-engine.js';
import type { FitRequest } from '../learning/engine.js';
import { initialParameters } from '../learning/network.js';
import { createRandom } from '../learning/random.js';
import { type Tensorflow, TensorflowEngine } from './tensorflow-engine.js';
import { loadNativeTensorflow, loadTensorflow } from './tensorflow-loader.js';

/**
 * Small enough to tell a wrong epsilon (below). It holds for this problem: on others, one ReLU's sum may come within rounding of 0 at some
 * step, where the engines take different branches and that unit parts by about 1e-3 while all others stay together.
 */
const TOLERANCE = 3e-6;

function request(): FitRequest {
  const architecture = { inputs: 6, hidden: [8, 4], members: 2 };
  const random = createRandom('parity');
  const rows = 95;
  const features = Float32Array.from({ length: rows * 6 }, () => random.normal());
  const labels = Float32Array.from({ length: rows }, (_, row) => {
    return row % 5 === 0 ? 0.25 : features[row * 6]! + features[row * 6 + 1]! > 0.7 ? 1 : 0;
  });
  const parameters = initialParameters(architecture, 5);
  return {
    architecture,
    parameters,
    data: { features, labels, weights: labels.map((label) => 1 + label) },
    epochs: 20,
    batchSize: 10,
    learningRate: 1e-3,
    proximal: { mu: 0.01, anchor: parameters.map((value) => value * 0.9) },
    seed: 11,
  };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

describe('builtin and TensorFlow engines', async () => {
  const { engine: tensorflow, nativeFault } = await loadTensorflow();
  const native = await loadNativeTensorflow();
  const absent = nativeFault === null ? '' : `; tensorflow-node could not run: ${nativeFault}`;
  console.log(`parity: builtin against ${tensorflow.name}${absent}`);
  const builtin = new BuiltinEngine();
  const expected = await builtin.fit(request());

  test(`${tensorflow.name} walks the same path over ${expected.steps} steps of two members`, async () => {
    expect(expected.steps).toBe(400);
    const fitted = await tensorflow.fit(request());
    expect(fitted.steps).toBe(expected.steps);
    expect(largestDifference(fitted.parameters, request().parameters)).toBeGreaterThan(0.05);
    expect(largestDifference(fitted.parameters, expected.parameters)).toBeLessThan(TOLERANCE);
    expect(fitted.loss).toBeCloseTo(expected.loss, 5);
  });

  test('scores are the same', async () => {
    const { architecture, parameters, data } = request();
    const ours = await builtin.score(architecture, parameters, data.features);
    expect(largestDifference(await tensorflow.score(architecture, parameters, data.features), ours)).toBeLessThan(1e-6);
  });

  test('gradients over more rows than one pass takes are the same, members and proximal term included', async () => {
    const random = createRandom('many rows');
    const rows = 1_300;
    const features = Float32Array.from({ length: rows * 6 }, () => random.normal());
    const labels = Float32Array.from({ length: rows }, () => random.integer(2));
    const asked = { ...request(), data: { features, labels, weights: labels.map((label) => 1 + label) } };
    const before = tfjs.memory().numTensors;
    const [ours, theirs] = [await builtin.gradient(asked), await tensorflow.gradient(asked)];
    expect(tfjs.memory().numTensors).toBe(before);
    expect(theirs.loss).toBeCloseTo(ours.loss, 5);
    expect(Math.hypot(...ours.gradient)).toBeGreaterThan(0.1);
    expect(largestDifference(theirs.gradient, ours.gradient)).toBeLessThan(TOLERANCE);
  });

  test.each(['stored', 'onTheFly'])(
    'students taught by %s scores walk the same path, unlabelled rows included',
    async (how) => {
      const { architecture, data, ...rest } = request();
      const teacher = initialParameters(architecture, 'teacher');
      const labels = data.labels.map((label, row) => (row % 4 === 0 ? Number.NaN : label));
      const scores = await builtin.score(architecture, teacher, data.features);
      const lesson = how === 'stored' ? { scores } : { parameters: teacher };
      const taught = {
        ...{ ...rest, architecture, data: { ...data, labels }, epochs: 5 },
        distillation: { alpha: 0.5, temperature: 2, teacher: lesson },
      };
      const before = tfjs.memory().numTensors;
      const [ours, theirs] = [await builtin.fit(taught), await tensorflow.fit(taught)];
      expect(tfjs.memory().numTensors).toBe(before);
      expect(largestDifference(theirs.parameters, ours.parameters)).toBeLessThan(TOLERANCE);
      expect(theirs.loss).toBeCloseTo(ours.loss, 5);
    },
  );

  test('the tolerance tells an Adam with another epsilon', async () => {
    const adam: typeof tfjs.train.adam = (rate, beta1, beta2) => tfjs.train.adam(rate, beta1, beta2, 10 * ADAM_EPSILON);
    const perturbed = { ...tfjs, train: { ...tfjs.train, adam } } as Tensorflow;
    const fitted = await new TensorflowEngine(perturbed, 'tensorflow-js').fit(request());
    expect(largestDifference(fitted.parameters, expected.parameters)).toBeGreaterThan(TOLERANCE);
  });

  test('training and scoring leave no tensors behind', async () => {
    const before = tfjs.memory().numTensors;
    await tensorflow.fit({ ...request(), epochs: 1 });
    await tensorflow.score(request().architecture, request().parameters, request().data.features);
    expect(tfjs.memory().numTensors).toBe(before);
  });

  test('a stopped fit rejects with the reason and frees its tensors', async () => {
    const before = tfjs.memory().numTensors;
    const reason = new Error('deadline');
    await expect(tensorflow.fit(request(), { aborted: true, reason })).rejects.toBe(reason);
    expect(tfjs.memory().numTensors).toBe(before);
  });

  test('the native engine is believed only where an operation has run', () => {
    if (typeof native === 'string') expect(nativeFault).toBe(native);
    else expect(tensorflow.name).toBe('tensorflow-node');
  });
});
