import { type Channel, parseTopic } from './topics.js';

export interface TrafficCount {
  messages: number;
  /** Payload and topic; what MQTT, TCP and TLS add is not seen here. */
  bytes: number;
}

export type ChannelTraffic = Partial<Record<Channel | 'other', TrafficCount>>;

/** Counts one message under the channel of its topic. */
export function countMessage(traffic: ChannelTraffic, topic: string, payload: Uint8Array): void {
  const channel = parseTopic(topic)?.channel ?? 'other';
  const count = traffic[channel] ?? { messages: 0, bytes: 0 };
  traffic[channel] = count;
  count.messages++;
  count.bytes += payload.length + topic.length;
}

/** Bytes of MQTT payload, as sent: chunks, repetitions and all. */
export interface AgentTraffic {
  /** agent → server */
  readonly up: number;
  readonly down: number;
}

/** What learning together takes. Status, telemetry, alarms and commands are there without it. */
const DIRECTIONS: Readonly<Partial<Record<Channel, keyof AgentTraffic>>> = {
  hello: 'up',
  up: 'up',
  request: 'up',
  task: 'down',
  down: 'down',
  receipt: 'down',
};

/** Payloads of learning by agent, until they are taken. */
export class TrafficTally {
  #counts = new Map<string, AgentTraffic>();

  count(topic: string, bytes: number): void {
    const parsed = parseTopic(topic);
    const direction = parsed === null ? undefined : DIRECTIONS[parsed.channel];
    if (parsed?.agent == null || direction === undefined) return;
    const { up, down } = this.#counts.get(parsed.agent) ?? { up: 0, down: 0 };
    const counted = { up, down, [direction]: (direction === 'up' ? up : down) + bytes };
    this.#counts.set(parsed.agent, counted);
  }

  take(): ReadonlyMap<string, AgentTraffic> {
    const taken = this.#counts;
    this.#counts = new Map();
    return taken;
  }
}
