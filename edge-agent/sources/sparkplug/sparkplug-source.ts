import type { SparkplugSourceConfig } from '@twinwatch/core/config/sources';
import type { BrokerAccess, MqttClientLike } from '@twinwatch/core/wire/mqtt-client';
import { decodeSparkplug, encodeSparkplug, type SparkplugPayload } from '@twinwatch/core/wire/sparkplug-payload';
import { keepSubscribed } from '../mqtt/subscription.js';
import type { Source, SourceSink } from '../source.js';
import { type SourceRuntime, tellBoard } from '../source-runtime.js';
import { TagBoard } from '../tag-board.js';

const GOOD_QUALITY = 192;
/** Between two requests for a rebirth. */
const REBIRTH_PAUSE_MS = 5_000;

/** Metrics of one edge node, or one device of it, as its births name them. What was missed, a rebirth tells. */
export class SparkplugSource implements Source {
  readonly name: string;
  readonly devices: readonly string[];
  readonly #config: SparkplugSourceConfig;
  readonly #broker: BrokerAccess;
  readonly #clientId: string;
  readonly #runtime: SourceRuntime;
  readonly #board: TagBoard;
  #down: string | null = 'is not connected yet';
  #client: MqttClientLike | null = null;
  /** Alias → metric, of the newest birth; null before it. */
  #aliases: Map<number, string> | null = null;
  /** Metric → number of its type, of the newest birth. */
  #types = new Map<string, number>();
  #seq: number | null = null;
  #bdSeq: number | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;

  /** @param clientId unique at the broker. */
  constructor(config: SparkplugSourceConfig, broker: BrokerAccess, clientId: string, runtime: SourceRuntime) {
    this.name = broker.url;
    this.devices = [config.name];
    this.#config = config;
    this.#broker = broker;
    this.#clientId = clientId;
    this.#runtime = runtime;
    this.#board = new TagBoard(config.name, config.tags, config.staleAfter, runtime.clock);
  }

  async start(signal: AbortSignal, sink: SourceSink): Promise<void> {
    const { group, node } = this.#config;
    const events = {
      up: (client: MqttClientLike) => {
        this.#client = client;
        this.#down = `edge node ${group}/${node} has not told its birth yet`;
        this.#askForBirth();
      },
      down: (reason: string) => {
        this.#client = null;
        this.#down = reason;
        this.#forget();
      },
      message: (topic: string, payload: Buffer) => this.#take(topic, payload),
    };
    const filters = [`spBv1.0/${group}/+/${node}`, `spBv1.0/${group}/+/${node}/+`];
    await Promise.all([
      keepSubscribed(this.#broker, this.#clientId, filters, events, this.#runtime, signal),
      tellBoard(this.#config.name, this.#board, () => this.#down, this.#runtime, signal, sink),
    ]);
  }

  #forget(): void {
    this.#aliases = null;
    this.#seq = null;
    this.#board.clear();
  }

  #take(topic: string, bytes: Buffer): void {
    const [, , kind, , device] = topic.split('/');
    if (kind === undefined || kind === 'NCMD' || kind === 'DCMD') return;
    let payload: SparkplugPayload;
    try {
      payload = decodeSparkplug(bytes, ({ name, alias }) =>
        this.#types.get(name ?? this.#aliases?.get(alias ?? -1) ?? ''),
      );
    } catch (error) {
      this.#runtime.log.warn({ topic, error: String(error) }, 'a Sparkplug message cannot be read');
      return;
    }
    if (kind === 'NDEATH') {
      const bdSeq = payload.metrics.find(({ name }) => name === 'bdSeq')?.value ?? null;
      // A late one of a connection before is no death of this one.
      if (this.#bdSeq !== null && bdSeq !== null && Number(bdSeq) !== this.#bdSeq) return;
      this.#forget();
      this.#down = 'the edge node is offline';
      return;
    }
    if (!this.#isInOrder(kind, payload)) return;
    const own = this.#config.device ?? undefined;
    if (device !== own) return;
    if (kind === 'DDEATH') {
      this.#board.clear();
      this.#aliases = null;
      this.#down = 'the edge node says that the device is offline';
      return;
    }
    const isBirth = kind === 'NBIRTH' || kind === 'DBIRTH';
    if (isBirth) {
      // It tells everything there is, however its times compare with those of the session before.
      this.#board.clear();
      this.#aliases = new Map(
        payload.metrics.flatMap(({ name, alias }) => (name === null || alias === null ? [] : [[alias, name] as const])),
      );
      this.#types = new Map(
        payload.metrics.flatMap(({ name, dataType = 0 }) =>
          name === null || dataType === 0 ? [] : [[name, dataType]],
        ),
      );
      this.#down = null;
    }
    if (this.#aliases === null) {
      this.#askForBirth();
      return;
    }
    for (const metric of payload.metrics) {
      if (metric.isHistorical === true) continue;
      const name = metric.name ?? this.#aliases.get(metric.alias ?? -1);
      if (name === undefined) this.#askForBirth();
      for (const tag of this.#config.tags) {
        if (tag.metric !== name) continue;
        if (metric.quality !== null && metric.quality !== GOOD_QUALITY)
          this.#board.spoil(tag.name, `SPARKPLUG_QUALITY ${metric.quality}`, metric.timeMs);
        else this.#board.put(tag.name, metric.value ?? Number.NaN, metric.timeMs);
      }
    }
  }

  /** Every message of a node carries the next number; one that is missing may have held a change, so everything is asked for anew. */
  #isInOrder(kind: string, { seq, metrics }: SparkplugPayload): boolean {
    if (kind === 'NBIRTH') {
      this.#seq = seq;
      const bdSeq = metrics.find(({ name }) => name === 'bdSeq')?.value;
      this.#bdSeq = bdSeq === undefined || bdSeq === null ? null : Number(bdSeq);
      if (this.#config.device !== undefined) this.#aliases = null;
      return true;
    }
    if (this.#seq === null) {
      this.#askForBirth();
      return false;
    }
    if (seq === null || seq === (this.#seq + 1) % 256) {
      this.#seq = seq ?? this.#seq;
      return true;
    }
    this.#forget();
    this.#down = 'messages of the edge node were lost; it is asked for a rebirth';
    this.#askForBirth();
    return false;
  }

  #askForBirth(): void {
    const { group, node } = this.#config;
    const nowMs = this.#runtime.clock.monotonic();
    if (this.#client === null || nowMs - this.#askedMs < REBIRTH_PAUSE_MS) return;
    this.#askedMs = nowMs;
    const command = encodeSparkplug({
      timeMs: this.#runtime.clock.now(),
      seq: null,
      metrics: [
        {
          ...{ name: 'Node Control/Rebirth', alias: null, timeMs: this.#runtime.clock.now() },
          ...{ type: 'Boolean' as const, value: true, quality: null },
        },
      ],
    });
    this.#client.publish(`spBv1.0/${group}/NCMD/${node}`, command, { qos: 0, retain: false }, () => undefined);
  }
}
