import { type ChildProcess, fork } from 'node:child_process';
import { appendFileSync, closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { choosePorts } from '../../processes/ports.js';
import {
  BRIEF_TRIAL,
  type FederationFiles,
  liveLine,
  type TrialTimes,
  writeFederation,
  writeServerConfig,
} from './federation-files.js';
import type { Death, StepMessage } from './recorded-journal.js';

/** A federation of real processes that can be killed, frozen and started again one by one. */

const COMMAND = fileURLToPath(new URL('../../twinwatch.js', import.meta.url));
const SERVER = fileURLToPath(new URL('./server-process.js', import.meta.url));
/** Generous: a machine may be three times slower, and busy. */
const PATIENCE_MS = 60_000;
const LIVE_EVERY_MS = 500;

interface Child {
  readonly process: ChildProcess;
  /** With the signal that ended it, null where it ended by itself. */
  readonly ended: Promise<NodeJS.Signals | null>;
}

export interface TestFederation {
  readonly folder: string;
  readonly files: FederationFiles;
  readonly url: string;
  readonly httpPort: number;
  readonly agents: readonly string[];
  /** Newest step of the server that runs or ran. */
  readonly newest: StepMessage;
  startBroker(): Promise<void>;
  /** @param rounds settings of its own, over those of the others. */
  startServer(death?: Death | null, rounds?: object): void;
  startAgent(agent: string): void;
  logOf(name: string): string;
  /** Monotonic ms at which the process that runs, or ran last, said that it is ready: Node has started, files are open; null before. */
  readyAtMs(name: string): number | null;
  signal(name: string, signal: NodeJS.Signals): void;
  /** SIGKILL, and wait until it is gone. */
  kill(name: string): Promise<void>;
  /** SIGTERM, and wait until it is gone. */
  stop(name: string): Promise<void>;
  /** Resolves when the process has died by SIGKILL. @throws where it ended in another way, and after a minute. */
  killed(name: string, how?: string): Promise<void>;
  /** Resolves with the next step of the server that fits. @throws after a minute, saying for `what`. */
  step(what: string, fits: (message: StepMessage) => boolean): Promise<StepMessage>;
  stopAll(): Promise<void>;
}

export async function openTestFederation(
  folder: string,
  agents: number,
  rounds: object,
  trial: TrialTimes = BRIEF_TRIAL,
): Promise<TestFederation> {
  const ports = await choosePorts(['broker', 'http'], 21_000 + (process.pid % 400) * 20, false);
  const files = writeFederation(folder, { agents, port: ports.broker, httpPort: ports.http, rounds, trial });
  const children = new Map<string, Child>();
  const readyAtMs = new Map<string, number>();
  const watchers = new Set<(message: StepMessage) => void>();
  let newest: StepMessage = { step: 'start', committed: 0, refused: false };
  const logOf = (name: string) => join(folder, `${name}.log`);

  const start = (name: string, file: string, ...args: string[]): ChildProcess => {
    const log = openSync(logOf(name), 'a');
    const child = fork(file, args, { stdio: ['ignore', log, log, 'ipc'] });
    closeSync(log);
    readyAtMs.delete(name);
    child.on('message', (message: { ready?: boolean }) => {
      if (message.ready === true) readyAtMs.set(name, performance.now());
    });
    children.set(name, {
      process: child,
      ended: new Promise((resolve) => child.once('exit', (_code, by) => resolve(by))),
    });
    return child;
  };
  const within = async <T>(what: string, work: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${what}: not within ${PATIENCE_MS} ms; see ${folder}`)), PATIENCE_MS);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  };
  const ready = (name: string, child: ChildProcess): Promise<void> =>
    within(
      `${name} is ready`,
      new Promise<void>((resolve, reject) => {
        child.on('message', (message: { ready?: boolean }) => message.ready === true && resolve());
        child.once('exit', () => reject(new Error(`${name} ended at its start; see ${logOf(name)}`)));
      }),
    );
  const end = async (name: string, signal: NodeJS.Signals): Promise<void> => {
    const child = children.get(name);
    child?.process.kill(signal);
    if (child !== undefined) await within(`${name} ends`, child.ended);
    children.delete(name);
  };

  for (const [agent, history] of files.histories) {
    const importing = start(
      `import-${agent}`,
      COMMAND,
      'agent',
      'import',
      '--config',
      files.agents.get(agent)!,
      history,
    );
    await within(`history of ${agent}`, new Promise<void>((resolve) => importing.once('exit', () => resolve())));
    if (importing.exitCode !== 0) throw new Error(`no import for ${agent}; see ${logOf(`import-${agent}`)}`);
    children.delete(`import-${agent}`);
  }
  let lines = 0;
  const living = setInterval(() => {
    lines++;
    for (const file of files.live.values()) appendFileSync(file, liveLine(lines));
  }, LIVE_EVERY_MS);
  return {
    ...{ folder, files, logOf, httpPort: ports.http, url: `mqtt://127.0.0.1:${ports.broker}` },
    agents: [...files.agents.keys()],
    get newest() {
      return newest;
    },
    startBroker: () => ready('broker', start('broker', COMMAND, 'broker', '--config', files.broker)),
    startServer(death = null, rounds = {}) {
      const config = writeServerConfig(files.server, rounds);
      const spec = { config, record: join(folder, 'record'), death };
      const child = start('server', SERVER, JSON.stringify(spec));
      child.on('message', (message: StepMessage | { ready: true }) => {
        if (!('step' in message)) return;
        newest = message;
        for (const watcher of [...watchers]) watcher(message);
      });
    },
    startAgent: (agent) => void start(agent, COMMAND, 'agent', '--config', files.agents.get(agent)!),
    readyAtMs: (name) => readyAtMs.get(name) ?? null,
    signal: (name, signal) => void children.get(name)?.process.kill(signal),
    kill: (name) => end(name, 'SIGKILL'),
    stop: (name) => end(name, 'SIGTERM'),
    async killed(name, how = '') {
      const child = children.get(name);
      if (child === undefined) return;
      const signal = await within(`${name} dies ${how}`, child.ended);
      if (children.get(name) === child) children.delete(name);
      if (signal !== 'SIGKILL') throw new Error(`${name} ended by itself, not ${how}; see ${logOf(name)}`);
    },
    step: (what, fits) =>
      within(
        what,
        new Promise<StepMessage>((resolve) => {
          const watcher = (message: StepMessage) => {
            if (!fits(message)) return;
            watchers.delete(watcher);
            resolve(message);
          };
          watchers.add(watcher);
        }),
      ),
    async stopAll() {
      clearInterval(living);
      const names = [...children.keys()];
      await Promise.all(names.filter((name) => name !== 'broker').map((name) => end(name, 'SIGTERM')));
      await end('broker', 'SIGTERM');
    },
  };
}
