/** Linear algebra of a ridge regression on chosen terms: small, dense and deterministic. */

/**
 * Means of the columns, and the products of their deviations from them, summed over the rows: [columns][columns], the lower triangle filled.
 * @param rows [rows][columns]; left centred.
 */
export function centredProducts(rows: readonly Float64Array[]): { means: Float64Array; products: Float64Array[] } {
  const width = rows[0]?.length ?? 0;
  const means = new Float64Array(width);
  for (const row of rows) for (let i = 0; i < width; i++) means[i]! += row[i]! / rows.length;
  const products = Array.from({ length: width }, () => new Float64Array(width));
  for (const row of rows) {
    for (let i = 0; i < width; i++) row[i]! -= means[i]!;
    for (let i = 0; i < width; i++) {
      const own = row[i]!;
      const into = products[i]!;
      if (own !== 0) for (let j = 0; j <= i; j++) into[j]! += own * row[j]!;
    }
  }
  return { means, products };
}

export interface Chosen {
  readonly terms: number;
  /** Share of the answer's variance, the penalty not counted. */
  readonly unexplained: number;
  readonly unexplainedByAll: number;
}

/**
 * Solves (matrix + penalty · 1) · weights = answer for as few terms as are enough. Terms are taken one by one, each time the one that
 * lowers the penalised error most given those there are: orthogonal forward selection, done by eliminating the chosen term from all others.
 *
 * @param matrix [n][n], correlations of the terms.
 * @param answer [n], their correlations with what is to be explained.
 * @returns weights by index of the chosen terms, in the order of indices.
 */
export function chooseTerms(
  matrix: readonly Float64Array[],
  answer: Float64Array,
  penalty: number,
  isEnough: (chosen: Chosen) => boolean,
): ReadonlyMap<number, number> {
  const penalised = matrix.map((row, i) => row.map((value, j) => (i === j ? value + penalty : value)));
  const solutionOf = (indices: readonly number[]): ReadonlyMap<number, number> => {
    const solved = solve(
      indices.map((i) => Float64Array.from(indices, (j) => penalised[i]![j]!)),
      Float64Array.from(indices, (i) => answer[i]!),
    );
    return new Map(indices.map((i, at) => [i, solved[at]!] as const));
  };
  // Of a ridge solution b, the squared error is 1 − b·answer − penalty·b².
  const unexplainedBy = (solution: ReadonlyMap<number, number>): number =>
    [...solution].reduce((rest, [i, weight]) => rest - weight * answer[i]! - penalty * weight ** 2, 1);
  const unexplainedByAll = unexplainedBy(solutionOf([...answer.keys()]));

  const left = penalised.map((row) => Float64Array.from(row));
  const gains = Float64Array.from(answer);
  const open = new Set(answer.keys());
  const chosen: number[] = [];
  let solution: ReadonlyMap<number, number> = new Map();
  while (open.size > 0 && !isEnough({ terms: chosen.length, unexplained: unexplainedBy(solution), unexplainedByAll })) {
    const gain = (i: number): number => gains[i]! ** 2 / left[i]![i]!;
    const best = [...open].reduce((most, i) => (gain(i) > gain(most) ? i : most));
    open.delete(best);
    for (const i of open) {
      const share = left[i]![best]! / left[best]![best]!;
      gains[i]! -= share * gains[best]!;
      for (const j of open) left[i]![j]! -= share * left[best]![j]!;
    }
    chosen.push(best);
    solution = solutionOf(chosen.toSorted((a, b) => a - b));
  }
  return solution;
}

/** By Cholesky, matrix = L·Lᵀ; the matrix is symmetric and positive definite. */
function solve(matrix: readonly Float64Array[], answer: Float64Array): Float64Array {
  const n = matrix.length;
  const lower = matrix.map(() => new Float64Array(n));
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i]![j]!;
      for (let k = 0; k < j; k++) sum -= lower[i]![k]! * lower[j]![k]!;
      lower[i]![j] = i === j ? Math.sqrt(sum) : sum / lower[j]![j]!;
    }
  }
  const solved = Float64Array.from(answer);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) solved[i]! -= lower[i]![k]! * solved[k]!;
    solved[i]! /= lower[i]![i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) solved[i]! -= lower[k]![i]! * solved[k]!;
    solved[i]! /= lower[i]![i]!;
  }
  return solved;
}
