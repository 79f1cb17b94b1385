import { createHash, timingSafeEqual } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { type BrokerCredential, type BrokerLimits, brokerLimitsSchema } from '@twinwatch/core/config/broker';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import { Aedes, type AuthenticateError, type PublishPacket } from 'aedes';
import { type BrokerCounters, newCounters } from './counters.js';
import { openStore } from './open-store.js';
import { PacketSizeGuard } from './packet-size.js';
import { type Identity, publishFault, readFault, subscribeFault } from './rights.js';
import type { SessionStore } from './session-store.js';
import { StoredFirst } from './stored-first.js';

export interface BrokerOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly dataDir: string;
  readonly limits?: Partial<BrokerLimits>;
  /** Anybody may do anything within the limits where absent. */
  readonly credentials?: readonly BrokerCredential[] | undefined;
  readonly drainTimeoutMs?: number;
  readonly heartbeatMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RunningBroker {
  readonly port: number;
  readonly counters: Readonly<BrokerCounters>;
  /** Idempotent. Resolves when every connection and the store are closed. */
  close(): Promise<void>;
}

interface Session {
  readonly identity: Identity;
  readonly filters: Set<string>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const TCP_KEEPALIVE_MS = 30_000;
/** A packet this much above the payload limit is not even read. */
const HARD_LIMIT_FACTOR = 4;
const BAD_CREDENTIALS = 4;

/** @throws TwinwatchError BROKER_PORT_BUSY, BROKER_LISTEN_FAILED, BROKER_STORE_LOCKED, BROKER_STORE_FAILED. */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const { log, clock, heartbeatMs = 5_000 } = options;
  const limits = brokerLimitsSchema.parse(options.limits ?? {});
  const counters = newCounters();
  const sockets = new Set<Socket>();
  let started: (aedes: Aedes | null) => void = () => undefined;
  const starting = new Promise<Aedes | null>((resolve) => {
    started = resolve;
  });
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', (error) => log.debug({ error: error.message }, 'connection broke'));
    guard(socket, limits, counters);
    void starting.then((aedes) => (aedes === null ? socket.destroy() : aedes.handle(socket)));
  });
  server.maxConnections = limits.maximumConnections;
  server.on('drop', () => counters.refusedConnections++);
  // The port first: of two brokers with the same file, the second should hear about the port.
  const port = await listen(server, options.host, options.port);
  let store: SessionStore;
  try {
    store = await openStore({ dataDir: options.dataDir, limits, counters, log, nowMs: clock.now() });
  } catch (error) {
    started(null);
    await closeServer(server, sockets);
    throw error;
  }
  const aedes = await Aedes.createBroker({
    // Rises from start to start, so that messages queued before a restart come before later ones.
    id: `broker-${clock.now()}`,
    persistence: store,
    drainTimeout: options.drainTimeoutMs ?? 5_000,
    heartbeatInterval: heartbeatMs,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxTopicLevels: 100,
  });
  applyRights(aedes, store, { limits, counters, log, credentials: options.credentials });
  aedes.on('client', (client) => deliverEverything(client, aedes.id));
  aedes.on('clientError', (client, error) => log.debug({ client: client.id, error: error.message }, 'client dropped'));
  aedes.on('connectionError', (_client, error) => log.debug({ error: error.message }, 'connection refused'));
  // Its types leave this event out; without a listener a failure of the store would end the process.
  (aedes as EventEmitter).on('error', (error: Error) => {
    counters.storeErrors++;
    log.error({ error: error.message }, 'broker failure');
  });
  const stopReporting = reportRefusals(counters, log, heartbeatMs);
  started(aedes);

  let closing: Promise<void> | null = null;
  const close = async () => {
    stopReporting();
    server.close();
    await new Promise<void>((resolve) => aedes.close(resolve));
    await closeServer(server, sockets);
    await store.close();
  };
  return {
    port,
    counters,
    close() {
      closing ??= close();
      return closing;
    },
  };
}

/**
 * aedes takes a message whose counter is below the last delivered one for a duplicate and keeps it back until the client connects again.
 * Messages overtake each other on their way through the store (QoS 0 does not pass it), so that would hold up alarms.
 * In one broker without a cluster nothing comes twice, unless a client's own filters overlap.
 */
function deliverEverything(client: object, brokerId: string): void {
  const { duplicates } = client as { readonly duplicates: Record<string, number> };
  Object.defineProperty(duplicates, brokerId, { get: () => 0, set: () => undefined });
}

interface PublishedOrWill {
  readonly topic: string;
  readonly payload: string | Buffer;
  readonly retain?: boolean;
}

interface RightsContext {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly log: Logger;
  readonly credentials: readonly BrokerCredential[] | undefined;
}

