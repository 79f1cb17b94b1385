import type { AssembledRow } from '@twinwatch/core/scada/row-assembler';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { BrokerAccess, MqttClientLike } from '@twinwatch/core/wire/mqtt-client';
import { decodeSparkplug } from '@twinwatch/core/wire/sparkplug-payload';
import { keepSubscribed } from '../sources/mqtt/subscription.js';
import type { SourceRuntime } from '../sources/source-runtime.js';
import {
  asksForRebirth,
  hostState,
  type PublishedDevice,
  type SessionOptions,
  type SparkplugMessage,
  SparkplugSession,
} from './session.js';

export interface PublisherOptions extends SessionOptions {
  readonly broker: BrokerAccess;
  /** Host without which nothing is published; null for none. */
  readonly primaryHost: string | null;
  /** To be given as bdSeq after a restart. */
  readonly keepBdSeq: (bdSeq: number) => void;
  readonly runtime: SourceRuntime;
}

/** Values that are told at once, before the connection has taken those before. */
const PAST_AT_ONCE = 200;

/**
 * Tells tags and alarms to whoever speaks Sparkplug B, over a connection of its own. Births are of now; what happened while it was away follows them as
 * historical data, beside what happens meanwhile.
 */
export class SparkplugPublisher {
  readonly #options: PublisherOptions;
  readonly #session: SparkplugSession;
  #client: MqttClientLike | null = null;
  #isTelling = false;
  #hostMs = Number.NEGATIVE_INFINITY;
  #isCatchingUp = false;
  /** Called when the connection is gone. */
  #onDown: () => void = () => undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#session = new SparkplugSession(options);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { broker, group, node, primaryHost, runtime, keepBdSeq } = this.#options;
    const { clock, log } = runtime;
    const states = primaryHost === null ? [] : [`spBv1.0/STATE/${primaryHost}`, `STATE/${primaryHost}`];
    const command = `spBv1.0/${group}/NCMD/${node}`;
    const events = {
      will: () => {
        const death = this.#session.nextDeath(clock.now());
        keepBdSeq(this.#session.bdSeq);
        return { ...death, qos: 1 as const, retain: false };
      },
      up: (client: MqttClientLike) => {
        this.#client = client;
        this.#hostMs = Number.NEGATIVE_INFINITY;
        if (primaryHost === null) this.#begin();
      },
      down: (reason: string) => {
        if (this.#isTelling) {
          log.warn({ reason }, 'Sparkplug: the session has ended; what happens meanwhile is told later');
          this.#session.ended(clock.now());
        }
        this.#client = null;
        this.#isTelling = false;
        this.#onDown();
      },
      message: (topic: string, payload: Buffer) => {
        if (states.includes(topic)) this.#host(payload);
        else if (topic === command && this.#isTelling && isRebirth(payload))
          this.#publish(this.#session.birth(clock.now()));
      },
    };
    await keepSubscribed(broker, `${node}-sparkplug`, [command, ...states], events, runtime, signal);
  }

  devices(devices: readonly PublishedDevice[]): void {
    this.#tell(this.#session.devices(devices, this.#options.runtime.clock.now()));
  }

  row({ row, quality }: AssembledRow, tags: readonly string[]): void {
    const values = new Map(
      tags.map((tag, i) => [tag, { value: row.values[i] ?? Number.NaN, quality: quality[i] ?? 'stale' }]),
    );
    this.#tell(this.#session.values(values, this.#options.runtime.clock.now()));
    void this.#catchUp();
  }

  alarm(event: AlarmEvent): void {
    this.#tell(this.#session.alarm(event, this.#options.runtime.clock.now()));
  }

  #begin(): void {
    const { clock, log } = this.#options.runtime;
    this.#isTelling = true;
    this.#publish(this.#session.birth(clock.now()));
    const { dropped } = this.#session;
    if (dropped > 0) log.warn({ dropped }, 'Sparkplug: values that did not fit are not told; since the start');
    void this.#catchUp();
  }

  /** As fast as the connection takes it, and no faster: what is new does not queue behind what is old. */
  async #catchUp(): Promise<void> {
    if (this.#isCatchingUp) return;
    this.#isCatchingUp = true;
    for (;;) {
      const client = this.#client;
      const past = this.#isTelling ? this.#session.past(PAST_AT_ONCE, this.#options.runtime.clock.now()) : [];
      if (client === null || past.length === 0) break;
      await new Promise<void>((resolve) => {
        this.#onDown = resolve;
        const last = past.length - 1;
        for (const [i, { topic, payload }] of past.entries())
          client.publish(topic, payload, { qos: 0, retain: false }, () => (i === last ? resolve() : undefined));
      });
    }
    this.#isCatchingUp = false;
  }

  /** A host that says it is offline ends the session: the death is told, and the next connection waits for it. */
  #host(payload: Buffer): void {
    const state = hostState(payload);
    if (state === null || state.timeMs < this.#hostMs) return;
    this.#hostMs = state.timeMs;
    if (state.isOnline && !this.#isTelling) this.#begin();
    else if (!state.isOnline && this.#isTelling) {
      this.#isTelling = false;
      this.#publish([this.#session.death(this.#options.runtime.clock.now())]);
      this.#client?.end(false, () => undefined);
    }
  }

  #tell(messages: readonly SparkplugMessage[]): void {
    if (this.#isTelling) this.#publish(messages);
  }

  #publish(messages: readonly SparkplugMessage[]): void {
    for (const { topic, payload } of messages)
      this.#client?.publish(topic, payload, { qos: 0, retain: false }, () => undefined);
  }
}

function isRebirth(payload: Buffer): boolean {
  try {
    return asksForRebirth(decodeSparkplug(payload).metrics);
  } catch {
    return false;
  }
}
