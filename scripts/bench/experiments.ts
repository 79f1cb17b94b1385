import { availableParallelism, cpus } from 'node:os';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import { experimentSchema } from '../experiments/runner/experiment-config.js';
import { type ExperimentData, experimentData } from '../experiments/runner/experiment-data.js';
import { runOnce } from '../experiments/runner/run-once.js';
import { expandRuns, type Run } from '../experiments/runner/runs.js';
import { markdownTable } from '../experiments/summary.js';
import { systemClock } from '../processes/node-runtime.js';
import { readConfig } from '../processes/read-config.js';
import { configFile } from '../processes/repository.js';

/** Enough for every function to be compiled, and for a steady mean. */
const ROUNDS = 40;
const MEASURED_FROM = 10;
/** The table that the paper has: rounds of each run, and seeds. */
const [TABLE_ROUNDS, TABLE_SEEDS] = [100, 5];

const PARTS = ['clients learn', 'twin learns', 'scores', 'everything else'] as const;
type Part = (typeof PARTS)[number];

/** Milliseconds of the processor in a simulated round of each method of the paper's table, part by part, and what the table takes in all. */
export async function benchExperiments(): Promise<void> {
  const config = await readConfig(experimentSchema, configFile('experiments', 'rounds-to-target.yaml'));
  const small = { ...config, seeds: config.seeds.slice(0, 1), rounds: { ...config.rounds, count: ROUNDS } };
  const runs = expandRuns(small, null);
  const before = processorMs();
  const data = await experimentData(runs[0]!, null);
  const dataMs = processorMs() - before;
  const measured: (readonly [string, Readonly<Record<Part, number>>])[] = [];
  for (const run of runs) measured.push([run.method, await roundOf(run, data)]);
  const totalOf = (parts: Readonly<Record<Part, number>>) => PARTS.reduce((sum, part) => sum + parts[part], 0);
  const rows = measured.map(([name, parts]) => [
    name,
    ...PARTS.map((part) => parts[part].toFixed(1)),
    totalOf(parts).toFixed(1),
  ]);
  console.log(markdownTable(['ms of a round', ...PARTS, 'all'], rows));
  const roundsMs = measured.reduce((sum, [, parts]) => sum + totalOf(parts), 0);
  const tableMs = TABLE_SEEDS * (dataMs + TABLE_ROUNDS * roundsMs);
  console.log(
    `rows of a seed: ${Math.round(dataMs)} ms. ${measured.length} methods × ${TABLE_SEEDS} seeds × ${TABLE_ROUNDS} rounds: ${(tableMs / 1000).toFixed(0)} s of one core, ${(tableMs / 2000).toFixed(0)} s on two.`,
  );
  console.log(
    `${cpus()[0]?.model.trim() ?? 'processor'} (${availableParallelism()} cores), Node ${process.version}; ms of the processor, so that what else the machine does makes little difference`,
  );
}

async function roundOf(run: Run, data: ExperimentData): Promise<Record<Part, number>> {
  const clock = new EngineClock(data);
  let startMs = 0;
  await runOnce(run, data, {
    engine: clock.engine,
    monotonic: () => systemClock.monotonic(),
    onRound(round) {
      if (round !== MEASURED_FROM) return;
      clock.reset();
      startMs = processorMs();
    },
  });
  const rounds = ROUNDS - MEASURED_FROM;
  const known = {
    'clients learn': clock.clientsMs / rounds,
    'twin learns': clock.twinMs / rounds,
    scores: clock.scoresMs / rounds,
  };
  const all = (processorMs() - startMs) / rounds;
  return {
    ...known,
    'everything else': Math.max(0, all - known['clients learn'] - known['twin learns'] - known.scores),
  };
}

/** An engine that takes the processor's time at each call; who called is told by the rows. */
class EngineClock {
  clientsMs = 0;
  twinMs = 0;
  scoresMs = 0;
  readonly engine: TrainingEngine;

  constructor(data: ExperimentData) {
    const inner = new BuiltinEngine();
    const twinRows = data.twin.training.labels.length;
    const ofTwin = (rows: number) => rows === twinRows;
    // The engine computes before it gives its promise back.
    const timed = <T>(work: () => Promise<T>, took: (ms: number) => void): Promise<T> => {
      const before = processorMs();
      const result = work();
      took(processorMs() - before);
      return result;
    };
    const learned = (rows: number) => (ms: number) => {
      if (ofTwin(rows)) this.twinMs += ms;
      else this.clientsMs += ms;
    };
    this.engine = {
      name: inner.name,
      fit: (request, signal) => timed(() => inner.fit(request, signal), learned(request.data.labels.length)),
      gradient: (request) => timed(() => inner.gradient(request), learned(request.data.labels.length)),
      score: (architecture, parameters, features) =>
        timed(
          () => inner.score(architecture, parameters, features),
          (ms) => {
            this.scoresMs += ms;
          },
        ),
      close: () => inner.close(),
    };
  }

  reset(): void {
    this.clientsMs = 0;
    this.twinMs = 0;
    this.scoresMs = 0;
  }
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
