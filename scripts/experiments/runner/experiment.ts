import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { ProgressLine } from '../../demo/progress-line.js';
import { systemClock } from '../../processes/node-runtime.js';
import { readConfig } from '../../processes/read-config.js';
import { fromRepository } from '../../processes/repository.js';
import { adviceFigures, type SummarisedExperiment } from './advice-figures.js';
import { type ExperimentConfig, experimentSchema } from './experiment-config.js';
import { drawingsOf } from './experiment-drawings.js';
import { experimentMarkdown } from './experiment-markdown.js';
import { standalone } from './experiment-plots.js';
import { experimentReport } from './experiment-report.js';
import { quickened, readyExperiments } from './quick.js';
import { ResultLines } from './result-lines.js';
import type { RunResult } from './run-once.js';
import { runAll } from './run-processes.js';
import { expandRuns, type RecordedData } from './runs.js';
import { groupRuns, summariseRuns } from './summarise.js';

export interface ExperimentOptions {
  readonly out: string;
  readonly processes?: number;
  readonly data?: string;
  readonly test?: string;
  /** So small that it says nothing but that everything runs. */
  readonly quick?: boolean;
  /** Where to write what `twinwatch advise` knows. */
  readonly advice?: string;
}

/**
 * `twinwatch experiment FILE…`: does the runs that are not there yet, then writes the report: NAME.jsonl (one line a run), NAME.html, NAME.md and
 * NAME.summary.jsonl in the folder `out`, and the plots in its folder plots. Without files, those that come with the product.
 * @throws TwinwatchError CONFIG_*, EXPERIMENT_*, PLANT_*, TWIN_*, FEED_INVALID
 */
export async function runExperiments(files: readonly string[], options: ExperimentOptions): Promise<void> {
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const done: SummarisedExperiment[] = [];
  for (const file of files.length === 0 ? await readyExperiments() : files) {
    const path = fromRepository(file);
    const read = await readConfig(experimentSchema, path);
    const name = basename(path).replace(/\.ya?ml$/, '');
    if (read.scenario === 'official' && options.test === undefined && files.length === 0) {
      line.say(`${name} is left out: it is judged on a file of yours, which --data and --test name`);
      continue;
    }
    const config = options.quick === true ? quickened(read) : read;
    const testFile = options.test === undefined ? null : resolve(options.test);
    const recorded = options.data === undefined ? null : { folder: resolve(options.data), testFile };
    const results = await measure(config, name, { ...options, recorded }, line);
    done.push({ name, config, summaries: summariseRuns(config, results) });
    const markdown = await writeReports(config, name, results, options.out, recorded);
    if (options.quick !== true) process.stdout.write(`\n${markdown}\n${join(resolve(options.out), `${name}.html`)}\n`);
  }
  if (options.advice !== undefined)
    await writeFile(resolve(options.advice), `${JSON.stringify(adviceFigures(done), null, 2)}\n`);
}

async function measure(
  config: ExperimentConfig,
  name: string,
  { out, processes = availableParallelism(), recorded }: ExperimentOptions & { readonly recorded: RecordedData | null },
  line: ProgressLine,
): Promise<RunResult[]> {
  const lines = await ResultLines.open(join(resolve(out), `${name}.jsonl`));
  const runs = expandRuns(config, recorded);
  const missing = runs.filter(({ id }) => !lines.has(id));
  const rounds = missing.reduce((sum, run) => sum + Number(run.rounds.count ?? 20), 0);
  const startedMs = systemClock.monotonic();
  let done = 0;
  let finished = 0;
  if (missing.length < runs.length)
    line.say(`${name}: ${runs.length - missing.length} of ${runs.length} runs are there already`);
  try {
    await runAll({
      ...{ runs: missing, recorded, processes, areAlone: config.freshProcesses },
      async onResult(result) {
        await lines.add(result);
        finished++;
      },
      onRound() {
        done++;
        line.live(progressWords(name, done, rounds, systemClock.monotonic() - startedMs, finished, missing.length));
      },
    });
  } finally {
    line.end();
  }
  const tookMs = systemClock.monotonic() - startedMs;
  if (missing.length > 0)
    line.say(`${name}: ${missing.length} runs, ${rounds} rounds in ${(tookMs / 1000).toFixed(1)} s`);
  return runs.map(({ id }) => lines.get(id)!);
}

const BAR = 24;

/** A bar, what is done, and how much longer it will take at the pace so far. */
export function progressWords(
  name: string,
  done: number,
  rounds: number,
  tookMs: number,
  finished: number,
  runs: number,
): string {
  const filled = Math.round((BAR * done) / Math.max(1, rounds));
  const left = Math.round(((tookMs / Math.max(1, done)) * (rounds - done)) / 1000);
  const words = left < 90 ? `${left} s` : `${Math.round(left / 60)} min`;
  return `${name} [${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] ${finished}/${runs} runs, ${done}/${rounds} rounds, ${words} left`;
}

async function writeReports(
  config: ExperimentConfig,
  name: string,
  results: readonly RunResult[],
  out: string,
  recorded: RecordedData | null,
): Promise<string> {
  const folder = resolve(out);
  await mkdir(folder, { recursive: true });
  const summaries = summariseRuns(config, results);
  const groups = groupRuns(summaries);
  const drawings = drawingsOf(config, summaries, results);
  const about = { config, name, data: recorded === null ? 'simulated' : 'BATADAL' } as const;
  const markdown = experimentMarkdown(about, groups, results[0]?.twinPrAuc.length ?? 0);
  const write = (ending: string, text: string) => writeFile(join(folder, `${name}${ending}`), text);
  await write('.summary.jsonl', `${summaries.map((summary) => JSON.stringify(summary)).join('\n')}\n`);
  await write('.md', markdown);
  await write('.html', experimentReport(about, groups, drawings));
  await mkdir(join(folder, 'plots'), { recursive: true });
  for (const drawing of drawings)
    await writeFile(join(folder, 'plots', `${name}-${drawing.name}.svg`), standalone(drawing.svg));
  return markdown;
}
