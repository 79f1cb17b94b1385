import type { ExperimentConfig, Metric } from './experiment-config.js';
import { barPlot, convergencePlot, type SweepLine, sweepPlot } from './experiment-plots.js';
import { METRIC_WORDS } from './experiment-tables.js';
import type { RunResult } from './run-once.js';
import { groupRuns, type RunGroup, type RunSummary } from './summarise.js';

/** Which plots an experiment has: what varies in it decides. */

export interface Drawing {
  /** Part of a file name. */
  readonly name: string;
  readonly svg: string;
}

/** Lines in one plot that are still told apart. */
const MOST_LINES = 12;
const SWEPT_METRICS: readonly Metric[] = ['prAuc', 'balancedAccuracyAtHalf'];

export function drawingsOf(
  config: ExperimentConfig,
  summaries: readonly RunSummary[],
  results: readonly RunResult[],
): Drawing[] {
  const groups = groupRuns(summaries);
  const byId = new Map(results.map((result) => [result.run.id, result]));
  return [...convergence(config, groups, byId), ...bars(config, groups), ...sweeps(config, groups)];
}

function convergence(
  config: ExperimentConfig,
  groups: readonly RunGroup[],
  byId: ReadonlyMap<string, RunResult>,
): Drawing[] {
  const metrics = Object.entries(config.targets) as [Metric, number][];
  if (groups.length > MOST_LINES) return [];
  return metrics.map(([metric, target]) => {
    const curves = groups.map(({ label, summaries }) => ({
      name: label,
      seeds: summaries.map(({ run }) => byId.get(run.id)!.curve[metric]),
    }));
    return { name: `convergence-${metric}`, svg: convergencePlot(METRIC_WORDS[metric], curves, target) };
  });
}

function bars({ targets }: ExperimentConfig, groups: readonly RunGroup[]): Drawing[] {
  return (Object.entries(targets) as [Metric, number][]).flatMap(([metric, target]) => {
    const of = (what: 'roundsTo' | 'bytesTo', unit: number) =>
      groups.map(({ label, summaries }) => ({
        name: label,
        values: summaries.map((summary) => {
          const value = summary[what][metric] ?? null;
          return value === null ? null : value / unit;
        }),
      }));
    const goal = `${METRIC_WORDS[metric]} ${target}`;
    return [
      {
        name: `rounds-to-${metric}`,
        svg: barPlot(`Rounds to ${goal}`, of('roundsTo', 1), (value) => value.toFixed(0)),
      },
      {
        name: `bytes-to-${metric}`,
        svg: barPlot(`MB up and down to ${goal}`, of('bytesTo', 1e6), (value) => String(Number(value.toPrecision(2)))),
      },
    ];
  });
}

/** What is swept, where of a run it stands, and in which runs. */
interface Sweep {
  readonly name: string;
  readonly words: string;
  readonly isLogarithmic: boolean;
  readonly at: (group: RunGroup) => number | null;
  /** Of the axis that is swept; other axes part the lines. */
  readonly axis: string | null;
}

const first = ({ summaries }: RunGroup) => summaries[0]!.run;
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

const SWEEPS: readonly Sweep[] = [
  { name: 'parameter', words: 'swept parameter', isLogarithmic: false, at: ({ swept }) => swept, axis: null },
  {
    name: 'fraction',
    words: 'C, share of the clients asked',
    isLogarithmic: false,
    at: (group) => first(group).fraction,
    axis: 'C',
  },
  { name: 'epochs', words: 'E, local epochs', isLogarithmic: false, at: (group) => first(group).epochs, axis: 'E' },
  {
    name: 'alpha',
    words: 'Dirichlet α: left unlike clients, right alike',
    isLogarithmic: true,
    at: (group) => {
      const { partition } = first(group);
      return partition.kind === 'dirichlet' ? partition.alpha : null;
    },
    axis: 'partition',
  },
  {
    name: 'mmd',
    words: 'MMD between twin and plant',
    isLogarithmic: false,
    at: ({ summaries }) => mean(summaries.map(({ alignment }) => alignment.mmd.rbf)),
    axis: 'twin',
  },
  {
    name: 'swd',
    words: 'sliced Wasserstein distance between twin and plant',
    isLogarithmic: false,
    at: ({ summaries }) => mean(summaries.map(({ alignment }) => alignment.swd)),
    axis: 'twin',
  },
  {
    name: 'adversaries',
    words: 'share of hostile clients',
    isLogarithmic: false,
    at: (group) => first(group).adversary.share,
    axis: 'adversaries',
  },
];

function sweeps(config: ExperimentConfig, groups: readonly RunGroup[]): Drawing[] {
  return SWEEPS.flatMap((sweep) => {
    const placed = groups.flatMap((group) => {
      const at = sweep.axis === null || sweep.axis in group.axes ? sweep.at(group) : null;
      return at === null ? [] : [{ group, at }];
    });
    if (new Set(placed.map(({ at }) => at)).size < 3) return [];
    const linesOf = (values: (group: RunGroup) => readonly (number | null)[]): SweepLine[] => {
      const lines = new Map<string, { at: number; values: readonly (number | null)[] }[]>();
      for (const { group, at } of placed) {
        const attack = first(group).adversary.attack;
        const rest = Object.entries(group.axes).filter(([axis]) => axis !== sweep.axis);
        const name = [
          group.method,
          ...(sweep.axis === 'adversaries' && attack !== 'none' ? [attack] : []),
          ...rest.map(([axis, value]) => `${axis} ${value}`),
        ].join(', ');
        lines.set(name, [...(lines.get(name) ?? []), { at, values: values(group) }]);
      }
      return [...lines].map(([name, points]) => ({ name, points }));
    };
    const ofLast = SWEPT_METRICS.map((metric) => ({
      name: `${sweep.name}-${metric}`,
      svg: sweepPlot(
        `${METRIC_WORDS[metric]} over the last tenth of the rounds`,
        sweep.words,
        linesOf(({ summaries }) => summaries.map(({ last }) => last[metric])),
        sweep.isLogarithmic,
      ),
    }));
    const target = config.targets.prAuc;
    if (target === undefined) return ofLast;
    const rounds = linesOf(({ summaries }) => summaries.map(({ roundsTo }) => roundsTo.prAuc ?? null));
    if (!rounds.some(({ points }) => points.some(({ values }) => values.some((value) => value !== null))))
      return ofLast;
    const title = `Rounds to AUC-PR ${target}, of the seeds that reached it`;
    return [
      ...ofLast,
      { name: `${sweep.name}-rounds`, svg: sweepPlot(title, sweep.words, rounds, sweep.isLogarithmic) },
    ];
  });
}
