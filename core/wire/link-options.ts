import type { Clock, Logger, Timers } from '../runtime.js';
import type { BackoffLimits } from './link-state.js';
import type { BrokerAccess, MqttClientLike, MqttConnectOptions } from './mqtt-client.js';
import type { ArrivedChunk, IncompleteTransfer } from './reassembly.js';

/** What a link is made of, and what it calls. */

/** A broker, and what dials it. */
export interface BrokerDoor extends BrokerAccess {
  /** `(options) => mqtt.connect(options.url, options)` */
  readonly connect: (options: MqttConnectOptions) => MqttClientLike;
}

export interface LinkOptions extends BrokerDoor {
  /** Stable over restarts: the broker keeps the session under it. */
  readonly clientId: string;
  /** What the broker publishes when the connection breaks, and the link itself when it is stopped. */
  readonly will?: (connectionId: string) => { readonly topic: string; readonly payload: Uint8Array };
  /** Filters, with QoS 1. */
  readonly subscriptions: readonly string[];
  /** Filters, with QoS 0: what comes while the link is away is not kept for it. */
  readonly fleetingSubscriptions?: readonly string[];
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** Every message that is not a chunk. May come twice (QoS 1). What it throws is logged. */
  readonly onMessage: (topic: string, payload: Uint8Array, flags: { readonly retained: boolean }) => void;
  /** A payload whose chunks have all come and whose hash fits. May come twice. */
  readonly onTransfer?: (topic: string, bytes: Uint8Array, transfer: string) => void;
  /** A chunk that was new, of a transfer that is not whole yet. */
  readonly onChunk?: (topic: string, chunk: ArrivedChunk) => void;
  /** Chunks that stay away, to be asked for; called again every `stalledMs` until they come or the transfer is forgotten. */
  readonly onMissing?: (incomplete: IncompleteTransfer) => void;
  /** Connected and subscribed. The id is new for every connection. */
  readonly onOnline?: (connectionId: string) => void;
  readonly onOffline?: (reason: string) => void;
  /** Every message that comes, and every one that is handed to the connection, acknowledged or not. */
  readonly onPayload?: (topic: string, bytes: number) => void;
  /** A half-open connection is noticed after one and a half of these. 10 where absent. */
  readonly keepaliveSeconds?: number;
  /** 15,000 where absent. */
  readonly publishTimeoutMs?: number;
  /** 3,000 where absent. */
  readonly stalledMs?: number;
  readonly backoff?: BackoffLimits;
  /** Handed to the connection and not acknowledged, alarms left out; one chunk where absent. More suits whoever has no alarms to send. */
  readonly inFlightBytes?: number;
}

export interface PublishOptions {
  /** Both as CHANNELS says for the topic where absent; 1 and false for topics of others. */
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
  /** Before everything; as it comes; after everything but chunks. */
  readonly priority?: 'alarm' | 'normal' | 'replay';
}
