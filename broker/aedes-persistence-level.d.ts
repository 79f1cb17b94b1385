declare module 'aedes-persistence-level/asyncPersistence.js' {
  import type { Readable } from 'node:stream';

  interface StoredPacket {
    readonly topic: string;
    readonly payload: Buffer | string;
    readonly qos: number;
    readonly retain: boolean;
    readonly messageId?: number;
    readonly brokerId?: string;
    readonly brokerCounter?: number;
  }

  /** The part of the store that is overridden or called here; the package has no types of its own. */
  export default class AsyncLevelPersistence {
    /** The part of a LevelDB that it calls: get, put, del, batch, clear, values. */
    constructor(db: object);
    storeRetained(packet: StoredPacket): Promise<void>;
    createRetainedStream(pattern: string): Readable;
    createRetainedStreamCombi(patterns: string[]): Readable;
    addSubscriptions(client: { readonly id: string }, subscriptions: { topic: string; qos: number }[]): Promise<void>;
    cleanSubscriptions(client: { readonly id: string }): Promise<void>;
    countOffline(): Promise<{ readonly subsCount: number; readonly clientsCount: number }>;
    outgoingEnqueue(subscription: { readonly clientId: string }, packet: StoredPacket): Promise<void>;
    outgoingEnqueueCombi(subscriptions: { readonly clientId: string }[], packet: StoredPacket): Promise<unknown>;
    outgoingUpdate(client: { readonly id: string }, packet: StoredPacket): Promise<void>;
    outgoingClearMessageId(client: { readonly id: string }, packet: StoredPacket): Promise<StoredPacket | undefined>;
    outgoingStream(client: { readonly id: string }): Readable;
    incomingStorePacket(client: { readonly id: string }, packet: StoredPacket): Promise<void>;
    incomingGetPacket(client: { readonly id: string }, packet: { readonly messageId?: number }): Promise<StoredPacket>;
    incomingDelPacket(client: { readonly id: string }, packet: { readonly messageId?: number }): Promise<void>;
    cleanIncoming(client: { readonly id: string }): Promise<void>;
    delWill(client: { readonly id: string }): Promise<StoredPacket | undefined>;
  }
}
