import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { BrokerLimits } from '@twinwatch/core/config/broker';
import type { Logger } from '@twinwatch/core/runtime';
import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js';
import { type Amount, Amounts } from './amounts.js';
import type { BrokerCounters } from './counters.js';
import { InFlight } from './in-flight.js';
import { clientOf, keysUnder, OF_CLIENT, SessionRecords } from './session-records.js';
import type { SpillingLevel } from './spilling-level.js';

export interface SessionStoreOptions {
  readonly db: SpillingLevel;
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly log: Logger;
}

interface Sized {
  readonly topic: string;
  readonly payload: Buffer | string;
}

/** With null where it is on disk, else with when it is, or when everybody it is queued for has taken it. */
type Enqueued = (kept: Promise<void> | null) => void;

/** What is not asked for soon is for somebody who is away. */
const REMEMBERED_OVER_FULL = 10_000;
/** What aedes ends a stream with whose reader has disconnected: no fault of the store, and what was not read stays. */
const READER_GONE = 'connection closed';
/** As the package has it, version 9. */
const keyOf = (client: string, { brokerId, brokerCounter = 0 }: Enqueue[1]) =>
  `outgoing:${encodeURIComponent(client)}:${brokerId}:${String(brokerCounter).padStart(16, '0')}`;
const sizeOf = ({ topic, payload }: Sized) => topic.length + payload.length;

type EnqueueCombi = Parameters<AsyncLevelPersistence['outgoingEnqueueCombi']>;
type Enqueue = Parameters<AsyncLevelPersistence['outgoingEnqueue']>;
type Clear = Parameters<AsyncLevelPersistence['outgoingClearMessageId']>;
type Retained = Parameters<AsyncLevelPersistence['storeRetained']>;

/** Sessions, queued and retained messages on disk, with bounds; what survives what is in docs/broker.md. */
export class SessionStore extends AsyncLevelPersistence {
  readonly #options: SessionStoreOptions;
  /** Topic → bytes of its retained message, topic included. */
  readonly #retained = new Map<string, number>();
  #retainedBytes = 0;
  readonly records: SessionRecords;
  readonly #queued = new Amounts();
  /** Of QoS 2, from clients: client id → message id → bytes. */
  readonly #incomingSizes = new Map<string, Map<number, number>>();
  readonly #incoming = new Amounts();
  readonly #inFlight = new InFlight();
  /** Keys of messages that were not queued, because the queue was full, and may be on their way to somebody who is connected. */
  readonly #overFull = new Set<string>();
  /** Messages that the disk did not take, by their keys. */
  readonly #inMemory = new Map<string, { readonly cleared: Promise<void>; readonly resolve: () => void }>();
  readonly #streams = new Set<Readable>();
  /** Client → its last change under way. */
  readonly #writes = new Map<string, Promise<void>>();
  /** Payload, as the very object → who waits until its message is in every queue: messages have no name of their own before they are stored. */
  readonly #enqueued = new WeakMap<Buffer, Enqueued>();
  /** Set by the broker: a subscribe packet is stored as a whole, refused filters included, unless they are taken out here. */
  mayStore: (client: { readonly id: string }, filter: string) => boolean = () => true;
  /** Set when it is known who has one: what is on its way through the store must not come to a session that has just been dropped. */
  hasSession: (client: string) => boolean = () => true;

  constructor(options: SessionStoreOptions) {
    super(options.db);
    this.#options = options;
    this.records = new SessionRecords(options.db);
  }