function applyRights(aedes: Aedes, store: SessionStore, { limits, counters, log, credentials }: RightsContext): void {
  const sessions = new WeakMap<object, Session>();
  const identityOf = (client: object | null): Identity => sessions.get(client ?? {})?.identity ?? { role: 'anonymous' };

  aedes.authenticate = (client, username, password, done) => {
    const identity = identify(credentials, username, password);
    if (identity !== null) {
      sessions.set(client, { identity, filters: new Set() });
      done(null, true);
      return;
    }
    counters.refusedConnections++;
    log.warn({ client: client.id, username }, 'wrong user name or password');
    done(
      Object.assign(new Error('bad user name or password'), { returnCode: BAD_CREDENTIALS }) as AuthenticateError,
      false,
    );
  };

  /** Counts and logs; true when the message must not go out. */
  const refuses = (identity: Identity, packet: PublishedOrWill, client: string | undefined): boolean => {
    const { topic, payload, retain = false } = packet;
    const fault = publishFault(identity, { topic, payloadBytes: payload.length, retain }, limits);
    if (fault === null) return false;
    counters.refusedPublishes++;
    log.debug({ client, topic: topic.slice(0, 256), fault }, 'message refused');
    return true;
  };

  // A will is published when its client, and after a crash even its session, is gone: it is judged now or never.
  aedes.preConnect = (_client, packet, done) => {
    const identity = identify(credentials, packet.username, packet.password);
    if (packet.will !== undefined && identity !== null && refuses(identity, packet.will, packet.clientId))
      delete packet.will;
    done(null, true);
  };

  const storedFirst = new StoredFirst(aedes, store);
  /** What is left for aedes is to acknowledge it. */
  const empty = (packet: PublishPacket) => {
    packet.topic = `$SYS/${aedes.id}/handled`;
    packet.payload = Buffer.alloc(0);
    packet.retain = false;
  };
  aedes.authorizePublish = (client, packet, done) => {
    if (refuses(identityOf(client), packet, client?.id)) {
      // An error would end the connection, the client would come back and send the same again: acknowledged, dropped, counted.
      empty(packet);
      done(null);
    } else if (client !== null && packet.qos === 1) {
      storedFirst.publish(client, { ...packet }, (error) => {
        empty(packet);
        done(error);
      });
    } else done(null);
  };

  aedes.authorizeSubscribe = (client, subscription, done) => {
    const session = sessions.get(client);
    const filters = session?.filters ?? new Set();
    const others = filters.size - (filters.has(subscription.topic) ? 1 : 0);
    const fault = subscribeFault(identityOf(client), subscription.topic, others, limits);
    if (fault === null) {
      filters.add(subscription.topic);
      done(null, subscription);
      return;
    }
    counters.refusedSubscriptions++;
    log.warn({ client: client.id, filter: subscription.topic.slice(0, 256), fault }, 'subscription refused');
    done(null, null);
  };
  aedes.on('unsubscribe', (filters, client) => {
    for (const filter of filters) sessions.get(client)?.filters.delete(filter);
  });

  store.mayStore = (client, filter) => sessions.get(client)?.filters.has(filter) ?? false;
  aedes.authorizeForward = (client, packet) => (readFault(identityOf(client), packet.topic) === null ? packet : null);
}

function identify(
  credentials: readonly BrokerCredential[] | undefined,
  username: string | undefined,
  password: Buffer | undefined,
): Identity | null {
  if (credentials === undefined) return { role: 'anonymous' };
  const entry = credentials.find((one) => one.username === username);
  const digest = (text: string | Buffer) => createHash('sha256').update(text).digest();
  const matches = timingSafeEqual(digest(entry?.password ?? ''), digest(password ?? ''));
  if (entry === undefined || !matches) return null;
  return entry.role === 'agent' ? { role: 'agent', agent: entry.agent ?? '' } : { role: entry.role };
}

/** aedes takes bytes by `read`; a packet that is too large ends the connection before it is collected. */
function guard(socket: Socket, limits: BrokerLimits, counters: BrokerCounters): void {
  const sizes = new PacketSizeGuard(HARD_LIMIT_FACTOR * limits.maximumPayloadBytes + limits.maximumTopicBytes);
  const read = socket.read.bind(socket);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
  socket.read = (size?: number) => {
    const chunk: Buffer | null = read(size);
    if (chunk === null || sizes.accepts(chunk)) return chunk;
    counters.oversizedPackets++;
    socket.destroy();
    return null;
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
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
            {
              cause,
              context,
            },
          ),
        );
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  for (const socket of sockets) socket.destroy();
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}

/** One line per heartbeat at most, whatever a client does. */
function reportRefusals(counters: BrokerCounters, log: Logger, everyMs: number): () => void {
  let last = JSON.stringify(counters);
  const timer = setInterval(() => {
    const now = JSON.stringify(counters);
    if (now !== last) log.warn({ ...counters }, 'refused or dropped since the start');
    last = now;
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
