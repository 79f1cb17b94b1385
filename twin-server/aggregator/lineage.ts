import type { DetectorConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import { inputCount } from '@twinwatch/core/features/extractor';
import { Moments, scalerFrom } from '@twinwatch/core/features/moments';
import { expandFeatures } from '@twinwatch/core/features/patterns';
import { type DeclaredInputs, schemaHash } from '@twinwatch/core/features/schema';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Architecture } from '@twinwatch/core/learning/engine';
import type { BlobRef, Calibration, Lineage } from '@twinwatch/core/wire/messages';
import type { TwinEpisode, TwinRows } from '../twin/twin-source.js';
import { fitExpectations } from './expectations.js';

/** What all parties agree on before anything is averaged: features, scaling, architecture, and the rows that are shared. */

/**
 * @param training episodes of the twin that residual features are fitted to; not looked at where there are none.
 * @throws TwinwatchError FEATURES_UNKNOWN_TAG where a feature names a tag that does not exist, LEARNER_NO_ATTACKS where there is no normal row.
 */
export function buildSchema(
  detector: DetectorConfig,
  { tags, intervalMs, rules }: Pick<TwinRows, 'tags' | 'intervalMs' | 'rules'>,
  training: readonly TwinEpisode[],
): FeatureSchema {
  const features = fitExpectations(expandFeatures(detector.features, tags, rules), { tags, intervalMs }, training);
  return { tags, features, intervalMs, holdRows: detector.holdRows };
}

export function architectureOf(detector: DetectorConfig, schema: DeclaredInputs): Architecture {
  return { inputs: inputCount(schema), hidden: detector.hidden, members: detector.members };
}

/** @throws TwinwatchError LINEAGE_MISMATCH where moments of another schema, or impossible ones, were sent. */
export function checkCalibration(calibration: Calibration, hash: string, inputs: number): void {
  const { count, mean, m2 } = calibration.moments;
  const fits = calibration.schemaHash === hash && mean.length === inputs && m2.length === inputs;
  const possible =
    count > 0 && mean.every(Number.isFinite) && m2.every((value) => Number.isFinite(value) && value >= 0);
  if (fits && possible) return;
  throw new TwinwatchError(
    'LINEAGE_MISMATCH',
    fits
      ? 'The calibration holds moments that no rows can have; it is ignored until the agent sends proper ones'
      : 'The calibration belongs to another feature schema; it is ignored until the agent has seen the current calibrate task',
    { context: { count, inputs: mean.length, expectedInputs: inputs } },
  );
}

/**
 * The scaler of a lineage. Ours: it comes from the clients' real normal rows alone, merged exactly (Chan et al.); the twin's
 * rows are never mixed in, because the twin is there to be compared with reality, not to blur it. Only where no client
 * has any row does the twin's own scale serve. Features that never moved are floored by their tag's resolution.
 */
export function mergedScaler(
  clients: readonly Calibration['moments'][],
  twin: Moments,
  schema: FeatureSchema,
  clip: number,
): Lineage['scaler'] {
  const real = clients.filter(({ count }) => count > 0);
  const { mean, scale } = scalerFrom(real.length > 0 ? Moments.merge(real) : twin, schema, { clip });
  return { mean: [...mean], scale: [...scale], clip };
}

/**
 * What the twin's rows are scaled by. By their own normal rows (ours), normal running looks alike in both, and an attack is a deviation measured in
 * the deviations of normal running: that carries over to a plant whose pumps, pipes and demands are not quite the twin's.
 */
export function twinScaler(
  twin: Moments,
  sites: Lineage['scaler'],
  schema: FeatureSchema,
  twinScaling: DetectorConfig['twinScaling'],
): Lineage['scaler'] {
  if (twinScaling === 'sites') return sites;
  const { mean, scale } = scalerFrom(twin, schema, { clip: sites.clip });
  return { mean: [...mean], scale: [...scale], clip: sites.clip };
}

export function lineageOf(
  schema: FeatureSchema,
  scaler: Lineage['scaler'],
  architecture: Architecture,
  exchange: BlobRef | null,
): Lineage {
  return { schema, schemaHash: schemaHash(schema), scaler, architecture, exchange };
}
