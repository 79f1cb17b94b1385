import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Architecture } from '@twinwatch/core/learning/engine';
import { exportOnnx } from '@twinwatch/core/onnx/export';
import { type DetectorMetadata, encodeMetadata } from '@twinwatch/core/onnx/metadata';

/** For tests: a detector whose score anybody can tell: high where the level is three scales above its mean of 5, whatever the flow says. */

const TAGS = [
  { name: 'level', unit: 'm', kind: 'analog', resolution: 0.01 },
  { name: 'flow', unit: 'L/s', kind: 'analog', resolution: 0.1 },
] as const;

export const SCHEMA: FeatureSchema = {
  tags: TAGS,
  features: [
    { type: 'raw', tag: 'level' },
    { type: 'raw', tag: 'flow' },
    { type: 'delta', tag: 'flow', rows: 2 },
  ],
  intervalMs: 1_000,
  holdRows: 1,
};
export const SCALER = { mean: [5, 20, 0], scale: [1, 10, 10], clip: 8 };
export const ARCHITECTURE: Architecture = { inputs: 3, hidden: [1], members: 1 };
/** ReLU(level scaled) · 4 − 12. */
export const PARAMETERS = Float32Array.of(1, 0, 0, 0, 4, -12);

export function metadata(rest: Partial<DetectorMetadata> = {}): DetectorMetadata {
  return {
    federation: 'test',
    modelVersion: 'm1',
    lineageHash: '0'.repeat(64),
    round: 1,
    schema: SCHEMA,
    scaler: SCALER,
    architecture: ARCHITECTURE,
    threshold: 0.5,
    alarm: { onDelayRows: 2, offDelayRows: 2, hysteresis: 0.1 },
    provenance: {},
    baseline: [5, 20, 0],
    ...rest,
  };
}

export function model(rest: Partial<DetectorMetadata> = {}, parameters = PARAMETERS): Uint8Array {
  return exportOnnx({
    architecture: ARCHITECTURE,
    parameters,
    scaler: SCALER,
    metadata: encodeMetadata(metadata(rest)),
  });
}
