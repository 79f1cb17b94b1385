import { TwinwatchError } from '@twinwatch/core/errors';
import { extractAll, inputCount } from '@twinwatch/core/features/extractor';
import { Moments, scaleRows } from '@twinwatch/core/features/moments';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Dataset } from '@twinwatch/core/learning/engine';
import { createRandom } from '@twinwatch/core/learning/random';
import type { Lineage } from '@twinwatch/core/wire/messages';
import type { TwinEpisode } from '../twin/twin-source.js';

/** Rows in engineering units with their labels: what becomes a Dataset once a scaler is there. */
export interface LabelledFeatures {
  /** [count × inputs]. */
  readonly features: Float32Array;
  /** [count], 0 or 1. */
  readonly labels: Float32Array;
}

export interface TwinFeatures {
  readonly training: LabelledFeatures;
  /** Of episodes that no training row comes from. */
  readonly validation: LabelledFeatures;
  /** Of the normal training rows. */
  readonly moments: Moments;
}

/** Features of the rows that are labelled 0. [normal rows × inputs] */
export function normalRows({ features, labels }: LabelledFeatures): Float32Array {
  return learnable({ features, labels }, (row) => labels[row] === 0).features;
}

/** Features of all normal rows that count. [rows × inputs] */
export function normalFeatures(schema: FeatureSchema, episodes: readonly TwinEpisode[]): Float32Array {
  return normalRows(concatenate(episodes.map((episode) => episodeFeatures(schema, episode))));
}

/** Whole episodes: rows next to each other are too alike to be split. */
export interface SplitEpisodes {
  readonly training: readonly TwinEpisode[];
  /** Nothing is fitted to these: neither the network nor what its features expect. */
  readonly validation: readonly TwinEpisode[];
}

/** Episodes with and without attacks are split apart, so that both sides have both. */
export function splitEpisodes(
  episodes: readonly TwinEpisode[],
  options: { readonly validationShare: number; readonly seed: number },
): SplitEpisodes {
  const random = createRandom(`${options.seed}:twin-split`);
  const validation: TwinEpisode[] = [];
  const training: TwinEpisode[] = [];
  const isAttacked = ({ labels, excluded }: TwinEpisode): boolean =>
    labels.some((label, i) => label === 1 && excluded[i] !== 1);
  for (const attacked of [true, false]) {
    const group = episodes.filter((episode) => isAttacked(episode) === attacked);
    random.shuffle(group);
    const held = group.length < 2 ? 0 : Math.max(1, Math.round(group.length * options.validationShare));
    validation.push(...group.slice(0, held));
    training.push(...group.slice(held));
  }
  return { training, validation };
}

/**
 * Twin rows → features.
 *
 * @throws TwinwatchError LEARNER_NO_ATTACKS where one side lacks attack rows or normal rows.
 */
export function twinFeatures(schema: FeatureSchema, episodes: SplitEpisodes): TwinFeatures {
  const featuresOf = (episode: TwinEpisode) => episodeFeatures(schema, episode);
  const moments = new Moments(inputCount(schema));
  const trained = concatenate(episodes.training.map(featuresOf));
  forEachRow(trained, (row, label) => {
    if (label === 0) moments.add(row);
  });
  const held = concatenate(episodes.validation.map(featuresOf));
  for (const [name, { labels }] of [['training', trained] as const, ['validation', held] as const]) {
    if (labels.includes(1) && labels.includes(0)) continue;
    throw new TwinwatchError(
      'LEARNER_NO_ATTACKS',
      `The twin's ${name} rows are all ${labels.includes(1) ? 'attacked' : 'normal'}; raise twin.episodes (${episodes.training.length + episodes.validation.length} now) or check its attacks`,
      { context: { rows: labels.length } },
    );
  }
  return { training: trained, validation: held, moments };
}

/**
 * Scaled rows; normal and attacked ones weigh the same in all. Ours: attacks are a few per cent of a plant's hours, and a
 * loss that hardly sees them learns to call everything normal.
 */
export function balancedDataset({ features, labels }: LabelledFeatures, scaler: Lineage['scaler']): Dataset {
  return { features: scaleRows(features, scaler, scaler.mean.length), labels, weights: balancedWeights(labels) };
}

/** [labels] → [labels]: both classes weigh the same in all, a row 1 on average. */
export function balancedWeights(labels: Float32Array): Float32Array {
  const attacked = labels.reduce((sum, label) => sum + label, 0);
  const normal = labels.length - attacked;
  const half = labels.length / 2;
  return labels.map((label) => (label === 1 ? half / attacked : half / normal));
}

/** At most `count` rows, half of them attacked as far as there are enough, drawn without repetition. */
export function classBalancedSample(
  data: LabelledFeatures,
  inputs: number,
  count: number,
  seed: number,
): LabelledFeatures {
  const random = createRandom(`${seed}:exchange`);
  const byLabel = [0, 1].map((label) => {
    const indices = [...data.labels.keys()].filter((i) => data.labels[i] === label);
    random.shuffle(indices);
    return indices;
  });
  const [normal = [], attacked = []] = byLabel;
  const half = Math.floor(count / 2);
  const fromAttacked = Math.min(attacked.length, Math.max(half, count - normal.length));
  const chosen = [...attacked.slice(0, fromAttacked), ...normal.slice(0, count - fromAttacked)];
  random.shuffle(chosen);
  const features = new Float32Array(chosen.length * inputs);
  for (const [at, i] of chosen.entries())
    features.set(data.features.subarray(i * inputs, (i + 1) * inputs), at * inputs);
  return { features, labels: Float32Array.from(chosen, (i) => data.labels[i] ?? 0) };
}

function episodeFeatures(schema: FeatureSchema, episode: TwinEpisode): LabelledFeatures {
  const { features, rowIndex } = extractAll(schema, episode.rows);
  return learnable({ features, labels: Float32Array.from(rowIndex, (row) => episode.labels[row] ?? 0) }, (i) => {
    return episode.excluded[rowIndex[i] ?? 0] !== 1;
  });
}

function learnable({ features, labels }: LabelledFeatures, keep: (row: number) => boolean): LabelledFeatures {
  const inputs = labels.length === 0 ? 0 : features.length / labels.length;
  const kept = [...labels.keys()].filter(keep);
  const chosen = new Float32Array(kept.length * inputs);
  for (const [at, i] of kept.entries()) chosen.set(features.subarray(i * inputs, (i + 1) * inputs), at * inputs);
  return { features: chosen, labels: Float32Array.from(kept, (i) => labels[i] ?? 0) };
}

function concatenate(parts: readonly LabelledFeatures[]): LabelledFeatures {
  const features = new Float32Array(parts.reduce((sum, part) => sum + part.features.length, 0));
  const labels = new Float32Array(parts.reduce((sum, part) => sum + part.labels.length, 0));
  let featureAt = 0;
  let labelAt = 0;
  for (const part of parts) {
    features.set(part.features, featureAt);
    labels.set(part.labels, labelAt);
    featureAt += part.features.length;
    labelAt += part.labels.length;
  }
  return { features, labels };
}

function forEachRow({ features, labels }: LabelledFeatures, visit: (row: Float32Array, label: number) => void): void {
  const inputs = labels.length === 0 ? 0 : features.length / labels.length;
  for (let i = 0; i < labels.length; i++) visit(features.subarray(i * inputs, (i + 1) * inputs), labels[i] ?? 0);
}
