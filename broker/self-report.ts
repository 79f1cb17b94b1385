import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Clock } from '@twinwatch/core/runtime';
import type { Aedes } from 'aedes';
import type { Traffic } from './access.js';
import type { Connections } from './connections.js';
import type { BrokerCounters } from './counters.js';
import { type BrokerState, FIGURES } from './metrics.js';
import type { SessionStore } from './session-store.js';
import type { Sessions } from './sessions.js';

export interface SelfReportOptions {
  readonly aedes: Aedes;
  readonly store: SessionStore;
  readonly sessions: Sessions;
  readonly connections: Connections;
  readonly counters: BrokerCounters;
  readonly traffic: Traffic;
  readonly clock: Clock;
  readonly intervalMs: number;
}

export interface SelfReport {
  readonly state: () => BrokerState;
  readonly stop: () => void;
}

const NANOSECONDS = 1e-9;
/** However many subscribe. */
const SOON_MS = 50;
/** SUBACK, MQTT 3.1.1, section 3.9.3. */
const REFUSED = 128;

/** Publishes the broker's figures under `$SYS/broker/`, every so often, and at once when somebody subscribes to some of them. Not retained: they go stale. */
export function startSelfReport(options: SelfReportOptions): SelfReport {
  const { aedes, store, sessions, connections, counters, traffic, clock, intervalMs } = options;
  const startedMs = clock.monotonic();
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  let mostClients = 0;
  aedes.on('client', () => {
    mostClients = Math.max(mostClients, aedes.connectedClients);
  });
  const state = (): BrokerState => {
    const { heapUsed, rss } = process.memoryUsage();
    const eventLoopDelaySeconds = delay.percentile(99) * NANOSECONDS;
    delay.reset();
    return {
      counters,
      ...connections.traffic,
      ...traffic,
      connections: connections.open,
      uptimeSeconds: Math.round((clock.monotonic() - startedMs) / 1000),
      clients: aedes.connectedClients,
      mostClients,
      subscriptions: subscriptionsOf(aedes),
      sessions: sessions.count,
      absentSessions: sessions.absent,
      queued: store.queued,
      incoming: store.incoming,
      retained: store.retained,
      bytesInMemory: store.bytesInMemory,
      heapBytes: heapUsed,
      residentBytes: rss,
      eventLoopDelaySeconds,
    };
  };
  const publish = () => {
    const now = state();
    for (const { topic, of } of FIGURES) {
      const payload = Buffer.from(String(of(now)));
      const packet = {
        cmd: 'publish',
        topic: `$SYS/broker/${topic}`,
        payload,
        qos: 0,
        retain: false,
        dup: false,
      } as const;
      aedes.publish(packet, () => undefined);
    }
  };
  let soon: NodeJS.Timeout | null = null;
  aedes.on('subscribe', (subscriptions) => {
    if (!subscriptions.some(({ topic, qos }) => topic.startsWith('$SYS/') && Number(qos) !== REFUSED)) return;
    soon ??= setTimeout(() => {
      soon = null;
      publish();
    }, SOON_MS);
  });
  const timer = setInterval(publish, intervalMs);
  timer.unref();
  return {
    state,
    stop() {
      clearInterval(timer);
      if (soon !== null) clearTimeout(soon);
      delay.disable();
    },
  };
}

function subscriptionsOf(aedes: Aedes): number {
  const { clients } = aedes as unknown as { readonly clients: Record<string, { readonly subscriptions: object }> };
  let count = 0;
  for (const id in clients) count += Object.keys(clients[id]?.subscriptions ?? {}).length;
  return count;
}
