import type { AssembledRow } from '@twinwatch/core/scada/row-assembler';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { BrokerAccess, MqttClientLike } from '@twinwatch/core/wire/mqtt-client';
import { decodeSparkplug } from '@twinwatch/core/wire/sparkplug-payload';
import { keepSubscribed } from '../sources/mqtt/subscription.js';
import type { SourceRuntime } from '../sources/source-runtime.js';
import { asksForRebirth, hostState, type PublishedDevice, type SparkplugMessage, SparkplugSession } from './session.js';

export interface PublisherOptions {
  readonly broker: BrokerAccess;
  readonly group: string;
  readonly node: string;
  /** Host without which nothing is published; null for none. */
  readonly primaryHost: string | null;
  /** Of the connection before, −1 for none. */
  readonly bdSeq: number;
  /** To be given as bdSeq after a restart. */
  readonly keepBdSeq: (bdSeq: number) => void;
  readonly runtime: SourceRuntime;
}

/** Tells tags and alarms to whoever speaks Sparkplug B, over a connection of its own. What happens while it is away is not told later: births are of now. */
export class SparkplugPublisher {
  readonly #options: PublisherOptions;
  readonly #session: SparkplugSession;
  #client: MqttClientLike | null = null;
  #isTelling = false;
  #hostMs = Number.NEGATIVE_INFINITY;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#session = new SparkplugSession(options.group, options.node, options.bdSeq);
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
        if (this.#isTelling) log.warn({ reason }, 'Sparkplug: the session has ended');
        this.#client = null;
        this.#isTelling = false;
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
  }

  alarm(event: AlarmEvent): void {
    this.#tell(this.#session.alarm(event, this.#options.runtime.clock.now()));
  }

  #begin(): void {
    this.#isTelling = true;
    this.#publish(this.#session.birth(this.#options.runtime.clock.now()));
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
