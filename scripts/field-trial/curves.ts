import { tiesDescending } from '@twinwatch/core/evaluation/ranking';

/** Points of the ROC and precision-recall curves, for drawing; the areas come from core/evaluation. */

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
}

export interface Curves {
  /** x: false positive rate, y: true positive rate, from (0, 0) to (1, 1). */
  readonly roc: readonly CurvePoint[];
  /** x: recall, y: precision; recall ascending. */
  readonly pr: readonly CurvePoint[];
  /** Share of attack rows: the precision of a detector that knows nothing. */
  readonly prevalence: number;
}

/**
 * Over the rows that have both a score and a label. Null where there is no row of either class, since then neither curve exists.
 * `score` and `labels` are parallel, one element per row.
 */
export function curvesOf(score: readonly (number | null)[], labels: readonly (boolean | null)[]): Curves | null {
  const rows = score.flatMap((value, index) => {
    const label = labels[index] ?? null;
    return value === null || label === null ? [] : [{ value, label }];
  });
  const positives = rows.filter(({ label }) => label).length;
  const negatives = rows.length - positives;
  if (positives === 0 || negatives === 0) return null;
  const roc: CurvePoint[] = [{ x: 0, y: 0 }];
  const pr: CurvePoint[] = [];
  let hits = 0;
  let falses = 0;
  // Equal scores fall on the same side of every threshold, so they make one point.
  for (const tied of tiesDescending(
    rows.map(({ value }) => value),
    rows.map(({ label }) => (label ? 1 : 0)),
  )) {
    hits += tied.attacks;
    falses += tied.normals;
    roc.push({ x: falses / negatives, y: hits / positives });
    pr.push({ x: hits / positives, y: hits / (hits + falses) });
  }
  return { roc, pr: [{ x: 0, y: pr[0]!.y }, ...pr], prevalence: positives / rows.length };
}

/**
 * At most about 2 × `buckets` points with the same outline: the least and the greatest of each bucket, in their order.
 * A gap (null) stays a gap.
 */
export function thinned(
  x: readonly number[],
  y: readonly (number | null)[],
  buckets: number,
): readonly { readonly x: number; readonly y: number | null }[] {
  const size = Math.max(1, Math.ceil(x.length / buckets));
  if (size <= 2) return x.map((at, index) => ({ x: at, y: y[index] ?? null }));
  const points: { x: number; y: number | null }[] = [];
  for (let start = 0; start < x.length; start += size) {
    let least = -1;
    let greatest = -1;
    let gap = -1;
    for (let index = start; index < Math.min(start + size, x.length); index += 1) {
      const value = y[index] ?? null;
      if (value === null) gap = index;
      else {
        if (least === -1 || value < y[least]!) least = index;
        if (greatest === -1 || value > y[greatest]!) greatest = index;
      }
    }
    const kept = [...new Set([least, greatest, gap].filter((index) => index >= 0))].sort((a, b) => a - b);
    points.push(...kept.map((index) => ({ x: x[index]!, y: y[index] ?? null })));
  }
  return points;
}
