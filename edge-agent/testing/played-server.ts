import type { Logger } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { blobRef } from '@twinwatch/core/wire/blobs';
import { decodeEnvelope, encodeEnvelope } from '@twinwatch/core/wire/envelope';
import { parseAgentStatus, parseAlarmEvent, parseTelemetry } from '@twinwatch/core/wire/json-messages';
import { Link } from '@twinwatch/core/wire/link';
import type { BlobRef, FitTask, Manifest, WireMessage } from '@twinwatch/core/wire/messages';
import { withChanges } from '@twinwatch/core/wire/report-by-exception';
import type { AgentStatus } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { parseTopic, topics } from '@twinwatch/core/wire/topics';
import mqtt from 'mqtt';
import { systemClock, systemTimers } from '../system-runtime.js';

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const mine = topics('test').agent('site');

/** The server's side of the wire, for one agent called 'site' in the federation 'test'. */
export class PlayedServer {
  readonly messages: WireMessage[] = [];
  readonly alarms: AlarmEvent[] = [];
  readonly blobs = new Map<string, Uint8Array>();
  status: AgentStatus | null = null;
  /** The newest values, put together. */
  telemetry: Telemetry | undefined;
  receipts = true;
  #sequence = 1;
  readonly link: Link;
  readonly #lineage: BlobRef | null;

  /** @param lineage of the manifests that it announces. */
  constructor(url: string, lineage: BlobRef | null) {
    this.#lineage = lineage;
    const { everyAgent } = topics('test');
    this.link = new Link({
      url,
      connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
      clientId: 'server',
      subscriptions: [
        everyAgent.status,
        everyAgent.telemetry,
        everyAgent.hello,
        everyAgent.alarms,
        everyAgent.up,
        everyAgent.request,
        everyAgent.answer,
      ],
      clock: systemClock,
      timers: systemTimers,
      random: Math.random,
      log: quiet,
      onMessage: (topic, payload) => this.#onMessage(topic, payload),
      onTransfer: (_topic, bytes) => this.messages.push(decodeEnvelope(bytes, 1e8).message),
    });
  }

  send(channel: 'task' | 'receipt' | 'command', message: WireMessage): Promise<void> {
    return this.#publish(mine[channel], message);
  }

  /** As the real one does: parameters right after the task, without being asked. */
  async fit(task: FitTask): Promise<void> {
    await this.send('task', task);
    await this.link.sendTransfer(mine.down, this.blobs.get(task.parameters.hash)!);
  }

  manifest(bytes: Uint8Array, modelVersion: string, rest: Partial<Manifest> = {}, sender = 'server'): Promise<void> {
    const manifest = {
      modelVersion,
      round: 1,
      model: this.keep(bytes),
      lineage: this.#lineage!,
      threshold: 0.5,
      releasedAtMs: 10,
      ...rest,
    };
    return this.#publish(topics('test').manifest, { kind: 'manifest', ...manifest }, sender);
  }

  keep(bytes: Uint8Array): BlobRef {
    const ref = blobRef(bytes);
    this.blobs.set(ref.hash, bytes);
    return ref;
  }

  newest<K extends WireMessage['kind']>(kind: K): Extract<WireMessage, { kind: K }> | undefined {
    return this.messages.findLast((message): message is Extract<WireMessage, { kind: K }> => message.kind === kind);
  }

  #publish(topic: string, message: WireMessage, sender = 'server'): Promise<void> {
    const sequence = this.#sequence++;
    return this.link.publish(topic, encodeEnvelope({ federation: 'test', sender, sequence, sentAtMs: 1, message }));
  }

  #onMessage(topic: string, payload: Uint8Array): void {
    const channel = parseTopic(topic)?.channel;
    if (channel === 'telemetry') this.telemetry = withChanges(this.telemetry, parseTelemetry(payload));
    else if (channel === 'status') this.status = parseAgentStatus(payload);
    else if (channel === 'alarms') {
      const event = parseAlarmEvent(payload);
      // At least once, as for any server: the event id tells.
      if (!this.alarms.some(({ eventId }) => eventId === event.eventId)) this.alarms.push(event);
      if (this.receipts) void this.send('receipt', { kind: 'alarm-receipt', eventIds: [event.eventId] });
    } else {
      const { message } = decodeEnvelope(payload);
      this.messages.push(message);
      if (message.kind !== 'blob-request') return;
      const bytes = this.blobs.get(message.blob.hash);
      if (bytes !== undefined) void this.link.sendTransfer(mine.down, bytes).catch(() => undefined);
    }
  }
}
