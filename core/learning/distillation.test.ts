import { describe, expect, test } from 'vitest';
import { BuiltinEngine } from './builtin-engine.js';
import { studentLoss, teacherLogit } from './distillation.js';
import type { Architecture, FitRequest } from './engine.js';
import { forward, initialParameters, layers } from './network.js';
import { createRandom } from './random.js';

const engine = new BuiltinEngine();
const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));

/** Rows of which every third has no label, and a teacher of two networks. */
function lesson(rows: number, alpha: number, temperature: number) {
  const architecture = { inputs: 3, hidden: [5, 4], members: 2 };
  const random = createRandom('lesson');
  const features = Float32Array.from({ length: rows * 3 }, () => random.normal());
  const labels = Float32Array.from({ length: rows }, (_, row) => (row % 3 === 0 ? Number.NaN : random.integer(2)));
  const teacher = initialParameters(architecture, 'teacher');
  const request = {
    ...{ architecture, parameters: initialParameters(architecture, 'student'), epochs: 3, batchSize: 8, seed: 1 },
    ...{ learningRate: 0.01, data: { features, labels, weights: labels.map((_, row) => 1 + (row % 4)) } },
    distillation: { alpha, temperature, teacher: { scores: forward(architecture, teacher, features) } },
  } satisfies FitRequest;
  const onTheFly = { alpha, temperature, teacher: { parameters: teacher } };
  return { request, onTheFly };
}

/** Logits of all rows, member by member, in double precision and without the kernels. */
function memberLogits(architecture: Architecture, parameters: Float64Array, features: Float32Array): number[] {
  const { inputs, hidden, members } = architecture;
  return Array.from({ length: members }, (_, member) =>
    Array.from({ length: features.length / inputs }, (_, row) => {
      let values = [...features.subarray(row * inputs, (row + 1) * inputs)];
      for (const slice of layers(architecture).filter((one) => one.member === member)) {
        const { weightOffset, biasOffset, outputs, layer } = slice;
        const sums = Array.from({ length: outputs }, (_, o) =>
          values.reduce(
            (sum, x, i) => sum + x * parameters[weightOffset + i * outputs + o]!,
            parameters[biasOffset + o]!,
          ),
        );
        values = layer < hidden.length ? sums.map((sum) => Math.max(0, sum)) : sums;
      }
      return values[0]!;
    }),
  ).flat();
}

describe('distillation', () => {
  test('a row’s loss is (1 − α) BCE + α T² KL as the definitions give it, and α T² KL without a label', () => {
    const [alpha, temperature, z, score] = [0.3, 4, 1.7, 0.2];
    const [q, p] = [sigmoid(Math.log(0.2 / 0.8) / 4), sigmoid(z / 4)];
    const divergence = q * Math.log(q / p) + (1 - q) * Math.log((1 - q) / (1 - p));
    const taught = teacherLogit(score, temperature);
    const distillation = { alpha, temperature, teacher: { scores: new Float32Array() } };
    const unlabelled = studentLoss(z, Number.NaN, taught, distillation);
    expect(unlabelled.loss).toBeCloseTo(0.3 * 16 * divergence, 9);
    const labelled = studentLoss(z, 1, taught, distillation);
    expect(labelled.loss).toBeCloseTo(0.3 * 16 * divergence - 0.7 * Math.log(sigmoid(z)), 9);
    for (const label of [0, 1, Number.NaN]) {
      const at = (logit: number) => studentLoss(logit, label, taught, distillation).loss;
      const { derivative } = studentLoss(z, label, taught, distillation);
      expect(derivative).toBeCloseTo((at(z + 1e-5) - at(z - 1e-5)) / 2e-5, 6);
    }
    expect(studentLoss(teacherLogit(score, 1), Number.NaN, taught, distillation).loss).toBeCloseTo(0, 9);
    expect(teacherLogit(1, 1)).toBeLessThan(17);
  });

  test('the gradient is what central differences of the definition give, unlabelled rows and weights included', async () => {
    const { request } = lesson(30, 0.6, 2);
    const { architecture, data, distillation } = request;
    // With biases of 0, a unit above units that are all at rest sits on its kink, where differences see half a slope.
    const random = createRandom('off the kink');
    const parameters = request.parameters.map((value) => value + 0.05 * random.normal());
    const exact = Float64Array.from(parameters);
    const { gradient, loss } = await engine.gradient({ ...request, parameters });
    const reference = (at: Float64Array) => {
      const total = data.weights.reduce((sum, weight) => sum + weight, 0);
      const logits = memberLogits(architecture, at, data.features);
      return logits.reduce((sum, logit, i) => {
        const row = i % 30;
        const taught = teacherLogit(distillation.teacher.scores[row]!, distillation.temperature);
        return sum + (data.weights[row]! / total) * studentLoss(logit, data.labels[row]!, taught, distillation).loss;
      }, 0);
    };

    expect(loss).toBeCloseTo(reference(exact), 5);
    const h = 1e-6;
    exact.forEach((value, i) => {
      const [above, below] = [exact.with(i, value + h), exact.with(i, value - h)].map(reference);
      expect(gradient[i]).toBeCloseTo((above! - below!) / (2 * h), 4);
    });
  });

  test('scores computed on the fly teach the very same as stored ones', async () => {
    const { request, onTheFly } = lesson(50, 0.6, 2);
    const stored = await engine.fit(request);
    expect(await engine.fit({ ...request, distillation: onTheFly })).toEqual(stored);
    expect(stored.parameters).not.toEqual(request.parameters);
  });

  test('with α = 0 labels alone count, with α = 1 the student becomes its teacher', async () => {
    const { request } = lesson(60, 0, 2);
    const labels = request.data.labels.map((label, row) => (Number.isNaN(label) ? row % 2 : label));
    const labelled = { ...request, data: { ...request.data, labels } };
    const { distillation: _, ...untaught } = labelled;
    expect(await engine.fit(labelled)).toEqual(await engine.fit(untaught));
    const { request: pupil } = lesson(60, 1, 2);
    const { loss } = await engine.fit({ ...pupil, epochs: 300 });
    expect(loss).toBeLessThan((await engine.gradient(pupil)).loss / 50);
  });

  test('refuses rows without labels that nobody teaches, and lessons that cannot be', async () => {
    const { request, onTheFly } = lesson(6, 0.5, 2);
    const { distillation, ...untaught } = request;
    await expect(engine.fit(untaught)).rejects.toThrow('label NaN of row 0');
    const fit = (change: object) => engine.fit({ ...request, distillation: { ...distillation, ...change } });
    await expect(fit({ alpha: 1.5 })).rejects.toMatchObject({ code: 'LEARNING_REQUEST' });
    await expect(fit({ temperature: 0 })).rejects.toMatchObject({ code: 'LEARNING_REQUEST' });
    await expect(fit({ teacher: { scores: new Float32Array(5) } })).rejects.toMatchObject({ code: 'LEARNING_SHAPE' });
    const short = { parameters: onTheFly.teacher.parameters.slice(1) };
    await expect(fit({ teacher: short })).rejects.toMatchObject({ code: 'LEARNING_SHAPE' });
  });
});
