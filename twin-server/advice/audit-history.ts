import type { DetectorConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import { extractAll, inputCount } from '@twinwatch/core/features/extractor';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import { buildSchema } from '../aggregator/lineage.js';
import { normalFeatures } from '../aggregator/twin-rows.js';
import type { RecordedRows } from '../twin/recording.js';
import type { TwinSource } from '../twin/twin-source.js';
import { type Alignment, auditAlignment } from './audit.js';

/** A month or so of normal running, at times of the year drawn at random. */
const TWIN_RUN = { episodes: 4, hoursPerEpisode: 168, attackShare: 0 };
const DAY_MS = 86_400_000;
/** Of the plant's rows, every other such stretch is set against the rest; days, where there is less than a month. */
const STRETCH_MS = 7 * DAY_MS;

export interface AuditedHistory {
  readonly alignment: Alignment;
  /** Whether the recording has labelled attacks, as sites of such a plant then may. */
  readonly areLabelled: boolean;
}

/**
 * Sets a twin against a recording of its plant.
 * @throws TwinwatchError FEED_INVALID where the recording has too little normal running; PLANT_*, TWIN_*, FEATURES_UNKNOWN_TAG, FEATURES_ROW_SHAPE
 */
export async function auditHistory(
  twin: TwinSource,
  recording: Pick<RecordedRows, 'rows' | 'labels'>,
  detector: DetectorConfig,
  seed: number,
  signal?: AbortSignal,
): Promise<AuditedHistory> {
  const { episodes } = await twin.generate({ seed, ...TWIN_RUN }, () => undefined, signal);
  const schema = buildSchema(detector, twin, episodes);
  return {
    alignment: auditAlignment({
      ...{ schema, inputs: inputCount(schema), seed },
      twin: normalFeatures(schema, episodes),
      real: halvesOf(schema, recording),
    }),
    areLabelled: recording.labels?.includes(1) ?? false,
  };
}

function halvesOf(
  schema: FeatureSchema,
  { rows, labels }: Pick<RecordedRows, 'rows' | 'labels'>,
): [Float32Array, Float32Array] {
  const { features, rowIndex, timesMs, count } = extractAll(schema, rows);
  const inputs = inputCount(schema);
  const [first = 0, last = 0] = [timesMs[0], timesMs[count - 1]];
  const stretch = last - first < 4 * STRETCH_MS ? DAY_MS : STRETCH_MS;
  const half = (odd: number): Float32Array => {
    const own = [...rowIndex.keys()].filter(
      (i) => labels?.[rowIndex[i]!] !== 1 && Math.floor((timesMs[i]! - first) / stretch) % 2 === odd,
    );
    const chosen = new Float32Array(own.length * inputs);
    for (const [at, i] of own.entries()) chosen.set(features.subarray(i * inputs, (i + 1) * inputs), at * inputs);
    return chosen;
  };
  const halves: [Float32Array, Float32Array] = [half(0), half(1)];
  if (halves.some(({ length }) => length === 0))
    throw new TwinwatchError('FEED_INVALID', 'the history has normal rows of less than two days; give more of it');
  return halves;
}
