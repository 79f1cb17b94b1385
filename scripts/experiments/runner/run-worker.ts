import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import { systemClock } from '../../processes/node-runtime.js';
import { type ExperimentData, experimentData } from './experiment-data.js';
import { runOnce } from './run-once.js';
import type { FromRunner, ToRunner } from './runner-messages.js';
import { dataKey, type RecordedData, type Run } from './runs.js';

/** A process that does runs, one after the other, and keeps the rows of the last. */

const engine = new BuiltinEngine();
let kept: { readonly key: string; readonly data: ExperimentData } | null = null;

async function perform(run: Run, recorded: RecordedData | null, isAlone: boolean): Promise<FromRunner> {
  try {
    const key = dataKey(run);
    if (kept?.key !== key) kept = { key, data: await experimentData(run, recorded) };
    const monotonic = () => systemClock.monotonic();
    const onRound = (round: number) => send({ kind: 'round', round });
    const result = await runOnce(run, kept.data, { engine, monotonic, onRound });
    const peakMemoryBytes = isAlone ? process.resourceUsage().maxRSS * 1024 : null;
    return { kind: 'done', result: { ...result, peakMemoryBytes } };
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    return { kind: 'failed', runId: run.id, code: code ?? null, message: message ?? String(error) };
  }
}

function send(message: FromRunner): void {
  process.send?.(message);
}

process.on('message', ({ run, recorded, isAlone }: ToRunner) => {
  void perform(run, recorded, isAlone).then(send);
});
// Whoever started it is gone: nobody waits for the result.
process.on('disconnect', () => process.exit(0));
