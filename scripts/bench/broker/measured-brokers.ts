import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { choosePorts } from '../../processes/ports.js';
import { fromRepository } from '../../processes/repository.js';

export interface MeasuredBroker {
  readonly name: string;
  readonly port: number;
  stop(): void;
}

const FIRST_PORT = 21_883;
const LONGEST_START_MS = 60_000;
const MOSQUITTO = ['mosquitto', '/usr/sbin/mosquitto'].find((path) => spawnSync(path, ['-h']).error === undefined);

/** Each in a process of its own, on a free port, with its data below `directory`. Without limits that the measurement would run into. */
export const BROKERS: readonly ((directory: string) => Promise<MeasuredBroker>)[] = [
  (directory) => embedded('twinwatch', directory, false),
  (directory) => embedded('twinwatch, sync', directory, true),
  ...(MOSQUITTO === undefined ? [] : [(directory: string) => mosquitto(MOSQUITTO, directory)]),
];

export const REFERENCE = MOSQUITTO === undefined ? null : 'mosquitto';

async function embedded(name: string, directory: string, sync: boolean): Promise<MeasuredBroker> {
  const port = await freePort();
  const config = await file(directory, 'broker.yaml', [
    `port: ${port}`,
    'dataDir: data',
    `sync: ${sync}`,
    'logLevel: error',
    'limits: { maximumMessagesPerSecond: 1000000, maximumMessageBurst: 1000000 }',
  ]);
  const command = fromRepository('scripts/dist/twinwatch.js');
  return started(name, port, spawn(process.execPath, [command, 'broker', '--config', config], { stdio: 'ignore' }));
}

async function mosquitto(command: string, directory: string): Promise<MeasuredBroker> {
  const port = await freePort();
  const config = await file(directory, 'mosquitto.conf', [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence true',
    `persistence_location ${directory}/`,
    'max_queued_messages 0',
    'max_inflight_messages 0',
    'set_tcp_nodelay true',
    // A user of its own could not write there.
    'user root',
  ]);
  return started('mosquitto', port, spawn(command, ['-c', config], { stdio: 'ignore' }));
}

async function freePort(): Promise<number> {
  return (await choosePorts(['broker'], FIRST_PORT, false)).broker;
}

async function file(directory: string, name: string, lines: readonly string[]): Promise<string> {
  await mkdir(directory, { recursive: true });
  const path = join(directory, name);
  await writeFile(path, `${lines.join('\n')}\n`);
  return path;
}

async function started(name: string, port: number, child: ChildProcess): Promise<MeasuredBroker> {
  const stop = () => void child.kill('SIGKILL');
  const deadline = performance.now() + LONGEST_START_MS;
  while (!(await listens(port))) {
    if (performance.now() > deadline || child.exitCode !== null) {
      stop();
      throw new Error(`${name} does not listen on port ${port}`);
    }
    await setTimeout(50);
  }
  return { name, port, stop };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
