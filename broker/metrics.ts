import type { Amount } from './amounts.js';
import type { BrokerCounters } from './counters.js';

/** What the broker knows about itself at one moment. */
export interface BrokerState {
  readonly counters: Readonly<BrokerCounters>;
  readonly uptimeSeconds: number;
  readonly connections: number;
  readonly clients: number;
  readonly mostClients: number;
  readonly subscriptions: number;
  readonly sessions: number;
  readonly absentSessions: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly publishesIn: number;
  readonly publishBytesIn: number;
  readonly publishesOut: number;
  readonly publishBytesOut: number;
  readonly queued: Amount;
  /** Of QoS 2, whose senders have not done with them. */
  readonly incoming: Amount;
  readonly retained: Amount;
  /** What waits for room on the disk; null where the disk takes everything. */
  readonly bytesInMemory: number | null;
  readonly heapBytes: number;
  readonly residentBytes: number;
  /** 99th percentile since the last look. */
  readonly eventLoopDelaySeconds: number;
}

interface Figure {
  /** Below `$SYS/broker/`: mosquitto's name where it has one for the same. */
  readonly topic: string;
  /** Behind `twinwatch_broker_`. */
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly about: string;
  readonly of: (state: BrokerState) => number;
}

const counter = (topic: string, name: string, about: string, of: Figure['of']): Figure => ({
  ...{ topic, name, about, of },
  type: 'counter',
});
const gauge = (topic: string, name: string, about: string, of: Figure['of']): Figure => ({
  ...{ topic, name, about, of },
  type: 'gauge',
});

const REFUSALS: Readonly<Record<keyof BrokerCounters, string>> = {
  refusedConnections: 'wrong passwords or certificates, and connections beyond the limit',
  lockedOut: 'refused unseen after too many wrong passwords',
  cutOff: 'clients that lost their right to be there while they were connected',
  refusedPublishes: 'messages that rights or limits refuse',
  refusedSubscriptions: 'subscriptions that rights or limits refuse',
  refusedRetained: 'messages not retained, beyond the limits',
  oversizedPackets: 'connections ended for a packet far too large',
  droppedForFullQueue: 'messages for sessions whose queue is full',
  expiredSessions: 'sessions dropped because their clients did not come back for too long',
  evictedSessions: 'sessions dropped because there were as many as may be',
  refusedSessions: 'clients refused because everybody who has a session is connected, and there are as many as may be',
  droppedWithSession: 'messages that waited in sessions that were dropped',
  droppedForSlowClient: 'QoS 0 for subscribers that read too slowly',
  cutOffAsSlow: 'subscribers cut off, because they read too slowly',
  heldBack: 'times a client was not read, because it was too fast',
  heldForRoom: 'messages not read on, because disk and memory were full',
  storesMovedAside: 'session stores that could not be read',
  storeErrors: 'failures of the session store',
};

export const FIGURES: readonly Figure[] = [
  gauge('uptime', 'uptime_seconds', 'since the start', (s) => s.uptimeSeconds),
  gauge('clients/connected', 'clients_connected', 'clients that are connected', (s) => s.clients),
  gauge('clients/maximum', 'clients_maximum', 'most clients at once since the start', (s) => s.mostClients),
  gauge('clients/disconnected', 'sessions_absent', 'sessions whose clients are away', (s) => s.absentSessions),
  gauge('sessions/count', 'sessions', 'sessions, of connected clients and of others', (s) => s.sessions),
  gauge('connections', 'connections', 'sockets, those that have not said who they are included', (s) => s.connections),
  gauge('subscriptions/count', 'subscriptions', 'of clients that are connected', (s) => s.subscriptions),
  counter('bytes/received', 'bytes_received_total', 'on the sockets', (s) => s.bytesIn),
  counter('bytes/sent', 'bytes_sent_total', 'on the sockets', (s) => s.bytesOut),
  counter('messages/received', 'packets_received_total', 'MQTT packets of every kind', (s) => s.packetsIn),
  counter(
    'publish/messages/received',
    'publishes_received_total',
    'messages from clients that were passed on',
    (s) => s.publishesIn,
  ),
  counter('publish/bytes/received', 'publish_bytes_received_total', 'their payloads', (s) => s.publishBytesIn),
  counter('publish/messages/sent', 'publishes_sent_total', 'messages to subscribers', (s) => s.publishesOut),
  counter('publish/bytes/sent', 'publish_bytes_sent_total', 'their payloads', (s) => s.publishBytesOut),
  counter(
    'publish/messages/dropped',
    'publishes_dropped_total',
    'refused, or dropped for one subscriber',
    ({ counters: c }) => c.refusedPublishes + c.droppedForFullQueue + c.droppedForSlowClient + c.droppedWithSession,
  ),
  gauge('store/messages/count', 'queued_messages', 'queued for sessions', (s) => s.queued.messages),
  gauge('store/messages/bytes', 'queued_bytes', 'queued for sessions', (s) => s.queued.bytes),
  gauge('store/incoming/bytes', 'incoming_bytes', 'of QoS 2, not done with', (s) => s.incoming.bytes),
  gauge('retained messages/count', 'retained_messages', 'topics with a retained message', (s) => s.retained.messages),
  gauge('retained messages/bytes', 'retained_bytes', 'in them', (s) => s.retained.bytes),
  gauge('disk/full', 'disk_full', '1 while the disk takes nothing more', (s) => (s.bytesInMemory === null ? 0 : 1)),
  gauge('disk/waiting', 'disk_waiting_bytes', 'that wait in memory for room', (s) => s.bytesInMemory ?? 0),
  gauge('heap/current', 'heap_bytes', 'heap in use', (s) => s.heapBytes),
  gauge('memory/resident', 'resident_bytes', 'of the process', (s) => s.residentBytes),
  gauge(
    'event-loop/delay',
    'event_loop_delay_seconds',
    '99th percentile since it was last asked for',
    (s) => s.eventLoopDelaySeconds,
  ),
  ...Object.entries(REFUSALS).map(([key, about]) => {
    const name = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return counter(
      `twinwatch/${name}`,
      `${name}_total`,
      about,
      ({ counters }) => counters[key as keyof BrokerCounters],
    );
  }),
];

/** Text format 0.0.4 of Prometheus. */
export function prometheusText(state: BrokerState): string {
  return FIGURES.map(({ name, type, about, of }) => {
    const full = `twinwatch_broker_${name}`;
    return `# HELP ${full} ${about}\n# TYPE ${full} ${type}\n${full} ${of(state)}\n`;
  }).join('');
}
