import { type MaximumMeanDiscrepancy, mmd, slicedWasserstein } from '@twinwatch/core/evaluation/alignment';
import { Moments, scaleRows, scalerFrom } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';

/**
 * The alignment audit: how far the twin's normal rows are from the plant's, in the feature space that the plant's rows scale. No distance means
 * anything alone, so that each stands beside the same distance between two halves of the plant's own rows.
 */
export interface Alignment {
  readonly mmd: MaximumMeanDiscrepancy;
  readonly swd: number;
  readonly mmdAmongReal: MaximumMeanDiscrepancy;
  readonly swdAmongReal: number;
}

export interface AuditRequest {
  readonly schema: FeatureSchema;
  /** [rows × inputs] each, normal rows in engineering units. */
  readonly twin: Float32Array;
  /** Two parts of the plant's rows that have nothing to do with each other: sites, or times. */
  readonly real: readonly [Float32Array, Float32Array];
  readonly inputs: number;
  readonly seed: number;
}

const CLIP = 8;
const PROJECTIONS = 64;

/** @throws TwinwatchError EVALUATION_SHAPE where one of the sets has no row. */
export function auditAlignment({ schema, twin, real, inputs, seed }: AuditRequest): Alignment {
  const all = new Float32Array(real[0].length + real[1].length);
  all.set(real[0]);
  all.set(real[1], real[0].length);
  const moments = new Moments(inputs);
  moments.add(all);
  const scaler = scalerFrom(moments, schema, { clip: CLIP });
  const scaled = (features: Float32Array) => scaleRows(features, scaler, inputs);
  const between = { a: scaled(twin), b: scaled(all), inputs, seed };
  const among = { a: scaled(real[0]), b: scaled(real[1]), inputs, seed };
  return {
    mmd: mmd(between),
    swd: slicedWasserstein({ ...between, projections: PROJECTIONS }),
    mmdAmongReal: mmd(among),
    swdAmongReal: slicedWasserstein({ ...among, projections: PROJECTIONS }),
  };
}
