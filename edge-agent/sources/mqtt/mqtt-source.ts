import type { MqttSourceConfig } from '@twinwatch/core/config/sources';
import { parseTime } from '@twinwatch/core/scada/dates';
import type { BrokerAccess } from '@twinwatch/core/wire/mqtt-client';
import { valueAt } from '../json-path.js';
import type { Source, SourceSink } from '../source.js';
import { type SourceRuntime, tellBoard } from '../source-runtime.js';
import { TagBoard } from '../tag-board.js';
import { keepSubscribed } from './subscription.js';

const LONGEST_PAYLOAD = 256 * 1024;

/** Values from the messages of a broker: the whole message is a number, or a place in its JSON is. */
export class MqttSource implements Source {
  readonly name: string;
  readonly devices: readonly string[];
  readonly #config: MqttSourceConfig;
  readonly #broker: BrokerAccess;
  readonly #clientId: string;
  readonly #runtime: SourceRuntime;
  readonly #board: TagBoard;
  #down: string | null = 'is not connected yet';

  /** @param clientId unique at the broker. */
  constructor(config: MqttSourceConfig, broker: BrokerAccess, clientId: string, runtime: SourceRuntime) {
    this.name = broker.url;
    this.devices = [config.name];
    this.#config = config;
    this.#broker = broker;
    this.#clientId = clientId;
    this.#runtime = runtime;
    this.#board = new TagBoard(config.name, config.tags, config.staleAfter, runtime.clock);
  }

  async start(signal: AbortSignal, sink: SourceSink): Promise<void> {
    const topics = [...new Set(this.#config.tags.map(({ topic }) => topic))];
    const events = {
      up: () => {
        this.#down = null;
      },
      // Values that are fresh stay so until they are old: a broker that is away for a moment is no fault of the device.
      down: (reason: string) => {
        this.#down = reason;
      },
      message: (topic: string, payload: Buffer, isRetained: boolean) => this.#take(topic, payload, isRetained),
    };
    await Promise.all([
      keepSubscribed(this.#broker, this.#clientId, topics, events, this.#runtime, signal),
      tellBoard(
        this.#config.name,
        this.#board,
        () => (this.#board.isAlive ? null : this.#down),
        this.#runtime,
        signal,
        sink,
      ),
    ]);
  }

  #take(topic: string, payload: Buffer, isRetained: boolean): void {
    const text = payload.length > LONGEST_PAYLOAD ? null : payload.toString('utf8');
    let json: unknown;
    let isJson = false;
    for (const tag of this.#config.tags) {
      if (tag.topic !== topic) continue;
      if (!isJson && (tag.path !== undefined || tag.timePath !== undefined)) {
        json = text === null ? undefined : parsed(text);
        isJson = true;
      }
      const timeMs = tag.timePath === undefined ? null : timeOf(valueAt(json, tag.timePath));
      // How old a retained message is, only its own time says.
      if (isRetained && timeMs === null) continue;
      const raw = tag.path === undefined ? text : valueAt(json, tag.path);
      this.#board.put(tag.name, raw, timeMs);
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function timeOf(value: unknown): number | null {
  return typeof value === 'string' || typeof value === 'number' ? parseTime(String(value), 'ymd') : null;
}
