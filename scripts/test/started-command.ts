import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The compiled command, as a person starts it. */
const COMMAND = fileURLToPath(new URL('../twinwatch.js', import.meta.url));

export interface StartedCommand {
  readonly pid: number;
  readonly process: ChildProcess;
  readonly messages: unknown[];
  /** Everything printed so far. */
  output(): string;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Resolves when the output matches; rejects with the output when the command ends before. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves with the first message that fits. */
  told<T>(fits: (message: T) => boolean): Promise<T>;
}

export function startCommand(...args: string[]): StartedCommand {
  // What the tests' own environment switches off, the command has to switch off by itself.
  const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env;
  const child = fork(COMMAND, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env });
  let text = '';
  const messages: unknown[] = [];
  const watchers = new Set<() => void>();
  const wake = () => {
    for (const watcher of [...watchers]) watcher();
  };
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (data: Buffer) => {
      text += data.toString();
      wake();
    });
  child.on('message', (message) => {
    messages.push(message);
    wake();
  });
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code ?? -1)),
  );
  const when = <T>(look: () => T | null): Promise<T> =>
    new Promise((resolve, reject) => {
      const watcher = () => {
        const found = look();
        if (found === null) return;
        watchers.delete(watcher);
        resolve(found);
      };
      watchers.add(watcher);
      void ended.then((how) => reject(new Error(`ended with ${how}, having printed:\n${text}`)));
      watcher();
    });
  return {
    pid: child.pid!,
    process: child,
    messages,
    output: () => text,
    ended,
    printed: (pattern) => when(() => pattern.exec(text)),
    told: <T>(fits: (message: T) => boolean) => when(() => (messages as T[]).find(fits) ?? null),
  };
}

/** Process ids of everything whose command line holds `text`, without zombies. */
export async function processesWith(text: string): Promise<number[]> {
  const { readdir, readFile } = await import('node:fs/promises');
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const line = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(text) && Number(entry) !== process.pid) found.push(Number(entry));
  }
  return found;
}
