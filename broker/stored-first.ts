import type { Aedes, PublishPacket } from 'aedes';
import type { SessionStore } from './session-store.js';

/**
 * aedes acknowledges a QoS 1 message and stores it afterwards: what a sender drops on the acknowledgement would be lost with the process.
 * Here it is published first, and aedes goes on to acknowledge once the message is in every queue and, where it is retained, in the store.
 * It is not waited for until subscribers have it: a slow one would hold up the sender.
 */
export class StoredFirst {
  readonly #aedes: Aedes;
  readonly #store: SessionStore;
  /** By client: messages are acknowledged in the order in which they came. */
  readonly #last = new WeakMap<object, Promise<Error | null>>();

  constructor(aedes: Aedes, store: SessionStore) {
    this.#aedes = aedes;
    this.#store = store;
  }

  /** Calls back with the error where the message could not be stored; the sender still has it, then. */
  publish(client: object, packet: PublishPacket, done: (error: Error | null) => void): void {
    const before = this.#last.get(client);
    const stored = this.#stored(packet);
    const inTurn = before === undefined ? stored : before.then(() => stored);
    this.#last.set(client, inTurn);
    void inTurn.then(done);
  }

  #stored(packet: PublishPacket): Promise<Error | null> {
    return new Promise((resolve) => {
      const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
      this.#store.onceEnqueued(payload, () => resolve(null));
      this.#aedes.publish({ ...packet, payload }, (error) => resolve(error ?? null));
    });
  }
}
