import { spreadWords } from '../summary.js';
import { againstBaseline, againstFirstCodec, reachedWords, testWords } from './comparison.js';
import type { ExperimentConfig, Metric } from './experiment-config.js';
import type { RunGroup, RunSummary } from './summarise.js';

/** The tables of an experiment, as words, for whatever writes them. */
export interface ExperimentTable {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export const METRIC_WORDS: Readonly<Record<Metric, string>> = {
  balancedAccuracy: 'balanced accuracy',
  prAuc: 'AUC-PR',
  s: 'S',
  accuracy: 'accuracy at 0.5',
  rocAuc: 'ROC AUC',
  balancedAccuracyAtHalf: 'balanced accuracy at 0.5',
  sAtHalf: 'S at 0.5',
};

export function experimentTables(config: ExperimentConfig, groups: readonly RunGroup[]): ExperimentTable[] {
  const codecs = groups.some(({ axes }) => 'codec' in axes) ? [codecTable(groups)] : [];
  return [...codecs, qualityTable(config, groups), targetTable(config, groups), priceTable(groups)];
}

function codecTable(groups: readonly RunGroup[]): ExperimentTable {
  const quality = ({ last }: RunSummary) => last.balancedAccuracyAtHalf;
  return {
    title: 'Codecs: what an update takes and costs',
    head: [
      ...['method', 'bytes of MQTT payload up per client and round', 'balanced accuracy at 0.5'],
      ...[`against ${groups[0]?.axes.codec}, paired`, 'AUC-PR', `against ${groups[0]?.axes.codec}, paired`],
    ],
    rows: groups.map((group) => [
      group.label,
      spreadWords(
        group.summaries.map(({ payloadUpPerClient }) => payloadUpPerClient),
        0,
      ),
      spreadWords(group.summaries.map(quality)),
      testWords(againstFirstCodec(group, groups, quality)),
      spreadWords(group.summaries.map(({ last }) => last.prAuc)),
      testWords(againstFirstCodec(group, groups, ({ last }) => last.prAuc)),
    ]),
  };
}

function qualityTable(config: ExperimentConfig, groups: readonly RunGroup[]): ExperimentTable {
  const rows = groups.map((group) => {
    const { summaries } = group;
    const last = (metric: Metric) => spreadWords(summaries.map((summary) => summary.last[metric]));
    return [
      group.label,
      last('balancedAccuracyAtHalf'),
      last('prAuc'),
      testWords(againstBaseline(group, groups, config, ({ last: values }) => values.prAuc)),
      last('sAtHalf'),
      spreadWords(summaries.map(({ released }) => released.prAuc)),
      last('accuracy'),
      spreadWords(summaries.map(({ constant }) => constant.accuracy)),
    ];
  });
  return {
    title: 'Over the last tenth of the rounds',
    head: [
      ...['method', 'balanced accuracy at 0.5', 'AUC-PR', `AUC-PR against ${config.baseline}`, 'S at 0.5'],
      ...['AUC-PR of the released round', 'accuracy', 'accuracy of always "normal"'],
    ],
    rows,
  };
}

function targetTable({ targets }: ExperimentConfig, groups: readonly RunGroup[]): ExperimentTable {
  const wanted = Object.entries(targets) as [Metric, number][];
  return {
    title: 'Rounds, and MB up and down, to the targets',
    head: [
      'method',
      ...wanted.map(([metric, target]) => `rounds to ${METRIC_WORDS[metric]} ${target}`),
      ...wanted.map(([metric, target]) => `MB to ${METRIC_WORDS[metric]} ${target}`),
    ],
    rows: groups.map(({ label, summaries }) => [
      label,
      ...wanted.map(([metric]) => reachedWords(summaries, metric, 'roundsTo')),
      ...wanted.map(([metric]) => reachedWords(summaries, metric, 'bytesTo', 1e6)),
    ]),
  };
}

function priceTable(groups: readonly RunGroup[]): ExperimentTable {
  const measured = groups.some(({ summaries }) => summaries.some(({ peakMemoryBytes }) => peakMemoryBytes !== null));
  return {
    title: 'The price of a round',
    head: ['method', 'kB up', 'kB down', 'ms', ...(measured ? ['peak memory of the process, MB'] : [])],
    rows: groups.map(({ label, summaries }) => {
      const spread = (value: (summary: (typeof summaries)[number]) => number | null, digits: number) =>
        spreadWords(summaries.map(value), digits);
      return [
        label,
        spread(({ bytesUpPerRound }) => bytesUpPerRound / 1e3, 2),
        spread(({ bytesDownPerRound }) => bytesDownPerRound / 1e3, 2),
        spread(({ millisecondsPerRound }) => millisecondsPerRound, 1),
        ...(measured
          ? [spread(({ peakMemoryBytes }) => (peakMemoryBytes === null ? null : peakMemoryBytes / 1e6), 0)]
          : []),
      ];
    }),
  };
}

/** Twins of the experiment and how far each is from the plant. */
export function alignmentTable(groups: readonly RunGroup[]): ExperimentTable {
  const twins = new Map(
    groups.flatMap(({ summaries }) => summaries.map(({ run }) => [run.twin.name, run.twin] as const)),
  );
  return {
    title: 'Twin and plant, normal rows in the scaled feature space',
    head: ['twin', 'MMD', 'MMD, five kernels', 'SWD', 'MMD among real sites', 'SWD among real sites'],
    rows: [...twins.keys()].map((name) => {
      const own = groups.flatMap(({ summaries }) => summaries.filter(({ run }) => run.twin.name === name));
      const spread = (value: (summary: (typeof own)[number]) => number) => spreadWords(own.map(value));
      return [
        name,
        spread(({ alignment }) => alignment.mmd.rbf),
        spread(({ alignment }) => alignment.mmd.multiKernel),
        spread(({ alignment }) => alignment.swd),
        spread(({ alignment }) => alignment.mmdAmongReal.rbf),
        spread(({ alignment }) => alignment.swdAmongReal),
      ];
    }),
  };
}
