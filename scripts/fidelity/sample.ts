import type { Row } from '@twinwatch/core/scada/sample';
import type { Tag } from '@twinwatch/core/scada/tag';

const HOUR_MS = 3_600_000;
const HOURS = 24;
/** Rows further apart than this many intervals do not follow each other. */
const LARGEST_STEP = 1.5;

/** Rows of one source, each with its change since the row before: rows without one, or with a value missing, are left out. */
export interface Sample {
  /** [count × tags] row-major. */
  readonly values: Float64Array;
  readonly changes: Float64Array;
  /** [count] hour of the day. */
  readonly hours: Uint8Array;
  readonly count: number;
}

/** @param stretches rows in the order of time; nothing follows from one stretch to the next. */
export function sampleOf(stretches: readonly (readonly Row[])[], tags: number, intervalMs: number): Sample {
  const kept: { row: Row; before: Row }[] = [];
  for (const rows of stretches)
    for (let i = 1; i < rows.length; i++) {
      const [before, row] = [rows[i - 1]!, rows[i]!];
      const step = row.timeMs - before.timeMs;
      if (step > 0 && step <= LARGEST_STEP * intervalMs && isWhole(before) && isWhole(row)) kept.push({ row, before });
    }
  const values = new Float64Array(kept.length * tags);
  const changes = new Float64Array(kept.length * tags);
  for (const [i, { row, before }] of kept.entries()) {
    values.set(row.values, i * tags);
    for (let t = 0; t < tags; t++) changes[i * tags + t] = row.values[t]! - before.values[t]!;
  }
  const hours = Uint8Array.from(kept, ({ row }) => Math.floor(row.timeMs / HOUR_MS) % HOURS);
  return { values, changes, hours, count: kept.length };
}

const isWhole = ({ values }: Row) => values.every(Number.isFinite);

/** One tag's values. */
function columnOf({ values, count }: Pick<Sample, 'values' | 'count'>, tag: number): Float64Array {
  const width = values.length / count;
  return Float64Array.from({ length: count }, (_, i) => values[i * width + tag]!);
}

/** How one tag runs. */
export interface TagStatistics {
  readonly mean: number;
  readonly deviation: number;
  /** At 0, 5, 10 … 100 per cent. */
  readonly quantiles: readonly number[];
  /** Share of rows that are not 0. */
  readonly dutyCycle: number;
  readonly startsPerDay: number;
  /** [24] mean by hour of the day; null without rows. */
  readonly hourly: readonly (number | null)[];
}

export function tagStatistics(sample: Sample, tag: number, intervalMs: number): TagStatistics {
  const column = columnOf(sample, tag);
  const { count } = sample;
  const mean = column.reduce((sum, value) => sum + value, 0) / count;
  const squares = column.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const sorted = column.slice().sort();
  const width = sample.values.length / count;
  const sums = new Float64Array(HOURS);
  const counts = new Float64Array(HOURS);
  let [on, starts] = [0, 0];
  for (let i = 0; i < count; i++) {
    const value = column[i]!;
    sums[sample.hours[i]!]! += value;
    counts[sample.hours[i]!]!++;
    if (value === 0) continue;
    on++;
    if (value === sample.changes[i * width + tag]) starts++;
  }
  return {
    mean,
    deviation: Math.sqrt(squares / count),
    quantiles: Array.from({ length: 21 }, (_, q) => sorted[Math.round((q / 20) * (count - 1))]!),
    dutyCycle: on / count,
    startsPerDay: starts / ((count * intervalMs) / (HOURS * HOUR_MS)),
    hourly: Array.from(sums, (sum, hour) => (counts[hour]! > 0 ? sum / counts[hour]! : null)),
  };
}

/** [tags × tags] Pearson correlations of the values; NaN for a tag that does not move by its resolution. */
export function correlations(sample: Sample, tags: readonly Tag[]): Float64Array {
  const columns = tags.map(({ resolution }, t) => {
    const column = columnOf(sample, t);
    const mean = column.reduce((sum, value) => sum + value, 0) / sample.count;
    const centred = column.map((value) => value - mean);
    const deviation = Math.sqrt(centred.reduce((sum, value) => sum + value * value, 0) / sample.count);
    return { centred, deviation: deviation < resolution / 20 ? Number.NaN : deviation };
  });
  const result = new Float64Array(tags.length * tags.length);
  for (const [i, a] of columns.entries())
    for (const [j, b] of columns.entries()) {
      let sum = 0;
      for (let r = 0; r < sample.count; r++) sum += a.centred[r]! * b.centred[r]!;
      result[i * tags.length + j] = sum / sample.count / (a.deviation * b.deviation);
    }
  return result;
}
