import { TwinwatchError } from '../errors.js';
import type { Timers } from '../runtime.js';
import { MAXIMUM_ENVELOPE_BYTES } from './envelope.js';
import type { MqttClientLike } from './mqtt-client.js';
import { type Lane, SendQueue } from './send-queue.js';
import { CHANNELS, parseTopic } from './topics.js';
import { type ChannelTraffic, countMessage } from './traffic.js';

export interface Delivery {
  readonly lane: Lane;
  /** Both as CHANNELS says for the topic where absent; 1 and false for topics of others. */
  readonly qos?: 0 | 1 | undefined;
  readonly retain?: boolean | undefined;
}

interface Outgoing {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly lane: Lane;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: TwinwatchError) => void;
}

export interface OutboundOptions {
  readonly timers: Timers;
  readonly timeoutMs: number;
  /** See SendQueue. */
  readonly inFlightBytes: number | undefined;
  readonly traffic: ChannelTraffic;
  readonly onHandOver: (topic: string, bytes: number) => void;
  /** The broker acknowledges nothing any more. */
  readonly onTimeout: (client: MqttClientLike) => void;
}

/** Type, length, topic length and packet id. */
const MQTT_HEADER_BYTES = 9;

/** What is on its way to the broker over the connection of the moment. Without one, everything is refused at once. */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #queue: SendQueue<Outgoing>;
  readonly #inFlight = new Set<Outgoing>();
  #client: MqttClientLike | null = null;
  #offlineReason = 'not connected yet';

  constructor(options: OutboundOptions) {
    this.#options = options;
    this.#queue = new SendQueue(options.inFlightBytes);
  }

  attach(client: MqttClientLike): void {
    this.#client = client;
  }

  /** Rejects everything that waits or is not acknowledged: the caller's outbox sends it again. */
  detach(reason: string): void {
    this.#client = null;
    this.#offlineReason = reason;
    const unsent = [...this.#inFlight, ...this.#queue.clear()];
    this.#inFlight.clear();
    for (const outgoing of unsent) outgoing.reject(this.#offline(outgoing.topic));
  }

  send(topic: string, payload: Uint8Array | string, delivery: Delivery): Promise<void> {
    const buffer = asBuffer(payload);
    if (buffer.length > MAXIMUM_ENVELOPE_BYTES)
      return Promise.reject(
        new TwinwatchError(
          'WIRE_TOO_LARGE',
          `${buffer.length} bytes for ${topic} are above ${MAXIMUM_ENVELOPE_BYTES}; large things go as transfers`,
          { context: { topic } },
        ),
      );
    if (this.#client === null) return Promise.reject(this.#offline(topic));
    const rule = deliveryRule(topic);
    const { lane, qos = rule.qos, retain = rule.retained } = delivery;
    const bytes = buffer.length + Buffer.byteLength(topic) + MQTT_HEADER_BYTES;
    return new Promise((resolve, reject) => {
      const outgoing = { topic, payload: buffer, qos, retain, lane, bytes, resolve, reject };
      if (this.#queue.offer(lane, outgoing, bytes)) this.#pump();
      else
        reject(
          new TwinwatchError('WIRE_QUEUE_FULL', `too many messages wait before ${topic}; send it again later`, {
            context: { topic, lane },
            retryable: true,
          }),
        );
    });
  }

  #pump(): void {
    while (this.#client !== null) {
      const next = this.#queue.take();
      if (next === null) return;
      this.#handOver(this.#client, next.item);
    }
  }

  #handOver(client: MqttClientLike, outgoing: Outgoing): void {
    const { topic, payload, qos, retain, lane, bytes } = outgoing;
    const { timers, timeoutMs, traffic, onHandOver, onTimeout } = this.#options;
    this.#inFlight.add(outgoing);
    // A broker that answers pings but acknowledges nothing would fill the client's memory; the link hangs up on it.
    const cancelTimeout = timers.after('link publish', timeoutMs, () => {
      if (!this.#inFlight.delete(outgoing)) return;
      outgoing.reject(
        new TwinwatchError('WIRE_PUBLISH_TIMEOUT', `no acknowledgement for ${topic} within ${timeoutMs} ms`, {
          context: { topic },
          retryable: true,
        }),
      );
      onTimeout(client);
    });
    onHandOver(topic, payload.length);
    client.publish(topic, payload, { qos, retain }, (cause) => {
      cancelTimeout();
      if (!this.#inFlight.delete(outgoing)) return;
      this.#queue.release(lane, bytes);
      if (cause) {
        const message = `the MQTT client gave ${topic} back: ${cause.message}`;
        outgoing.reject(
          new TwinwatchError('WIRE_PUBLISH_FAILED', message, { cause, context: { topic }, retryable: true }),
        );
      } else {
        countMessage(traffic, topic, payload);
        outgoing.resolve();
      }
      this.#pump();
    });
  }

  #offline(topic: string): TwinwatchError {
    return new TwinwatchError(
      'WIRE_OFFLINE',
      `no connection to the broker for ${topic} (${this.#offlineReason}); send it again later`,
      { context: { topic, reason: this.#offlineReason }, retryable: true },
    );
  }
}

/** QoS and retain flag of a topic; 1 and false for topics of others. */
export function deliveryRule(topic: string): { readonly qos: 0 | 1; readonly retained: boolean } {
  const parsed = parseTopic(topic);
  return parsed === null ? { qos: 1, retained: false } : CHANNELS[parsed.channel];
}

/** A view, not a copy. */
export function asBuffer(payload: Uint8Array | string): Buffer {
  if (typeof payload === 'string') return Buffer.from(payload);
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
}
