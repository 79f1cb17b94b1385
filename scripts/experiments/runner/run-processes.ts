import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { RunResult } from './run-once.js';
import type { FromRunner, ToRunner } from './runner-messages.js';
import { dataKey, type RecordedData, type Run } from './runs.js';

export interface RunAllRequest {
  readonly runs: readonly Run[];
  readonly recorded: RecordedData | null;
  readonly processes: number;
  /** A process of its own for each run. */
  readonly areAlone: boolean;
  /** A run is over; the next is given out once this resolves. */
  readonly onResult: (result: RunResult) => Promise<void>;
  readonly onRound: () => void;
  readonly signal?: AbortSignal;
}

const WORKER = fileURLToPath(new URL('./run-worker.js', import.meta.url));

/**
 * Does the runs in processes of their own. A process goes on with runs of the same rows where there are some, else with the rows that have the most
 * runs left and that no other process is at.
 * @throws TwinwatchError EXPERIMENT_WORKER_FAILED; the other processes are ended.
 */
export async function runAll(request: RunAllRequest): Promise<void> {
  const waiting = new Map<string, Run[]>();
  for (const run of request.runs) {
    const key = dataKey(run);
    waiting.set(key, [...(waiting.get(key) ?? []), run]);
  }
  const busy = new Map<number, string>();
  const next = (worker: number): Run | null => {
    const held = busy.get(worker);
    const own = held === undefined ? undefined : waiting.get(held);
    const others = new Set([...busy].filter(([other]) => other !== worker).map(([, key]) => key));
    const byMost = [...waiting].sort(([, a], [, b]) => b.length - a.length);
    const [key, runs] =
      own !== undefined && own.length > 0
        ? [held!, own]
        : (byMost.find(([free]) => !others.has(free)) ?? byMost[0] ?? [null, []]);
    const run = runs.shift() ?? null;
    if (key !== null && runs.length === 0) waiting.delete(key);
    if (key !== null) busy.set(worker, key);
    return run;
  };
  const children = new Set<ChildProcess>();
  const work = async (worker: number): Promise<void> => {
    let child: ChildProcess | null = null;
    for (let run = next(worker); run !== null; run = next(worker)) {
      request.signal?.throwIfAborted();
      child ??= start(children);
      const result = await perform(child, run, request);
      await request.onResult(result);
      if (!request.areAlone) continue;
      await end(child);
      child = null;
    }
    if (child !== null) await end(child);
  };
  const count = Math.max(1, Math.min(request.areAlone ? 1 : request.processes, request.runs.length));
  const stop = () => {
    for (const child of children) child.kill();
  };
  request.signal?.addEventListener('abort', stop, { once: true });
  try {
    await Promise.all(Array.from({ length: count }, (_, worker) => work(worker)));
  } finally {
    stop();
  }
}

function start(children: Set<ChildProcess>): ChildProcess {
  const child = fork(WORKER, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' });
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.disconnect();
  await exited;
}

function perform(child: ChildProcess, run: Run, { recorded, areAlone, onRound }: RunAllRequest): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      child.off('message', onMessage);
      child.off('exit', onExit);
      finish();
    };
    const failed = (what: string) =>
      new TwinwatchError('EXPERIMENT_WORKER_FAILED', `${run.method}, seed ${run.seed} (run ${run.id}): ${what}`, {
        context: { run: run.id },
      });
    const onMessage = (message: FromRunner) => {
      if (message.kind === 'round') onRound();
      else if (message.kind === 'done') settle(() => resolve(message.result));
      else settle(() => reject(failed(`${message.code === null ? '' : `${message.code}: `}${message.message}`)));
    };
    const onExit = (code: number | null, signal: string | null) =>
      settle(() => reject(failed(`its process ended with ${code === null ? `signal ${signal}` : `code ${code}`}`)));
    child.on('message', onMessage);
    child.on('exit', onExit);
    child.send({ run, recorded, isAlone: areAlone } satisfies ToRunner);
  });
}
