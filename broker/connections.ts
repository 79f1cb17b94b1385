import type { Server, Socket } from 'node:net';
import type { BrokerLimits } from '@twinwatch/core/config/broker';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import type { BrokerCounters } from './counters.js';
import { PacketScanner } from './packet-scanner.js';
import { TokenBucket } from './token-bucket.js';

const TCP_KEEPALIVE_MS = 30_000;
/** A packet this much above the payload limit is not even read. */
const HARD_LIMIT_FACTOR = 4;

export interface ConnectionsOptions {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The sockets of clients: how many, how large and how fast what comes from them may be. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #sockets = new Set<Socket>();
  readonly #unlimited = new WeakSet<object>();
  readonly #closedTraffic = { in: 0, out: 0 };
  #packets = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  get open(): number {
    return this.#sockets.size;
  }

  /** Bytes on the sockets and packets from clients, since the start. */
  get traffic(): { readonly bytesIn: number; readonly bytesOut: number; readonly packetsIn: number } {
    let { in: bytesIn, out: bytesOut } = this.#closedTraffic;
    for (const socket of this.#sockets) {
      bytesIn += socket.bytesRead;
      bytesOut += socket.bytesWritten;
    }
    return { bytesIn, bytesOut, packetsIn: this.#packets };
  }

  /** @returns false where there are too many; the socket is closed, then. */
  admit(socket: Socket): boolean {
    const { limits, counters, log } = this.#options;
    if (this.#sockets.size >= limits.maximumConnections) {
      counters.refusedConnections++;
      socket.destroy();
      return false;
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#closedTraffic.in += socket.bytesRead;
      this.#closedTraffic.out += socket.bytesWritten;
    });
    socket.on('error', (error) => log.debug({ error: error.message }, 'connection broke'));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    this.#guard(socket);
    return true;
  }

  /** From now on it is read as fast as it sends. */
  liftRate(connection: object): void {
    this.#unlimited.add(connection);
  }

  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * aedes takes bytes by `read`, so here is where they can be held back: a client that is too fast is not read until it has a token again, its
   * own end fills up, and nothing is lost. A packet that is too large ends the connection before it is collected.
   */
  #guard(socket: Socket): void {
    const { limits, counters, clock } = this.#options;
    const scanner = new PacketScanner(HARD_LIMIT_FACTOR * limits.maximumPayloadBytes + limits.maximumTopicBytes);
    const bucket = new TokenBucket(limits.maximumMessagesPerSecond, limits.maximumMessageBurst, clock.monotonic());
    const read = socket.read.bind(socket);
    let timer: NodeJS.Timeout | null = null;
    const wait = () => {
      if (timer !== null) return;
      counters.heldBack++;
      timer = setTimeout(() => {
        timer = null;
        socket.emit('readable');
      }, bucket.waitMs);
      timer.unref();
    };
    socket.once('close', () => timer !== null && clearTimeout(timer));
    socket.read = (size?: number) => {
      if (size === 0) return read(0);
      const limited = !this.#unlimited.has(socket);
      const allowance = limited ? bucket.available(clock.monotonic()) : Number.POSITIVE_INFINITY;
      if (allowance < 1) {
        wait();
        return null;
      }
      const chunk: Buffer | null = read(size);
      if (chunk === null) return null;
      const { length, counted, packets, acceptable } = scanner.scan(chunk, allowance);
      if (!acceptable) {
        counters.oversizedPackets++;
        socket.destroy();
        return null;
      }
      this.#packets += packets;
      if (limited) bucket.take(counted);
      // Back into the socket, not kept here: the end of the stream must not overtake it.
      if (length < chunk.length) socket.unshift(chunk.subarray(length));
      return chunk.subarray(0, length);
    };
  }
}

/** @throws TwinwatchError BROKER_PORT_BUSY, BROKER_LISTEN_FAILED. @returns the port. */
export function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const context = { host, port };
      if (cause.code === 'EADDRINUSE')
        reject(
          new TwinwatchError(
            'BROKER_PORT_BUSY',
            `port ${port} on ${host} is in use; stop the program that has it (another broker?), or set another port`,
            { cause, context },
          ),
        );
      else
        reject(
          new TwinwatchError(
            'BROKER_LISTEN_FAILED',
            `cannot listen on ${host}:${port}: ${cause.message}; check host and port`,
            { cause, context },
          ),
        );
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}
