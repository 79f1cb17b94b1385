import type { AggregationFailure, ClientParameters } from './strategy.js';

/**
 * Θ_agg = Σ n_k Θ_k / Σ n_k, summed in double precision.
 *
 * @returns [parameters], or why there is no mean: no rows at all, another number of parameters, a value that is not finite.
 */
export function weightedMean(updates: readonly ClientParameters[], length: number): Float32Array | AggregationFailure {
  const total = updates.reduce((sum, update) => sum + update.rows, 0);
  if (!(total > 0) || !Number.isFinite(total)) {
    return { failure: 'zero-weight', detail: `${updates.length} updates have ${total} rows in all` };
  }
  const sum = new Float64Array(length);
  for (const [k, { parameters, rows }] of updates.entries()) {
    if (parameters.length !== length) {
      return { failure: 'wrong-shape', detail: `update ${k} has ${parameters.length} parameters, expected ${length}` };
    }
    const weight = rows / total;
    for (let i = 0; i < length; i++) sum[i] = sum[i]! + weight * parameters[i]!;
  }
  const mean = Float32Array.from(sum);
  const bad = mean.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) return { failure: 'not-finite', detail: `the mean of parameter ${bad} is ${mean[bad]}` };
  return mean;
}
