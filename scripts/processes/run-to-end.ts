import { fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { logTail } from './supervisor.js';

/** Runs a command that ends by itself. @throws TwinwatchError PROCESS_CRASHED with the end of its log where it fails. */
export async function runToEnd(command: string, args: readonly string[], logFile: string): Promise<void> {
  mkdirSync(dirname(logFile), { recursive: true });
  const log = openSync(logFile, 'w');
  const child = fork(command, [...args], { stdio: ['ignore', log, log, 'ipc'] });
  closeSync(log);
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('exit', resolve);
  });
  if (code !== 0)
    throw new TwinwatchError('PROCESS_CRASHED', `twinwatch ${args.join(' ')} failed:\n${logTail(logFile)}`, {
      context: { log: logFile, code },
    });
}