  /** Reads the whole store once. Rejects where it is damaged. */
  async survey(): Promise<void> {
    await this.countOffline();
    for await (const packet of super.createRetainedStream('#')) this.#countRetained(packet as Retained[0]);
    const clients = new Set<string>();
    for await (const key of this.#options.db.keys(keysUnder('outgoing:'))) clients.add(clientOf(key));
    for (const id of clients)
      for await (const packet of super.outgoingStream({ id })) this.#queued.add(id, 1, sizeOf(packet));
    for await (const key of this.#options.db.keys(keysUnder('incoming:'))) {
      const [client, messageId] = [clientOf(key), Number(key.split(':')[2])];
      this.#countIncoming(client, { ...(await super.incomingGetPacket({ id: client }, { messageId })), messageId });
    }
  }

  /** All of it. `hasSession` must say no before, and until it is done. */
  async dropSession(client: string): Promise<void> {
    const { db } = this.#options;
    await this.#inOrder(`client ${client}`, () => super.cleanSubscriptions({ id: client }));
    const encoded = encodeURIComponent(client);
    const mine = `outgoing:${encoded}:`;
    for (const [key, { resolve }] of this.#inMemory) {
      if (!key.startsWith(mine)) continue;
      resolve();
      this.#inMemory.delete(key);
    }
    await this.cleanIncoming({ id: client });
    for (const prefix of OF_CLIENT) await db.clear(keysUnder(`${prefix}${encoded}:`));
    this.#queued.forget(client);
    // Last: what is left after a crash is found by it.
    await this.records.delete(client);
  }

  queuedOf(client: string): Amount {
    return this.#queued.of(client);
  }

  get retained(): Amount {
    return { messages: this.#retained.size, bytes: this.#retainedBytes };
  }

  /** For all clients together. */
  get queued(): Amount {
    return this.#queued.total;
  }

  get incoming(): Amount {
    return this.#incoming.total;
  }

  override async storeRetained(packet: Retained[0]): Promise<void> {
    const { maximumRetained, maximumRetainedBytes } = this.#options.limits;
    const before = this.#retained.get(packet.topic);
    const bytes = this.#retainedBytes - (before ?? 0) + sizeOf(packet);
    const isNew = before === undefined;
    if (
      packet.payload.length > 0 &&
      (bytes > maximumRetainedBytes || (isNew && this.#retained.size >= maximumRetained))
    ) {
      this.#options.counters.refusedRetained++;
      return;
    }
    this.#countRetained(packet);
    await super.storeRetained(packet);
  }

  override async addSubscriptions(
    client: { readonly id: string },
    subscriptions: { topic: string; qos: number }[],
  ): Promise<void> {
    if (!this.hasSession(client.id)) return;
    const allowed = subscriptions.filter(({ topic }) => this.mayStore(client, topic));
    if (allowed.length > 0) await this.#inOrder(`client ${client.id}`, () => super.addSubscriptions(client, allowed));
  }

  override async outgoingEnqueue(subscription: Enqueue[0], packet: Enqueue[1]): Promise<void> {
    if (!this.hasSession(subscription.clientId)) return;
    if (!this.#hasRoom(subscription.clientId, sizeOf(packet))) {
      this.#options.counters.droppedForFullQueue++;
      this.#overFull.add(keyOf(subscription.clientId, packet));
      for (const oldest of this.#overFull) {
        if (this.#overFull.size <= REMEMBERED_OVER_FULL) break;
        this.#overFull.delete(oldest);
      }
      return;
    }
    this.#queued.add(subscription.clientId, 1, sizeOf(packet));
    await super.outgoingEnqueue(subscription, packet);
    if (!this.#options.db.inMemory) return;
    let resolve: () => void = () => undefined;
    const cleared = new Promise<void>((done) => {
      resolve = done;
    });
    this.#inMemory.set(keyOf(subscription.clientId, packet), { cleared, resolve });
  }

  /** Of QoS 2, until its sender has done with it, so that it is passed on once. Where there is no room it may be passed on twice; nothing is lost. */
  override async incomingStorePacket(client: { readonly id: string }, packet: Enqueue[1]): Promise<void> {
    if (!this.#hasRoom(client.id, sizeOf(packet))) return;
    this.#countIncoming(client.id, packet);
    await super.incomingStorePacket(client, packet);
  }

  override async incomingDelPacket(client: { readonly id: string }, packet: Clear[1]): Promise<void> {
    const sizes = this.#incomingSizes.get(client.id);
    const bytes = sizes?.get(packet.messageId ?? 0);
    if (sizes !== undefined && bytes !== undefined) {
      this.#incoming.add(client.id, -1, -bytes);
      sizes.delete(packet.messageId ?? 0);
    }
    await super.incomingDelPacket(client, packet);
  }

  override async cleanIncoming(client: { readonly id: string }): Promise<void> {
    this.#incomingSizes.delete(client.id);
    this.#incoming.forget(client.id);
    await super.cleanIncoming(client);
  }

  /** aedes calls this for every message of QoS 1 and 2, with nobody to queue it for, too, and after it is stored where it is retained. */
  override async outgoingEnqueueCombi(
    subscriptions: EnqueueCombi[0],
    packet: EnqueueCombi[1],
  ): ReturnType<AsyncLevelPersistence['outgoingEnqueueCombi']> {
    const result = await super.outgoingEnqueueCombi(subscriptions, packet);
    const callback = Buffer.isBuffer(packet.payload) ? this.#enqueued.get(packet.payload) : undefined;
    // Those who are connected get it at once; its sender may forget it only when it is on disk, or nobody's any more.
    const isInMemory = this.#options.db.inMemory && (subscriptions.length > 0 || packet.retain);
    callback?.(isInMemory ? this.#kept(subscriptions, packet) : null);
    return result;
  }

  /** Resolves when all that waits in memory for room on the disk is there. */
  onDisk(): Promise<void> {
    return this.#options.db.onDisk();
  }

  /** Whether so much waits for room on the disk that no more can. */
  get isOverloaded(): boolean {
    return this.#options.db.isOverloaded;
  }

  /** What waits for room on the disk; null where the disk takes everything. */
  get bytesInMemory(): number | null {
    return this.#options.db.inMemory ? this.#options.db.memoryBytes : null;
  }

  onceEnqueued(payload: Buffer, callback: Enqueued): void {
    this.#enqueued.set(payload, callback);
  }

  override async outgoingUpdate(client: { readonly id: string }, packet: Enqueue[1]): Promise<void> {
    if (packet.qos !== 1 || packet.brokerId === undefined || packet.messageId === undefined) {
      await this.#inOrder(`client ${client.id}`, () => super.outgoingUpdate(client, packet));
      return;
    }
    const bytes = this.#overFull.delete(keyOf(client.id, packet)) ? null : sizeOf(packet);
    this.#inFlight.add(client.id, packet.messageId, { key: keyOf(client.id, packet), bytes });
  }

  override async outgoingClearMessageId(
    client: Clear[0],
    packet: Clear[1],
  ): ReturnType<AsyncLevelPersistence['outgoingClearMessageId']> {
    const sent = this.#inFlight.take(client.id, packet.messageId ?? 0);
    if (sent === undefined) {
      const cleared = await this.#inOrder(`client ${client.id}`, () => super.outgoingClearMessageId(client, packet));
      if (cleared !== undefined) this.#gone(client.id, keyOf(client.id, cleared), sizeOf(cleared));
      return cleared;
    }
    if (sent.bytes !== null) {
      this.#options.db.delSoon(sent.key);
      this.#gone(client.id, sent.key, sent.bytes);
    }
    return packet;
  }

  /** To be called when a client is no longer connected. */
  forgetInFlight(client: string): void {
    this.#inFlight.forget(client);
  }

  override createRetainedStreamCombi(patterns: string[]): Readable {
    return this.#watch(super.createRetainedStreamCombi(patterns));
  }

  override outgoingStream(client: { readonly id: string }): Readable {
    return this.#watch(super.outgoingStream(client));
  }

  /** Its caller does not handle a failure, which would end the process. */
  override async delWill(client: { readonly id: string }): ReturnType<AsyncLevelPersistence['delWill']> {
    try {
      return await this.#inOrder(`client ${client.id}`, () => super.delWill(client));
    } catch (error) {
      this.#failed('delete a will', error);
      return undefined;
    }
  }

  /** Closing the database under a stream that is still read would end the process: streams first. */
  async close(): Promise<void> {
    const closed = [...this.#streams].map((stream) => once(stream, 'close'));
    for (const stream of this.#streams) stream.destroy();
    await Promise.allSettled(closed);
    await Promise.all(this.#writes.values());
    const lost = await this.#options.db.close();
    if (lost > 0)
      this.#options.log.error(
        { entries: lost },
        'the disk has no room for what waited; its senders were not told that it was kept',
      );
  }

  async #kept(subscriptions: EnqueueCombi[0], packet: EnqueueCombi[1]): Promise<void> {
    const onDisk = this.#options.db.onDisk().then(() => this.#inMemory.clear());
    if (packet.retain) return onDisk;
    const taken = subscriptions.map(({ clientId }) => this.#inMemory.get(keyOf(clientId, packet))?.cleared);
    await Promise.race([onDisk, Promise.all(taken)]);
  }

  #gone(client: string, key: string, bytes: number): void {
    this.#queued.add(client, -1, -bytes);
    this.#inMemory.get(key)?.resolve();
    this.#inMemory.delete(key);
  }

  #hasRoom(client: string, size: number): boolean {
    const { maximumQueuedPerClient, maximumQueuedBytesPerClient, maximumQueuedBytes, maximumSessions } =
      this.#options.limits;
    const { messages, bytes: queued } = this.#queued.of(client);
    const bytes = queued + this.#incoming.of(client).bytes;
    if (messages >= maximumQueuedPerClient || bytes + size > maximumQueuedBytesPerClient) return false;
    const half = maximumQueuedBytes / 2;
    return (
      bytes + size <= half / maximumSessions || this.#queued.total.bytes + this.#incoming.total.bytes + size <= half
    );
  }

  #countIncoming(client: string, packet: Sized & { readonly messageId?: number }): void {
    const sizes = this.#incomingSizes.get(client) ?? new Map<number, number>();
    this.#incomingSizes.set(client, sizes);
    const id = packet.messageId ?? 0;
    const before = sizes.get(id);
    sizes.set(id, sizeOf(packet));
    this.#incoming.add(client, before === undefined ? 1 : 0, sizeOf(packet) - (before ?? 0));
  }

  #countRetained(packet: Sized): void {
    this.#retainedBytes -= this.#retained.get(packet.topic) ?? 0;
    if (packet.payload.length === 0) this.#retained.delete(packet.topic);
    else {
      this.#retained.set(packet.topic, sizeOf(packet));
      this.#retainedBytes += sizeOf(packet);
    }
  }

  #watch(stream: Readable): Readable {
    this.#streams.add(stream);
    stream.on('error', (error) => {
      if (error.message !== READER_GONE) this.#failed('read messages', error);
    });
    stream.once('close', () => this.#streams.delete(stream));
    return stream;
  }

  /** For changes that read first: two of them at once would undo each other. */
  #inOrder<T>(key: string, write: () => Promise<T>): Promise<T> {
    const result = (this.#writes.get(key) ?? Promise.resolve()).then(write);
    const settled: Promise<void> = result.then(
      () => this.#settled(key, settled),
      () => this.#settled(key, settled),
    );
    this.#writes.set(key, settled);
    return result;
  }

  #settled(key: string, settled: Promise<void>): void {
    if (this.#writes.get(key) === settled) this.#writes.delete(key);
  }

  #failed(what: string, error: unknown): void {
    this.#options.counters.storeErrors++;
    this.#options.log.error({ error: String(error) }, `cannot ${what} in the session store`);
  }
}
