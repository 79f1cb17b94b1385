import { TwinwatchError } from '../errors.js';
import { split } from './chunks.js';
import { CONNECT_TIMEOUT_MS, connectOptions, newConnectionId, subscribeAll } from './connection.js';
import type { LinkOptions, PublishOptions } from './link-options.js';
import { DEFAULT_BACKOFF, type LinkEffect, type LinkEvent, type LinkState, nextLinkState } from './link-state.js';
import type { MqttClientLike } from './mqtt-client.js';
import { Outbound } from './outbound.js';
import { Reassembly } from './reassembly.js';
import { parseTopic } from './topics.js';
import { type ChannelTraffic, countMessage } from './traffic.js';
import { WaitingRoom } from './waiting-room.js';

/**
 * The one connection of an agent or a server to its broker: keeps dialling, subscribes anew on every connection, sends what is urgent
 * first, takes large things apart and puts them together. It keeps nothing for later: what must not be lost lies
 * in the caller's outbox until the other end's receipt.
 */

const STOP_TIMEOUT_MS = 2_000;
const CHUNK_RETRY_MS = 100;
/** A broker that speaks MQTT 5 may refuse a publish for as long as its rights or quotas stay as they are. */
const LONGEST_CHUNK_RETRY_MS = 5_000;

export class Link {
  /** Messages and bytes by channel, since the link was made. */
  readonly traffic: { readonly in: ChannelTraffic; readonly out: ChannelTraffic } = { in: {}, out: {} };
  readonly #options: LinkOptions;
  readonly #reassembly: Reassembly;
  readonly #outbound: Outbound;
  readonly #waiting = new WaitingRoom();
  #state: LinkState = { phase: 'stopped' };
  #client: MqttClientLike | null = null;
  #connectionId = '';
  #lastReason = 'not started';
  /** Since the last connection: a broker that is away for days is not told at every dial. */
  readonly #toldReasons = new Set<string>();
  #cancelTimer: () => void = () => undefined;
  #cancelSweep: () => void = () => undefined;
  #stopping: Promise<void> | null = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#reassembly = new Reassembly(options.clock);
    this.#outbound = new Outbound({
      timers: options.timers,
      timeoutMs: options.publishTimeoutMs ?? 15_000,
      inFlightBytes: options.inFlightBytes,
      traffic: this.traffic.out,
      onHandOver: (topic, bytes) => options.onPayload?.(topic, bytes),
      onTimeout: (client) => this.#lost(client, 'the broker acknowledges nothing'),
    });
  }

  get online(): boolean {
    return this.#state.phase === 'online';
  }

  /** Of the connection now or last; empty before the first. */
  get connectionId(): string {
    return this.#connectionId;
  }

  /** Returns at once; the broker may be absent for as long as it likes. Aborting the signal stops the link. */
  start(signal?: AbortSignal): void {
    if (this.#state.phase !== 'stopped' || this.#stopping !== null || signal?.aborted) return;
    signal?.addEventListener('abort', () => void this.stop(), { once: true });
    this.#sweepLater();
    this.#handle({ type: 'start' });
  }

  /** Says goodbye where there is a connection; everything that waits is rejected. Idempotent, never rejects. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = null;
    });
    return this.#stopping;
  }

  /** Hangs up, and does not dial before `ms`. */
  hold(ms: number, reason: string): void {
    this.#lastReason = reason;
    this.#handle({ type: 'hold', ms });
  }

  /**
   * Resolves when the broker has acknowledged (QoS 1) or the message is written (QoS 0). An acknowledgement says that the broker
   * had it in memory; only the other end's receipt says that it is kept.
   * @throws TwinwatchError WIRE_OFFLINE (at once), WIRE_PUBLISH_TIMEOUT, WIRE_QUEUE_FULL, WIRE_PUBLISH_FAILED, all
   * retryable; WIRE_TOO_LARGE.
   */
  publish(topic: string, payload: Uint8Array | string, options: PublishOptions = {}): Promise<void> {
    const { priority = 'normal', qos, retain } = options;
    return this.#outbound.send(topic, payload, { lane: priority, qos, retain });
  }

  /**
   * Sends the chunks one after the other, waiting through times without connection; transfers under way share the link chunk by chunk.
   * @param options.indices only these chunks (the other end asked for them again); all where absent.
   * @throws TwinwatchError WIRE_STOPPED, WIRE_CHUNK_INVALID, or the signal's reason.
   */
  async sendTransfer(
    topic: string,
    bytes: Uint8Array,
    options: { readonly indices?: readonly number[] | undefined; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const transfer = split(bytes);
    const indices = options.indices ?? Array.from({ length: transfer.total }, (_, index) => index);
    for (const index of indices) await this.#sendChunk(topic, transfer.chunk(index), options.signal);
  }

  async #sendChunk(topic: string, chunk: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    for (let pauseMs = CHUNK_RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_CHUNK_RETRY_MS)) {
      signal?.throwIfAborted();
      await this.#untilOnline(signal);
      try {
        await this.#outbound.send(topic, chunk, { lane: 'chunk' });
        return;
      } catch (error) {
        if (!(error instanceof TwinwatchError && error.retryable)) throw error;
        await this.#options.timers.sleep('link chunk', pauseMs, signal);
      }
    }
  }

  /** Whether some of the transfer's chunks have come, and not all: those that stay away are asked for by `onMissing`. */
  isArriving(topic: string, transfer: string): boolean {
    return this.#reassembly.holds(topic, transfer);
  }

  #handle(event: LinkEvent): void {
    const { state, effects } = nextLinkState(this.#state, event, this.#options.backoff ?? DEFAULT_BACKOFF);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: LinkEffect): void {
    const { log, url, timers } = this.#options;
    switch (effect.type) {
      case 'dial':
        this.#dial();
        break;
      case 'subscribe':
        // What the broker kept for this session comes before it answers the subscriptions, and may ask for a reply.
        if (this.#client !== null) this.#outbound.attach(this.#client);
        this.#subscribe();
        break;
      case 'go-online':
        this.#toldReasons.clear();
        log.info({ url, connectionId: this.#connectionId }, 'connected to the broker');
        this.#callBack('onOnline', () => this.#options.onOnline?.(this.#connectionId));
        this.#waiting.release(null);
        break;
      case 'go-offline':
        this.#toldReasons.add(this.#lastReason);
        log.info(
          { url, reason: this.#lastReason },
          this.#stopping === null ? 'no connection to the broker' : 'disconnected from the broker',
        );
        this.#callBack('onOffline', () => this.#options.onOffline?.(this.#lastReason));
        break;
      case 'hang-up':
        this.#hangUp();
        break;
      case 'wait':
        // Lost while it says goodbye: a broker that stops together with its clients is not dialled again.
        if (this.#stopping !== null) break;
        this.#tellWait(effect.ms);
        this.#cancelTimer = timers.after('link retry', effect.ms, () => this.#handle({ type: 'retry' }));
        break;
    }
  }

  /** Once for each reason: who named a wrong URL, or was put out, reads why nothing comes. */
  #tellWait(waitMs: number): void {
    const { log, url } = this.#options;
    const reason = this.#lastReason;
    if (this.#toldReasons.has(reason)) {
      log.debug({ url, waitMs, reason }, 'dialling the broker again later');
      return;
    }
    this.#toldReasons.add(reason);
    log.warn({ url, reason }, 'no connection to the broker; it is dialled again until there is one');
  }

  #dial(): void {
    this.#connectionId = newConnectionId(this.#options.random);
    let client: MqttClientLike;
    try {
      client = this.#options.connect(connectOptions(this.#options, this.#connectionId));
    } catch (error) {
      this.#lastReason = error instanceof Error ? error.message : String(error);
      this.#toldReasons.add(this.#lastReason);
      this.#options.log.error(
        { url: this.#options.url, reason: this.#lastReason },
        'cannot dial the broker; check its URL',
      );
      this.#handle({ type: 'lost', atMs: this.#options.clock.monotonic(), random: this.#options.random() });
      return;
    }
    this.#client = client;
    client.on('connect', () => {
      // Else an alarm waits in the kernel until the other end has acknowledged the segment before it.
      (client as { stream?: { setNoDelay?: (on: boolean) => void } }).stream?.setNoDelay?.(true);
      if (this.#client === client) this.#handle({ type: 'connected' });
    });
    client.on('message', (topic, payload, packet) => {
      if (this.#client === client) this.#receive(topic, payload, packet.retain);
    });
    // Of a name with several addresses, Node's error has a code and no message.
    client.on('error', (error) => {
      const { code } = error as { readonly code?: string | number };
      // mqtt.js puts the broker's answer to a login there as a number, whatever else goes wrong as a word.
      this.#lost(client, error.message || String(code), typeof code === 'number');
    });
    client.on('close', () => this.#lost(client, 'connection closed'));
  }

  #subscribe(): void {
    const client = this.#client;
    if (client === null) return;
    const { timers, clock, log } = this.#options;
    const cancelDeadline = timers.after('link subscribe', CONNECT_TIMEOUT_MS, () =>
      this.#lost(client, 'the broker does not answer'),
    );
    this.#cancelTimer = cancelDeadline;
    const isCurrent = () => this.#client === client;
    subscribeAll(client, this.#options, isCurrent, (refusal) => {
      cancelDeadline();
      if (refusal === null) {
        this.#handle({ type: 'subscribed', atMs: clock.monotonic() });
        return;
      }
      const { refused, error } = refusal;
      log.error({ refused, error }, 'cannot subscribe; check the rights of this user at the broker');
      const isRefusal = refused.length > 0;
      this.#lost(client, isRefusal ? `the broker refuses ${refused.join(', ')}` : String(error), isRefusal);
    });
  }

  #receive(topic: string, payload: Buffer, retained: boolean): void {
    countMessage(this.traffic.in, topic, payload);
    this.#options.onPayload?.(topic, payload.length);
    const channel = parseTopic(topic)?.channel;
    this.#callBack(topic, () => {
      if (channel !== 'up' && channel !== 'down') {
        this.#options.onMessage(topic, payload, { retained });
        return;
      }
      const accepted = this.#reassembly.accept(topic, payload);
      if (accepted.outcome === 'complete') this.#options.onTransfer?.(topic, accepted.bytes, accepted.transfer);
      else if (accepted.outcome === 'partial') this.#options.onChunk?.(topic, accepted);
    });
  }

  /** Nothing that arrives may end the process. */
  #callBack(what: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      const code = error instanceof TwinwatchError ? error.code : undefined;
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log.warn({ what, code, reason }, 'refused');
    }
  }

  #lost(client: MqttClientLike, reason: string, isRefusal = false): void {
    if (this.#client !== client) return;
    this.#lastReason = reason;
    this.#handle({ type: 'lost', atMs: this.#options.clock.monotonic(), random: this.#options.random(), isRefusal });
  }

  #hangUp(): void {
    this.#cancelTimer();
    const client = this.#client;
    this.#client = null;
    client?.end(true, () => undefined);
    this.#outbound.detach(this.#lastReason);
  }

  #untilOnline(signal: AbortSignal | undefined): Promise<void> {
    if (this.#client !== null && this.online) return Promise.resolve();
    if (this.#state.phase === 'stopped' || this.#stopping !== null) return Promise.reject(stopped());
    return this.#waiting.wait(signal);
  }

  #sweepLater(): void {
    const { stalledMs = 3_000, timers, onMissing } = this.#options;
    this.#cancelSweep = timers.after('link sweep', stalledMs, () => {
      this.#reassembly.forgetIdle();
      const incomplete = this.online ? this.#reassembly.stalled(stalledMs) : [];
      for (const transfer of incomplete) this.#callBack('onMissing', () => onMissing?.(transfer));
      this.#sweepLater();
    });
  }

  async #stop(): Promise<void> {
    if (this.#state.phase === 'stopped') return;
    this.#cancelSweep();
    if (this.online && this.#client !== null) await this.#sayGoodbye(this.#client);
    this.#lastReason = 'stopped';
    this.#handle({ type: 'stop' });
    this.#waiting.release(stopped());
  }

  async #sayGoodbye(client: MqttClientLike): Promise<void> {
    const enough = new AbortController();
    const timeout = this.#options.timers.sleep('link stop', STOP_TIMEOUT_MS, enough.signal).catch(() => undefined);
    const farewell = this.#options.will?.(this.#connectionId);
    if (farewell !== undefined) {
      const published = this.publish(farewell.topic, farewell.payload, { priority: 'alarm' }).catch(() => undefined);
      await Promise.race([published, timeout]);
    }
    // A graceful end sends DISCONNECT, after which the broker keeps the will to itself. What it waits for may never come.
    this.#client = null;
    this.#outbound.detach('stopped');
    await Promise.race([new Promise<void>((resolve) => client.end(false, resolve)), timeout]);
    enough.abort();
    client.end(true, () => undefined);
  }
}

function stopped(): TwinwatchError {
  return new TwinwatchError('WIRE_STOPPED', 'the link was stopped before everything was sent');
}
