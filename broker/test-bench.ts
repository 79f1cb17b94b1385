import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { Link } from '@twinwatch/core/wire/link';
import type { LinkOptions } from '@twinwatch/core/wire/link-options';
import mqtt, { type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';
import { type BrokerOptions, type RunningBroker, startBroker } from './broker.js';

/** What the tests of this folder run on: real brokers, clients and sockets, and one place that closes them all. */

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
const timers: Timers = {
  async sleep(_name, ms, signal) {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  },
  after(_name, ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent };

export interface Received {
  readonly topic: string;
  readonly text: string;
  readonly retained: boolean;
}

/** A TCP relay that can go silent, as a broken line does, or break. */
export interface Relay {
  readonly port: number;
  /** Takes and gives nothing any more, without closing; connections made later are silent, too, until `heal`. */
  freeze(): void;
  heal(): void;
  /** Reads nothing any more, so that everything before it fills up, as before a client that hangs. Until `cut`. */
  stall(): void;
  /** Breaks every connection without a goodbye. */
  cut(): void;
}

export class TestBench {
  readonly #closing: (() => unknown)[] = [];

  /** Last opened, first closed. */
  async close(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  onClose(close: () => unknown): void {
    this.#closing.push(close);
  }

  async directory(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'twinwatch-broker-'));
    this.onClose(() => rm(path, { recursive: true, force: true }));
    return path;
  }

  /** A file system of its own, so small that it can be filled; null where this user may not mount one. */
  async smallDisk(kibibytes: number): Promise<string | null> {
    const directory = await this.directory();
    const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', directory]);
    if (status !== 0) return null;
    this.onClose(() => execFileSync('umount', ['-l', directory]));
    return directory;
  }

  async broker(options: Partial<BrokerOptions> = {}): Promise<RunningBroker> {
    const dataDir = options.dataDir ?? (await this.directory());
    const broker = await startBroker({ host: '127.0.0.1', port: 0, clock, log, ...options, dataDir });
    this.onClose(() => broker.close());
    return broker;
  }

  /** A plain mqtt.js client, connected. */
  async client(
    port: number,
    options: IClientOptions = {},
    onMessage?: (message: Received) => void,
    onConnect?: (packet: IConnackPacket) => void,
  ): Promise<MqttClient> {
    const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0, ...options });
    client.on('error', silent);
    // Before it is connected: what waited in its session comes together with the answer.
    client.on('message', (topic, payload, packet) => {
      onMessage?.({ topic, text: payload.toString(), retained: packet.retain });
    });
    await new Promise<void>((resolve, reject) => {
      client.once('connect', (packet) => {
        onConnect?.(packet);
        resolve();
      });
      client.once('error', reject);
      client.once('close', () => reject(new Error('connection closed before it was accepted')));
    });
    this.onClose(() => client.endAsync(true));
    return client;
  }

  /** What the broker answers first to these bytes, which no client library would send. */
  async raw(port: number, bytes: readonly number[]): Promise<Buffer> {
    const socket = connectTcp(port, '127.0.0.1');
    this.onClose(() => socket.destroy());
    socket.write(Buffer.from(bytes));
    const [answer] = await once(socket, 'data');
    return answer as Buffer;
  }

  /** A client that has subscribed, and the list in which what it receives appears. */
  async listener(port: number, filter: string, options: IClientOptions = {}): Promise<Received[]> {
    const received: Received[] = [];
    const client = await this.client(port, options, (message) => received.push(message));
    await client.subscribeAsync(filter, { qos: 1 });
    return received;
  }

  /** Started; dials quickly so that tests are quick. */
  link(port: number, options: Partial<LinkOptions> & Pick<LinkOptions, 'clientId'>): Link {
    const link = new Link({
      connect: (dial) => mqtt.connect(dial.url, dial),
      url: `mqtt://127.0.0.1:${port}`,
      subscriptions: [],
      clock,
      timers,
      random: Math.random,
      log,
      onMessage: silent,
      backoff: { firstMs: 20, longestMs: 100, longestRefusedMs: 100, stableMs: 1000 },
      ...options,
    });
    link.start();
    this.onClose(() => link.stop());
    return link;
  }

  async relay(toPort: number): Promise<Relay> {
    const sockets = new Set<Socket>();
    let frozen = false;
    const server = createServer((near) => {
      const far = connectTcp(toPort, '127.0.0.1');
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(socket);
        socket.on('error', silent);
        socket.on('close', () => {
          sockets.delete(socket);
          if (!frozen) other.destroy();
        });
        socket.on('data', (data) => {
          if (!frozen) other.write(data);
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const cut = () => {
      for (const socket of sockets) socket.destroy();
    };
    this.onClose(() => {
      frozen = false;
      cut();
      server.close();
    });
    return {
      port: (server.address() as { port: number }).port,
      freeze() {
        frozen = true;
      },
      heal() {
        frozen = false;
      },
      stall() {
        for (const socket of sockets) socket.pause();
      },
      cut,
    };
  }
}

/** Waits for a condition; fails with `what` when it does not come true. */
export async function until(what: string, condition: () => boolean, withinMs = 20_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`did not come true: ${what}`);
    await delay(5);
  }
}

/** Leaves nothing free. @returns the file to delete, to make room again. */
export async function fillDisk(directory: string): Promise<string> {
  const path = join(directory, 'filler');
  const { bavail, bsize } = await statfs(directory);
  await writeFile(path, Buffer.alloc(bavail * bsize)).catch(() => undefined);
  return path;
}
