import type { EventEmitter } from 'node:events';
import { type BrokerConfig, type BrokerLimits, brokerFields } from '@twinwatch/core/config/broker';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import { Aedes } from 'aedes';
import { applyAccess } from './access.js';
import { Admission, type BrokerAccess } from './admission.js';
import { passwordIdentities } from './authentication.js';
import { Connections, closeServer, listen } from './connections.js';
import { type BrokerCounters, newCounters } from './counters.js';
import { type MetricsServer, serveMetrics } from './metrics-http.js';
import { openStore } from './open-store.js';
import { queueFirst } from './queue-first.js';
import { startSelfReport } from './self-report.js';
import type { SessionStore } from './session-store.js';
import { Sessions } from './sessions.js';
import { releaseFromSlow } from './slow-subscriber.js';
import { createListener } from './tls.js';

export interface BrokerOptions extends BrokerAccess {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly dataDir: string;
  readonly limits?: Partial<BrokerLimits>;
  readonly maximumAbsenceMs?: number;
  readonly sync?: boolean;
  readonly minimumFreeBytes?: number;
  readonly lockOut?: BrokerConfig['lockOut'];
  readonly metrics?: BrokerConfig['metrics'];
  readonly drainTimeoutMs?: number;
  readonly heartbeatMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface RunningBroker {
  readonly port: number;
  /**
   * Cuts off at once whom the new access no longer lets in. Whether there is TLS at all stays as it was.
   * @throws Error where certificate and key do not fit; what was before goes on.
   */
  setAccess(access: BrokerAccess): void;
  /** Where its figures are served over HTTP; null where they are not. */
  readonly metricsPort: number | null;
  readonly counters: Readonly<BrokerCounters>;
  /** Idempotent. Resolves when every connection and the store are closed. */
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** @throws TwinwatchError BROKER_PORT_BUSY, BROKER_LISTEN_FAILED (of metrics, too), BROKER_STORE_LOCKED, BROKER_STORE_FAILED. */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const { log, clock, heartbeatMs = 5_000, drainTimeoutMs = 5_000 } = options;
  const { limits, lockOut, ...defaults } = brokerFields
    .pick({ limits: true, lockOut: true, metrics: true, sync: true, minimumFreeBytes: true, maximumAbsence: true })
    .parse({ limits: options.limits ?? {} });
  const { sync = defaults.sync, minimumFreeBytes = defaults.minimumFreeBytes } = options;
  const { maximumAbsenceMs = defaults.maximumAbsence } = options;
  const metrics = options.metrics ?? defaults.metrics;
  const counters = newCounters();
  const traffic = { publishesIn: 0, publishBytesIn: 0, publishesOut: 0, publishBytesOut: 0 };
  const connections = new Connections({ limits, counters, clock, log });
  let started: (aedes: Aedes | null) => void = () => undefined;
  const starting = new Promise<Aedes | null>((resolve) => {
    started = resolve;
  });
  const listener = createListener(options.tls, {
    onSocket(socket) {
      if (connections.admit(socket))
        void starting.then((aedes) => (aedes === null ? socket.destroy() : aedes.handle(socket)));
    },
    onRefused(reason, address) {
      counters.refusedConnections++;
      log.info({ reason, address }, 'connection refused before a word of MQTT');
    },
  });
  const { server } = listener;
  // The port first: of two brokers with the same file, the second should hear about the port.
  const port = await listen(server, options.host, options.port);
  const closeConnections = async () => {
    connections.destroyAll();
    listener.destroyHandshakes();
    await closeServer(server);
  };
  let store: SessionStore;
  try {
    store = await openStore({
      dataDir: options.dataDir,
      sync,
      minimumFreeBytes,
      limits,
      counters,
      log,
      nowMs: clock.now(),
    });
  } catch (error) {
    started(null);
    await closeConnections();
    throw error;
  }
  const sessions = new Sessions({ store, limits, maximumAbsenceMs, counters, clock, log });
  const aedes = await Aedes.createBroker({
    // Rises from start to start, so that messages queued before a restart come before later ones, and never stands for two.
    id: await store.records.nextStart(),
    persistence: store,
    drainTimeout: drainTimeoutMs,
    heartbeatInterval: heartbeatMs,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxTopicLevels: 100,
  });
  await sessions.start();
  const admission = new Admission({
    ...{ access: options, counters, log },
    byPassword: (credentials) =>
      passwordIdentities({ credentials, lockOut: options.lockOut ?? lockOut, counters, clock, log }),
  });
  const sendQueueFirst = queueFirst(aedes, limits.maximumUnsentBytesPerClient);
  applyAccess(aedes, store, {
    limits,
    counters,
    traffic,
    log,
    sessions,
    identify: admission.identify,
    onAdmitted(client, connection, { role }) {
      releaseFromSlow(client, { limits, counters, drainTimeoutMs });
      sendQueueFirst(client);
      if (role === 'server') connections.liftRate(connection);
    },
  });
  aedes.on('client', (client) => deliverEverything(client, aedes.id));
  aedes.on('clientDisconnect', (client) => store.forgetInFlight(client.id));
  aedes.on('clientError', (client, error) => log.debug({ client: client.id, error: error.message }, 'client dropped'));
  aedes.on('connectionError', (_client, error) => log.debug({ error: error.message }, 'connection refused'));
  // Its types leave this event out; without a listener a failure of the store would end the process.
  (aedes as EventEmitter).on('error', (error: Error) => {
    counters.storeErrors++;
    log.error({ error: error.message }, 'broker failure');
  });
  const report = startSelfReport({
    ...{ aedes, store, sessions, connections, counters, traffic, clock },
    intervalMs: metrics.interval,
  });
  const stopReporting = reportRefusals(counters, log, heartbeatMs);
  let metricsServer: MetricsServer | null = null;
  let closing: Promise<void> | null = null;
  const close = async () => {
    stopReporting();
    report.stop();
    await metricsServer?.close();
    server.close();
    await new Promise<void>((resolve) => aedes.close(resolve));
    await closeConnections();
    await sessions.stop();
    await store.close();
  };
  if (metrics.port !== undefined) {
    try {
      metricsServer = await serveMetrics(metrics.host, metrics.port, report.state);
    } catch (error) {
      started(null);
      await close();
      throw error;
    }
  }
  started(aedes);
  return {
    port,
    metricsPort: metricsServer?.port ?? null,
    counters,
    setAccess(access) {
      const tls = options.tls === undefined ? undefined : (access.tls ?? options.tls);
      if (tls !== undefined) listener.replaceCertificates(tls);
      admission.set({ credentials: access.credentials, tls });
    },
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

/** One line per heartbeat at most, whatever a client does. */
function reportRefusals(counters: BrokerCounters, log: Logger, everyMs: number): () => void {
  let last = JSON.stringify(counters);
  const timer = setInterval(() => {
    const now = JSON.stringify(counters);
    if (now !== last) log.warn({ ...counters }, 'refused, dropped or held back since the start');
    last = now;
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
