import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FuzzReport } from './fuzz-process.js';
import type { TargetName } from './targets.js';

const HEAP_MB = 384;
/** Without any progress for this long it hangs; a slow machine does not stay away for so long. */
const HANG_MS = 60_000;

/** @throws Error with the process's own words where the decoder crashed, hung, or threw what is not for users. */
export function runFuzz({ group, name: target }: TargetName, inputs: number, seed: number): Promise<FuzzReport> {
  const child = fork(
    fileURLToPath(new URL('./fuzz-process.js', import.meta.url)),
    [group, target, `${inputs}`, `${seed}`],
    {
      execArgv: ['--expose-gc', `--max-old-space-size=${HEAP_MB}`],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    },
  );
  return new Promise((resolve, reject) => {
    let report: FuzzReport | null = null;
    let done = 0;
    let words = '';
    const hung = () => {
      child.kill('SIGKILL');
      reject(new Error(`${target} hangs after ${done} inputs (seed ${seed})`));
    };
    let watch = setTimeout(hung, HANG_MS);
    child.stderr?.on('data', (text: Buffer) => {
      words = (words + text.toString()).slice(-4_000);
    });
    child.on('message', (message: { readonly done?: number; readonly report?: FuzzReport }) => {
      clearTimeout(watch);
      watch = setTimeout(hung, HANG_MS);
      done = message.done ?? done;
      report = message.report ?? report;
    });
    child.once('close', (code, signal) => {
      clearTimeout(watch);
      if (report !== null && code === 0) resolve(report);
      else reject(new Error(`${target} ended with ${code ?? signal} after ${done} inputs (seed ${seed}):\n${words}`));
    });
  });
}
