import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { configFile } from '../../processes/repository.js';

/** A broker that a federation is tested over: started on a free port of its own, in a directory that the test gives it. */
export interface TestedBroker {
  readonly name: string;
  /** What broker-check calls it, first words. */
  readonly recognised: string;
  /** Why it cannot be tested here; null where it can. */
  readonly missing: string | null;
  start(directory: string): Promise<StartedBroker>;
}

export interface StartedBroker {
  /** The section `broker:` of a client's file in the same directory. Users are 'server', 'site-1' and 'site-2'. */
  section(user: string): Record<string, unknown>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** As it was, after `kill`. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Of every user in tests; also in the file `password` of the directory. */
export const TEST_PASSWORD = 'of tests only';

/** The path where one of these programs is installed, else null. */
export function installed(...paths: readonly string[]): string | null {
  return paths.find((path) => spawnSync(path, ['-h'], { stdio: 'ignore' }).error === undefined) ?? null;
}

/** Where a sentence says that a broker is not tested. */
export const notInstalled = (program: string, debianPackage: string) =>
  `${program} is not installed (apt-get install ${debianPackage}); a federation is not tested over it`;

/** The section of a client that shows a password, in clear or over TLS with the authority in `certs` of the directory. */
export const byPassword = (port: number, isTls: boolean) => (user: string) => ({
  ...(isTls ? { url: `mqtts://localhost:${port}`, ca: 'certs/ca.pem' } : { url: `mqtt://127.0.0.1:${port}` }),
  ...{ username: user, passwordFile: 'password' },
});

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * A file of configs/brokers with ports, paths and passwords of a test in place of its own.
 * @throws Error where the file holds none of what is to be replaced: then it would be another file that is tested.
 */
export function adaptedConfig(file: string, replacements: readonly (readonly [string, string])[]): string {
  let text = readFileSync(configFile('brokers', file), 'utf8');
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`configs/brokers/${file} does not hold '${from}'`);
    text = text.replaceAll(from, to);
  }
  return text;
}

export interface Daemon {
  start(): Promise<void>;
  /** Ends it, and everything that it started. */
  kill(): Promise<void>;
}

/** A program that listens at `port` once it is ready; `env` on top of the environment here. */
export function daemon(
  port: number,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Daemon {
  let child: ChildProcess | null = null;
  let output = '';
  const killGroup = () => {
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, 'SIGKILL');
  };
  return {
    async start() {
      const started = spawn(program, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
        env: { ...process.env, ...env },
      });
      child = started;
      process.once('exit', killGroup);
      for (const stream of [started.stdout, started.stderr])
        stream.on('data', (data: Buffer) => {
          output = (output + data.toString()).slice(-4_000);
        });
      const deadline = performance.now() + 120_000;
      while (!(await answers(port))) {
        if (started.exitCode !== null || started.signalCode !== null || performance.now() > deadline)
          throw new Error(`${program} does not listen at ${port}:\n${output}`);
        await delay(100);
      }
    },
    async kill() {
      process.off('exit', killGroup);
      if (child === null || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      killGroup();
      await ended;
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
