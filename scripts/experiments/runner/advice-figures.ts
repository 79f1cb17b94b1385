import type { MeasuredMethod, MeasuredTwin, MeasuredTwins } from '@twinwatch/twin-server/advice/advise';
import { ratiosOf } from '@twinwatch/twin-server/advice/advise';
import { spreadOf } from '../summary.js';
import { againstBaseline } from './comparison.js';
import type { ExperimentConfig } from './experiment-config.js';
import { groupRuns, type RunGroup, type RunSummary } from './summarise.js';

export interface SummarisedExperiment {
  readonly name: string;
  readonly config: ExperimentConfig;
  readonly summaries: readonly RunSummary[];
}

/** What `twinwatch advise` knows, from experiments that vary the twin. */
export function adviceFigures(experiments: readonly SummarisedExperiment[]): MeasuredTwins {
  return {
    source: experiments.map(({ name, config }) => `${name}.yaml, seeds ${config.seeds.join(', ')}`).join('; '),
    twins: experiments.flatMap(twinsOf),
  };
}

function twinsOf({ config, summaries }: SummarisedExperiment): MeasuredTwin[] {
  const { scenario } = config;
  if (scenario !== 'replication' && scenario !== 'label-free') return [];
  const groups = groupRuns(summaries);
  return config.twin.map(({ name }): MeasuredTwin => {
    const own = groups.filter((group) => group.summaries[0]?.run.twin.name === name);
    const all = own.flatMap((group) => group.summaries);
    const mean = (value: (summary: RunSummary) => number) => rounded(spreadOf(all.map(value)).mean);
    return {
      scenario,
      name,
      mmdRatio: mean(({ alignment }) => ratiosOf(alignment).mmd),
      swdRatio: mean(({ alignment }) => ratiosOf(alignment).swd),
      seeds: new Set(all.map(({ run }) => run.seed)).size,
      methods: own.map((group) => methodOf(group, groups, config)),
    };
  });
}

function methodOf(group: RunGroup, groups: readonly RunGroup[], config: ExperimentConfig): MeasuredMethod {
  const { mean, deviation } = spreadOf(group.summaries.map(({ last }) => last.prAuc));
  const test = againstBaseline(group, groups, config, ({ last }) => last.prAuc);
  const rounds = config.methods.find(({ name }) => name === group.method)?.rounds ?? {};
  return {
    name: group.method,
    rounds: { exchangeRows: config.rounds.exchangeRows ?? 0, ...rounds },
    prAuc: { mean: rounded(mean), deviation: rounded(deviation) },
    against:
      test === null
        ? null
        : { difference: rounded(test.meanDifference), p: Number.isNaN(test.p) ? null : rounded(test.p) },
  };
}

const rounded = (value: number): number => Math.round(value * 1e4) / 1e4;
