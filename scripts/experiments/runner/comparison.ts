import { spreadOf } from '../summary.js';
import type { ExperimentConfig, Metric } from './experiment-config.js';
import { type PairedTest, pairedT } from './paired-test.js';
import type { RunGroup, RunSummary } from './summarise.js';

/** Groups beside the baseline's, seed by seed. */

/** The baseline of a group: the same in all but the method. */
function baselineOf(
  group: RunGroup,
  groups: readonly RunGroup[],
  { baseline }: Pick<ExperimentConfig, 'baseline'>,
): RunGroup | null {
  const same = (other: RunGroup) => JSON.stringify(other.axes) === JSON.stringify(group.axes);
  const found = groups.find((other) => other.method === baseline && same(other)) ?? null;
  return found === group ? null : found;
}

/** The same in all but the codec, with the codec of the experiment's first run. */
export function againstFirstCodec(
  group: RunGroup,
  groups: readonly RunGroup[],
  value: (summary: RunSummary) => number,
): PairedTest | null {
  const first = groups[0]?.axes.codec;
  const same = ({ method, swept, axes }: RunGroup) => JSON.stringify([method, swept, { ...axes, codec: null }]);
  const found = groups.find((other) => other.axes.codec === first && same(other) === same(group));
  return found === undefined || found === group ? null : paired(group, found, value);
}

/** Null where there is no baseline, or no seed in common. */
export function againstBaseline(
  group: RunGroup,
  groups: readonly RunGroup[],
  config: Pick<ExperimentConfig, 'baseline'>,
  value: (summary: RunSummary) => number,
): PairedTest | null {
  const baseline = baselineOf(group, groups, config);
  return baseline === null ? null : paired(group, baseline, value);
}

function paired(group: RunGroup, baseline: RunGroup, value: (summary: RunSummary) => number): PairedTest | null {
  const pairs = group.summaries.flatMap((summary) => {
    const other = baseline.summaries.find(({ run }) => run.seed === summary.run.seed);
    return other === undefined ? [] : [[value(summary), value(other)] as const];
  });
  if (pairs.length === 0) return null;
  return pairedT(
    pairs.map(([own]) => own),
    pairs.map(([, other]) => other),
  );
}

/** '41 ± 6 (5/5)': of the seeds that reached the target, and how many did; '—' where none did. */
export function reachedWords(
  summaries: readonly RunSummary[],
  metric: Metric,
  of: 'roundsTo' | 'bytesTo',
  unit = 1,
): string {
  const values = summaries.map((summary) => summary[of][metric] ?? null);
  const { mean, deviation, count } = spreadOf(values.map((value) => (value === null ? null : value / unit)));
  if (count === 0) return `— (0/${values.length})`;
  const digits = of === 'roundsTo' ? 0 : mean < 10 ? 2 : 0;
  return `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)} (${count}/${values.length})`;
}

/** '+0.052, p 0.012'; '' without a test. */
export function testWords(test: PairedTest | null): string {
  if (test === null) return '';
  const sign = test.meanDifference < 0 ? '−' : '+';
  const p = Number.isNaN(test.p) ? '' : `, p ${test.p < 0.001 ? '< 0.001' : test.p.toFixed(3)}`;
  return `${sign}${Math.abs(test.meanDifference).toFixed(3)}${p}`;
}
