/** Several seeds brought together, and as Markdown for docs/results. */

export interface Spread {
  readonly mean: number;
  /** Sample standard deviation, over the seeds; 0 for one. */
  readonly deviation: number;
  readonly count: number;
}

/** Of the values that exist: a measure may be missing for a seed. */
export function spreadOf(values: readonly (number | null)[]): Spread {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value));
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: known.length < 2 ? 0 : Math.sqrt(squares / (known.length - 1)), count: known.length };
}

/** '0.931 ± 0.012', '—' where no value existed. */
export function spreadWords(values: readonly (number | null)[], digits = 3): string {
  const { mean, deviation, count } = spreadOf(values);
  return count === 0 ? '—' : `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
