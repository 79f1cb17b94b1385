import { TwinwatchError } from '../errors.js';
import { createRandom } from '../learning/random.js';

/** How far two sets of rows are apart: the twin's and a site's, in scaled feature space. */

/** Sets of rows, [n × inputs] row-major each. */
export interface RowSets {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly inputs: number;
  readonly seed: number;
  /** Larger sets are sampled down to as many rows; the cost of mmd grows with its square. 500 where absent. */
  readonly maximumRows?: number;
}

export interface MaximumMeanDiscrepancy {
  /** One RBF kernel, bandwidth by the median heuristic; 0 to √2. */
  readonly rbf: number;
  /** Root of the sum of squares over five kernels, the median bandwidth times ¼, ½, 1, 2, 4; 0 to √10. */
  readonly multiKernel: number;
}

const BANDWIDTHS = [0.25, 0.5, 1, 2, 4] as const;

/**
 * Maximum mean discrepancy (Gretton et al. 2012, equation 5: the biased estimate), kernel exp(−d² / 2σ²), σ the median distance between
 * different rows of both sets together. To be read against the value between two parts of the real rows, not against 0.
 * @throws TwinwatchError EVALUATION_SHAPE.
 */
export function mmd(sets: RowSets): MaximumMeanDiscrepancy {
  const { a, b } = sampledSets(sets);
  const rows = [...a, ...b];
  const n = rows.length;
  const squared = new Float64Array((n * (n - 1)) / 2);
  const signs = new Float64Array(squared.length);
  let at = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      squared[at] = squaredDistance(rows[i]!, rows[j]!);
      const [first, second] = [i < a.length, j < a.length];
      signs[at++] =
        first !== second ? -2 / (a.length * b.length) : 2 / (first ? a.length * a.length : b.length * b.length);
    }
  }
  const median = squared.slice().sort()[squared.length >> 1] ?? 0;
  const own = 1 / a.length + 1 / b.length;
  const perKernel = BANDWIDTHS.map((factor) => {
    if (median === 0) return 0;
    let sum = own;
    for (let pair = 0; pair < squared.length; pair++) {
      sum += signs[pair]! * Math.exp(-squared[pair]! / (2 * median * factor * factor));
    }
    return Math.max(0, sum);
  });
  return {
    rbf: Math.sqrt(perKernel[BANDWIDTHS.indexOf(1)]!),
    multiKernel: Math.sqrt(perKernel.reduce((sum, value) => sum + value, 0)),
  };
}

/**
 * Sliced Wasserstein distance of order 1: the mean, over random unit directions, of the area between the quantile functions of the
 * projected sets, which may differ in size.
 * @throws TwinwatchError EVALUATION_SHAPE.
 */
export function slicedWasserstein(sets: RowSets & { readonly projections: number }): number {
  const { a, b } = sampledSets(sets);
  const random = createRandom(sets.seed).fork('directions');
  let total = 0;
  for (let p = 0; p < sets.projections; p++) {
    const direction = Float64Array.from({ length: sets.inputs }, () => random.normal());
    const length = Math.hypot(...direction);
    const project = (row: Float32Array): number => {
      let sum = 0;
      for (let i = 0; i < row.length; i++) sum += row[i]! * direction[i]!;
      return sum / length;
    };
    total += wasserstein1(Float64Array.from(a, project).sort(), Float64Array.from(b, project).sort());
  }
  return total / sets.projections;
}

/** @param a sorted. @param b sorted. */
function wasserstein1(a: Float64Array, b: Float64Array): number {
  let area = 0;
  let level = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const aEnd = (i + 1) / a.length;
    const bEnd = (j + 1) / b.length;
    const end = Math.min(aEnd, bEnd);
    area += (end - level) * Math.abs(a[i]! - b[j]!);
    level = end;
    if (aEnd <= end) i++;
    if (bEnd <= end) j++;
  }
  return area;
}

function sampledSets(sets: RowSets): { a: Float32Array[]; b: Float32Array[] } {
  const { inputs, maximumRows = 500 } = sets;
  const sample = (features: Float32Array, name: string): Float32Array[] => {
    const count = features.length / inputs;
    if (!Number.isInteger(count) || count === 0) {
      throw new TwinwatchError(
        'EVALUATION_SHAPE',
        `set ${name} of ${features.length} values has no whole number of rows of ${inputs} inputs`,
      );
    }
    const order = Uint32Array.from({ length: count }, (_, row) => row);
    const chosen =
      count > maximumRows ? createRandom(sets.seed).fork(name).shuffle(order).slice(0, maximumRows) : order;
    return Array.from(chosen, (row) => features.subarray(row * inputs, (row + 1) * inputs));
  };
  return { a: sample(sets.a, 'a'), b: sample(sets.b, 'b') };
}

function squaredDistance(x: Float32Array, y: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i]! - y[i]!) ** 2;
  return sum;
}
