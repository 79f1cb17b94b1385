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
