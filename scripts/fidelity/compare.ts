import { mmd, slicedWasserstein } from '@twinwatch/core/evaluation/alignment';
import type { Tag } from '@twinwatch/core/scada/tag';
import { correlations, type Sample, type TagStatistics, tagStatistics } from './sample.js';

/** How far one set of rows is from another. All distances are in standard deviations of the real rows, floored by each tag's resolution. */

/** Drawn anew so often, and averaged: a distance between samples is itself random. The more rows, the finer MMD tells; its cost grows with their square. */
const PER_TAG = { repetitions: 3, rows: 400 };
const OVERALL = { repetitions: 2, rows: 1_500 };
const PROJECTIONS = 64;
/** Scaled values are cut off here, as a detector's inputs are. */
const CLIP = 8;

interface Distances {
  readonly mmd: number;
  readonly mmdMultiKernel: number;
  readonly swd: number;
}

interface TagComparison extends TagStatistics, Distances {
  readonly tag: string;
}

export interface Comparison {
  /** Per tag, on its value and its change since the row before. */
  readonly tags: readonly TagComparison[];
  /** On the values and changes of all tags together. */
  readonly overall: Distances & {
    /** Mean absolute difference of the correlations between two tags, over all pairs that move. */
    readonly correlation: number;
    /** Mean absolute difference of duty cycles, over tags that are a status. */
    readonly dutyCycle: number;
    /** Mean over the tags of the absolute difference of means. */
    readonly mean: number;
  };
  /** [tags × tags]. */
  readonly correlations: Float64Array;
}

export interface Reference {
  readonly sample: Sample;
  readonly tags: readonly Tag[];
  readonly intervalMs: number;
  readonly seed: number;
}

/** `other` against the real rows of `reference`. */
export function compare({ sample, tags, intervalMs, seed }: Reference, other: Sample): Comparison {
  const scales = tags.map(({ resolution }, t) => ({
    value: Math.max(tagStatistics(sample, t, intervalMs).deviation, resolution),
    change: Math.max(deviationOfChanges(sample, t), resolution),
    mean: tagStatistics(sample, t, intervalMs).mean,
  }));
  const scaled = (of: Sample, chosen: readonly number[]): Float32Array => {
    const width = tags.length;
    const rows = new Float32Array(of.count * chosen.length * 2);
    let at = 0;
    for (let i = 0; i < of.count; i++)
      for (const t of chosen) {
        rows[at++] = clipped((of.values[i * width + t]! - scales[t]!.mean) / scales[t]!.value);
        rows[at++] = clipped(of.changes[i * width + t]! / scales[t]!.change);
      }
    return rows;
  };
  const distances = (chosen: readonly number[], { repetitions, rows }: typeof PER_TAG): Distances => {
    const sets = { a: scaled(sample, chosen), b: scaled(other, chosen), inputs: 2 * chosen.length, maximumRows: rows };
    let [rbf, multi, swd] = [0, 0, 0];
    for (let i = 0; i < repetitions; i++) {
      const kernel = mmd({ ...sets, seed: seed + i });
      rbf += kernel.rbf / repetitions;
      multi += kernel.multiKernel / repetitions;
      swd +=
        slicedWasserstein({ ...sets, seed: seed + i, projections: PROJECTIONS, maximumRows: 4 * rows }) / repetitions;
    }
    return { mmd: rbf, mmdMultiKernel: multi, swd };
  };
  const statistics = tags.map((_, t) => ({
    real: tagStatistics(sample, t, intervalMs),
    other: tagStatistics(other, t, intervalMs),
  }));
  const statuses = tags.flatMap(({ kind }, t) => (kind === 'status' ? [t] : []));
  const [real, found] = [correlations(sample, tags), correlations(other, tags)];
  const differences = [...real.keys()]
    .filter((i) => Math.floor(i / tags.length) < i % tags.length)
    .map((i) => Math.abs(real[i]! - found[i]!))
    .filter(Number.isFinite);
  return {
    tags: tags.map(({ name }, t) => ({ tag: name, ...statistics[t]!.other, ...distances([t], PER_TAG) })),
    overall: {
      ...distances(
        tags.map((_, t) => t),
        OVERALL,
      ),
      correlation: average(differences),
      dutyCycle: average(statuses.map((t) => Math.abs(statistics[t]!.real.dutyCycle - statistics[t]!.other.dutyCycle))),
      mean: average(statistics.map((both, t) => Math.abs(both.real.mean - both.other.mean) / scales[t]!.value)),
    },
    correlations: found,
  };
}

function deviationOfChanges({ changes, count }: Sample, tag: number): number {
  const width = changes.length / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += changes[i * width + tag]! ** 2;
  return Math.sqrt(squares / count);
}

function average(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

const clipped = (value: number) => Math.max(-CLIP, Math.min(CLIP, value));
