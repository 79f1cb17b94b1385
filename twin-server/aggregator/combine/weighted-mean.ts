/**
 * Σ w_k Θ_k, summed in double precision.
 *
 * @param vectors [clients][parameters] @param weights [clients], 1 in sum. @returns [parameters]
 */
export function weightedMean(vectors: readonly Float32Array[], weights: ArrayLike<number>): Float32Array {
  const sum = new Float64Array(vectors[0]?.length ?? 0);
  for (const [k, vector] of vectors.entries()) {
    const weight = weights[k]!;
    for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + weight * vector[i]!;
  }
  return Float32Array.from(sum);
}
