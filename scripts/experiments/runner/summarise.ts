import { type ExperimentConfig, METRICS, type Metric } from './experiment-config.js';
import type { RunResult } from './run-once.js';

/** A run in a line: what tables, tests and plots are made of. */
export interface RunSummary {
  readonly run: RunResult['run'];
  /** Mean over the last tenth of the rounds: one round more or less makes no difference to it. */
  readonly last: Readonly<Record<Metric, number>>;
  /** Of the round that is best on the twin's validation rows, which is what a server releases. */
  readonly released: Readonly<Record<Metric, number>>;
  readonly releasedRound: number;
  /** First of three rounds in a row at or above the target; null where there are none. */
  readonly roundsTo: Readonly<Partial<Record<Metric, number | null>>>;
  /** Up and down, of all clients, up to and with that round. */
  readonly bytesTo: Readonly<Partial<Record<Metric, number | null>>>;
  readonly rounds: number;
  /** Means over the rounds. */
  readonly bytesUpPerRound: number;
  readonly bytesDownPerRound: number;
  /** Payload of MQTT per client asked; null in results of earlier releases. */
  readonly payloadUpPerClient: number | null;
  /** Median over the rounds. */
  readonly millisecondsPerRound: number;
  readonly peakMemoryBytes: number | null;
  readonly constant: RunResult['constant'];
  readonly alignment: RunResult['alignment'];
}

/** Rounds in a row that must keep the target: a single one may be luck. */
const STEADY_ROUNDS = 3;

export function summariseRuns(
  { targets }: Pick<ExperimentConfig, 'targets'>,
  results: readonly RunResult[],
): RunSummary[] {
  return results.map((result) => summarise(result, targets));
}

function summarise(result: RunResult, targets: ExperimentConfig['targets']): RunSummary {
  const { curve, twinPrAuc, bytesUp, bytesDown, milliseconds } = result;
  const rounds = twinPrAuc.length;
  const tail = Math.max(1, Math.round(rounds / 10));
  const best = twinPrAuc.indexOf(Math.max(...twinPrAuc));
  const wanted = Object.entries(targets) as [Metric, number][];
  const reached = wanted.map(([metric, target]) => [metric, roundsToTarget(curve[metric], target)] as const);
  const bytes = bytesUp.map((up, i) => up + bytesDown[i]!);
  return {
    run: result.run,
    last: perMetric((metric) => mean(curve[metric].slice(-tail))),
    released: perMetric((metric) => curve[metric][best]!),
    releasedRound: best + 1,
    roundsTo: Object.fromEntries(reached),
    bytesTo: Object.fromEntries(
      reached.map(([metric, round]) => [metric, round === null ? null : sum(bytes.slice(0, round))]),
    ),
    rounds,
    bytesUpPerRound: Math.round(mean(bytesUp)),
    bytesDownPerRound: Math.round(mean(bytesDown)),
    payloadUpPerClient: result.payloadUp === undefined ? null : Math.round(mean(result.payloadUp)),
    millisecondsPerRound: median(milliseconds),
    peakMemoryBytes: result.peakMemoryBytes,
    constant: result.constant,
    alignment: result.alignment,
  };
}

/** Counted from 1. */
export function roundsToTarget(values: readonly number[], target: number): number | null {
  for (let at = 0; at + STEADY_ROUNDS <= values.length; at++) {
    if (values.slice(at, at + STEADY_ROUNDS).every((value) => value >= target)) return at + 1;
  }
  return null;
}

/** Runs that differ in their seed alone. */
export interface RunGroup {
  /** What the run is called among the others: the method, and whatever else varies in the experiment. */
  readonly label: string;
  readonly method: string;
  readonly swept: number | null;
  /** Values of the axes that vary, by name. */
  readonly axes: Readonly<Record<string, string | number>>;
  readonly summaries: readonly RunSummary[];
}

/** In the order of the results. */
export function groupRuns(summaries: readonly RunSummary[]): RunGroup[] {
  const of = summaries.map((summary) => ({ summary, axes: axesOf(summary) }));
  const varying = [...new Set(of.flatMap(({ axes }) => Object.keys(axes)))].filter(
    (axis) => new Set(of.map(({ axes }) => String(axes[axis]))).size > 1,
  );
  const groups = new Map<string, { first: RunSummary; axes: Record<string, string | number>; members: RunSummary[] }>();
  for (const { summary, axes } of of) {
    const own = Object.fromEntries(varying.map((axis) => [axis, axes[axis]!]));
    const key = JSON.stringify([summary.run.method, summary.run.swept, own]);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { first: summary, axes: own, members: [summary] });
    else known.members.push(summary);
  }
  return [...groups.values()].map(({ first, axes, members }) => {
    const { method, swept } = first.run;
    const words = Object.entries(axes).map(([axis, value]) => `${axis} ${value}`);
    return {
      label: [method, ...(swept === null ? [] : [String(swept)]), ...words].join(', '),
      ...{ method, swept, axes, summaries: members },
    };
  });
}

function axesOf({ run }: RunSummary): Record<string, string | number> {
  const { fraction, epochs, codec, partition, twin, adversary } = run;
  return {
    C: fraction,
    E: epochs,
    codec,
    partition: partition.kind === 'dirichlet' ? `α ${partition.alpha}` : partition.kind,
    twin: twin.name,
    adversaries: adversary.attack === 'none' ? 'none' : `${adversary.attack} ${Math.round(100 * adversary.share)} %`,
  };
}

const perMetric = (value: (metric: Metric) => number): Record<Metric, number> =>
  Object.fromEntries(METRICS.map((metric) => [metric, Math.round(value(metric) * 1e5) / 1e5])) as Record<
    Metric,
    number
  >;
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]): number => sum(values) / values.length;
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
