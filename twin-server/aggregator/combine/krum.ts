/**
 * Krum and multi-Krum (Blanchard et al., 2017, "Machine Learning with Adversaries"): an update's score is the sum of its squared distances
 * to its n − f − 2 nearest neighbours; Krum takes the update with the least, multi-Krum the m with the least. The proof needs n ≥ 2f + 3.
 * Weights have no part in the scores: a client says itself how many rows it has, and must not buy neighbours with them.
 *
 * @param vectors [clients][parameters]. @param byzantine f. @param keep m, at most n − f − 2, beyond which a hostile update may be among
 *   those kept; fewer are kept where it is larger.
 * @returns places of those kept, best first, ties by place; null where n < 2f + 3.
 */
export function krum(vectors: readonly Float32Array[], byzantine: number, keep: number): number[] | null {
  const n = vectors.length;
  if (n < 2 * byzantine + 3) return null;
  const neighbours = n - byzantine - 2;
  const scores = vectors.map((vector, k) => {
    const distances = vectors.filter((_, j) => j !== k).map((other) => squaredDistance(vector, other));
    return distances
      .sort((a, b) => a - b)
      .slice(0, neighbours)
      .reduce((sum, distance) => sum + distance, 0);
  });
  const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]! || a - b);
  return order.slice(0, Math.min(keep, neighbours));
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}
