import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** For tests: mosquitto, and a Sparkplug B peer in Python that shares no code with us. */

const FOLDER = fileURLToPath(new URL('../../../../sources/sparkplug/testing/', import.meta.url));
const PYTHON = '/usr/bin/python3';
const mosquitto = ['mosquitto', '/usr/sbin/mosquitto'].find((path) => spawnSync(path, ['-h']).error === undefined);

export interface PeerMessage {
  readonly topic: string;
  readonly qos: number;
  readonly payload: {
    readonly timestamp?: string;
    readonly seq?: string;
    readonly metrics?: readonly Record<string, unknown>[];
  };
}

/** Null where mosquitto, protoc, and Debian's python3-paho-mqtt and python3-protobuf are not all there. */
export function hasPeer(): boolean {
  const python = spawnSync(PYTHON, ['-c', 'import paho.mqtt, google.protobuf']);
  const isThere = mosquitto !== undefined && spawnSync('protoc', ['--version']).status === 0 && python.status === 0;
  if (!isThere)
    console.log(
      'mosquitto, protoc, python3-paho-mqtt or python3-protobuf is not installed: Sparkplug is not tested against them',
    );
  return isThere;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ended(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const end = new Promise((resolve) => process.once('exit', resolve));
  process.kill();
  await end;
}

export async function startPeer() {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-sparkplug-'));
  spawnSync('protoc', [`--proto_path=${FOLDER}`, `--python_out=${directory}`, 'sparkplug_b.proto']);
  const port = await freePort();
  const broker = spawn(mosquitto!, ['-p', String(port)]);
  // Says on stderr that it listens on loopback only.
  await new Promise<void>((resolve) => {
    broker.stderr.on('data', (text: Buffer) => {
      if (text.includes('running')) resolve();
    });
  });
  const peer = spawn(PYTHON, [join(FOLDER, 'sparkplug_peer.py'), String(port), directory]);
  const messages: PeerMessage[] = [];
  await new Promise<void>((resolve, reject) => {
    peer.stderr.on('data', (text: Buffer) => reject(new Error(text.toString())));
    createInterface(peer.stdout).on('line', (line) => {
      const told = JSON.parse(line) as PeerMessage & { ready?: boolean };
      if (told.ready === true) resolve();
      else messages.push(told);
    });
  });
  return {
    port,
    messages,
    /** Of one kind: 'NDATA'. */
    of: (kind: string) => messages.filter(({ topic }) => topic.split('/')[2] === kind),
    send: (message: object) => void peer.stdin.write(`${JSON.stringify(message)}\n`),
    close: async () => {
      await ended(peer);
      await ended(broker);
      rmSync(directory, { recursive: true });
    },
  };
}
