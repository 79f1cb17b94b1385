import type { DetectorConfig } from '@twinwatch/core/config/server';
import { extractAll, inputCount } from '@twinwatch/core/features/extractor';
import { Moments, scaleRows, scalerFrom } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Row } from '@twinwatch/core/scada/sample';
import type { Lineage } from '@twinwatch/core/wire/messages';
import { buildSchema, twinScaler } from '@twinwatch/twin-server/aggregator/lineage';
import { splitEpisodes, type TwinFeatures, twinFeatures } from '@twinwatch/twin-server/aggregator/twin-rows';
import type { TwinRows } from '@twinwatch/twin-server/twin/twin-source';

/** All rows of all sites in one place, as no federation has them: for the baselines that learn so. */
export interface GatheredRows {
  readonly schema: FeatureSchema;
  readonly scaler: Lineage['scaler'];
  /** Of the twin's rows. */
  readonly twinScaler: Lineage['scaler'];
  readonly inputs: number;
  /** Normal rows to learn from, not scaled. [n × inputs] */
  readonly normal: Float32Array;
  /** The newest fifth of every site, scaled: a threshold keeps to the false rate on these. [n × inputs] */
  readonly held: Float32Array;
  readonly twin: TwinFeatures;
}

const HELD_SHARE = 0.2;

/** The same rows to learn from, and to hold back, as agents have. Every row of `sites` counts as normal. */
export function gatherRows(
  sites: readonly (readonly Row[])[],
  twin: TwinRows,
  detector: DetectorConfig,
  options: { readonly validationShare: number; readonly seed: number },
): GatheredRows {
  const episodes = splitEpisodes(twin.episodes, options);
  const schema = buildSchema(detector, twin, episodes.training);
  const inputs = inputCount(schema);
  const parts = sites.map((rows) => {
    const { features, count } = extractAll(schema, rows);
    const trained = (count - Math.floor(count * HELD_SHARE)) * inputs;
    return { normal: features.subarray(0, trained), held: features.subarray(trained, count * inputs) };
  });
  const normal = joined(parts.map((part) => part.normal));
  const moments = new Moments(inputs);
  moments.add(normal);
  const { mean, scale, clip } = scalerFrom(moments, schema, { clip: detector.clip });
  const scaler = { mean: [...mean], scale: [...scale], clip };
  const held = scaleRows(joined(parts.map((part) => part.held)), scaler, inputs);
  const features = twinFeatures(schema, episodes);
  const ofTwin = twinScaler(features.moments, scaler, schema, detector.twinScaling);
  return { schema, scaler, twinScaler: ofTwin, inputs, normal, held, twin: features };
}

export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
