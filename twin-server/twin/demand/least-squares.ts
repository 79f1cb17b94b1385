export interface Equation {
  /** [unknowns]. */
  readonly coefficients: readonly number[];
  readonly value: number;
  readonly weight: number;
}

/** The unknowns that fit weighted equations best: normal equations, solved by Gauss with pivots. There must be enough equations. */
export function leastSquares(equations: readonly Equation[], unknowns: number): number[] {
  const rows = Array.from({ length: unknowns }, (_, i) => {
    const row = new Float64Array(unknowns + 1);
    for (const { coefficients, value, weight } of equations) {
      const factor = weight * coefficients[i]!;
      if (factor === 0) continue;
      for (let j = 0; j < unknowns; j++) row[j]! += factor * coefficients[j]!;
      row[unknowns]! += factor * value;
    }
    return row;
  });
  for (let column = 0; column < unknowns; column++) {
    let pivot = column;
    for (let i = column + 1; i < unknowns; i++)
      if (Math.abs(rows[i]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = i;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let i = column + 1; i < unknowns; i++) {
      const factor = rows[i]![column]! / rows[column]![column]!;
      for (let j = column; j <= unknowns; j++) rows[i]![j]! -= factor * rows[column]![j]!;
    }
  }
  const solution = new Array<number>(unknowns).fill(0);
  for (let i = unknowns - 1; i >= 0; i--) {
    let rest = rows[i]![unknowns]!;
    for (let j = i + 1; j < unknowns; j++) rest -= rows[i]![j]! * solution[j]!;
    solution[i] = rest / rows[i]![i]!;
  }
  return solution;
}
