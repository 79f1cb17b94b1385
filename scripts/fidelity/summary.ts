import type { FidelityData } from './fidelity-data.js';

const OVERALL = [
  { key: 'mmd', words: 'MMD (RBF)' },
  { key: 'mmdMultiKernel', words: 'MMD (five kernels)' },
  { key: 'swd', words: 'sliced Wasserstein' },
  { key: 'correlation', words: 'correlations, mean difference' },
  { key: 'dutyCycle', words: 'duty cycles, mean difference' },
  { key: 'mean', words: 'means, mean difference in deviations' },
] as const;

/** Each figure of every comparison, and how many times that of real against real it is. */
export function overallRows({ comparisons }: FidelityData): string[][] {
  const [reference] = comparisons;
  return OVERALL.map(({ key, words }) => [
    words,
    ...comparisons.map(({ comparison }, i) => {
      const value = comparison.overall[key];
      const ratio = value / reference!.comparison.overall[key];
      return i === 0 || !Number.isFinite(ratio) ? value.toFixed(4) : `${value.toFixed(4)} (${ratio.toFixed(1)}×)`;
    }),
  ]);
}

/** For a terminal and for Markdown. */
export function summaryTable(data: FidelityData): string {
  const head = ['against the held-back half of the real rows', ...data.comparisons.map(({ name }) => name)];
  const rows = [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...overallRows(data)];
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
