import { expect, test } from 'vitest';
import { BuiltinEngine } from './builtin-engine.js';

/** Computed by golden.py with numpy 2.4 in double precision, which shares no code with the engine. */
const GOLDEN_LOSS = 0.3060521392441047;
const GOLDEN_PARAMETERS = [
  0.234092419, -0.750140708, 0.215449697, -0.259955094, -0.412098768, 1.169263413, -0.276605039, -0.356446274,
  0.387768738, -0.7541765, 0.221704189, 0.674536414, -0.364730515, 0.517216324, -0.075864444, -0.14752405, 0.411755961,
  -0.169491535, -0.332568152, 1.12405132, -0.35133447, 0.286131424, 0.406535626, -0.611163345, 0.610881709, 0.193393336,
  -0.712363096, 1.216905387, -0.276039465,
];

const wave = (count: number, pace: number, factor: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => factor * Math.sin((i + 1) * pace));

test('25 full-batch Adam steps with weights, a soft label and a proximal term end where numpy ends', async () => {
  const parameters = wave(GOLDEN_PARAMETERS.length, 2.3, 0.8);
  const fitted = await new BuiltinEngine().fit({
    architecture: { inputs: 3, hidden: [4, 2], members: 1 },
    parameters,
    data: {
      features: wave(18, 1.7, 1.5),
      labels: Float32Array.of(0, 1, 1, 0, 0.25, 1),
      weights: Float32Array.of(1, 2, 1, 0.5, 1, 0.5),
    },
    epochs: 25,
    batchSize: 6,
    learningRate: 0.02,
    proximal: { mu: 0.05, anchor: parameters.map((value) => value / 2) },
    seed: 1,
  });
  expect(fitted.steps).toBe(25);
  expect(fitted.loss).toBeCloseTo(GOLDEN_LOSS, 6);
  fitted.parameters.forEach((value, i) => {
    expect(Math.abs(value - GOLDEN_PARAMETERS[i]!)).toBeLessThan(2e-6);
  });
});
