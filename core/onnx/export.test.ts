import fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { scaleRows } from '../features/moments.js';
import type { FeatureSchema } from '../features/spec.js';
import type { Architecture } from '../learning/engine.js';
import { forward, initialParameters, parameterCount } from '../learning/network.js';
import { createRandom } from '../learning/random.js';
import { exportOnnx } from './export.js';
import { type DetectorMetadata, encodeMetadata, readOnnxModel } from './metadata.js';

const TOLERANCE = 1e-5;

function detector(architecture: Architecture, seed: number) {
  const random = createRandom(seed);
  const { inputs } = architecture;
  const parameters = initialParameters(architecture, seed).map((value) => value + 0.1 * random.normal());
  const scaler = {
    mean: Array.from({ length: inputs }, () => Math.fround(50 * random.normal())),
    scale: Array.from({ length: inputs }, () => Math.fround(0.01 + 5 * random.next())),
    clip: 4,
  };
  return { architecture, parameters, scaler };
}

describe('exportOnnx', () => {
  test('onnxruntime-node agrees with our scaling and forward pass for any architecture', async () => {
    const architectures = fc.record({
      inputs: fc.integer({ min: 1, max: 40 }),
      hidden: fc.array(fc.integer({ min: 1, max: 33 }), { maxLength: 4 }),
      members: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(architectures, fc.integer(), async (architecture, seed) => {
        const made = detector(architecture, seed);
        const { inputs } = architecture;
        const random = createRandom(`${seed}/rows`);
        const rows = Float32Array.from({ length: 32 * inputs }, (_, i) => {
          return made.scaler.mean[i % inputs]! + 3 * made.scaler.scale[i % inputs]! * random.normal();
        });
        const session = await InferenceSession.create(exportOnnx({ ...made, metadata: {} }));
        const { score } = await session.run({ features: new Tensor('float32', rows, [32, inputs]) });
        await session.release();
        expect(score!.dims).toEqual([32, 1]);
        const own = forward(architecture, made.parameters, scaleRows(rows, made.scaler, inputs));
        const differences = own.map((value, i) => Math.abs(value - (score!.data as Float32Array)[i]!));
        expect(Math.max(...differences)).toBeLessThan(TOLERANCE);
      }),
      { numRuns: 25, seed: 7 },
    );
  });

  test.each([
    ['no scale for an input', { mean: [0, 0], scale: [1], clip: 4 }],
    ['a scale of 0', { mean: [0, 0], scale: [1, 0], clip: 4 }],
    ['a mean that is no number', { mean: [0, Number.NaN], scale: [1, 1], clip: 4 }],
  ])('refuses a scaler with %s', (_, scaler) => {
    const { architecture, parameters } = detector({ inputs: 2, hidden: [3], members: 1 }, 1);
    expect(() => exportOnnx({ architecture, parameters, scaler, metadata: {} })).toThrow(/does not fit 2 inputs/);
  });
});

const tag = { name: 'L_Tä', unit: 'm', kind: 'analog', resolution: 0.01 } as const;
const schema: FeatureSchema = {
  tags: [tag],
  features: [
    { type: 'raw', tag: tag.name },
    {
      ...{ type: 'residual', tag: tag.name, of: 'change', hours: [0.1, -3.5e-7], offset: 1 / 3, windows: [24] },
      terms: [{ tag: tag.name, rowsAgo: 1, power: 2, weight: -0.123456 }],
    },
  ],
  intervalMs: 900_000,
  holdRows: 3,
};

describe('readOnnxModel', () => {
  const made = detector({ inputs: 2, hidden: [5, 3], members: 2 }, 3);
  const metadata: DetectorMetadata = {
    federation: 'demo',
    modelVersion: '12',
    lineageHash: 'ab'.repeat(32),
    round: 12,
    schema,
    scaler: made.scaler,
    architecture: made.architecture,
    threshold: 0.625,
    alarm: { onDelayRows: 2, offDelayRows: 4, hysteresis: 0.1 },
    provenance: { method: 'cwa', seed: 1, clients: ['site-1'] },
    baseline: made.scaler.mean,
  };
  const bytes = exportOnnx({ ...made, metadata: encodeMetadata(metadata) });

  test('gives back metadata and parameters exactly', () => {
    const read = readOnnxModel(bytes);
    expect(read.metadata).toEqual(metadata);
    expect(read.parameters).toEqual(made.parameters);
    expect(read.parameters).toHaveLength(parameterCount(made.architecture));
  });

  test('refuses damaged bytes, other files and wrong fields with ONNX_MALFORMED', () => {
    const refused = expect.objectContaining({ code: 'ONNX_MALFORMED' });
    expect(() => readOnnxModel(bytes.subarray(0, bytes.length - 3))).toThrow(refused);
    expect(() => readOnnxModel(new TextEncoder().encode('not a model'))).toThrow(refused);
    expect(() => readOnnxModel(new Uint8Array())).toThrow(/no metadata/);
    const wide = { ...metadata, architecture: { inputs: 2, hidden: [8192, 8192], members: 64 } };
    expect(() => readOnnxModel(exportOnnx({ ...made, metadata: encodeMetadata(wide) }))).toThrow(/bytes of tensors/);
    const loud = { ...metadata, threshold: 1.5 };
    expect(() => readOnnxModel(exportOnnx({ ...made, metadata: encodeMetadata(loud) }))).toThrow(/threshold/);
  });
});
