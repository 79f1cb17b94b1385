import type { Aedes, Client, PublishPacket } from 'aedes';
import type { SessionStore } from './session-store.js';

type Outcome = { readonly error: Error } | { readonly kept: Promise<void> | null };

/**
 * aedes acknowledges a QoS 1 message and stores it afterwards: what a sender drops on the acknowledgement would be lost with the process.
 * Here it is published first, and acknowledged once the message is in every queue and, where it is retained, in the store.
 * It is not waited for until subscribers have it: a slow one would hold up the sender.
 */
export class StoredFirst {
  readonly #aedes: Aedes;
  readonly #store: SessionStore;
  /** By client: messages are acknowledged in the order in which they came. */
  readonly #last = new WeakMap<Client, Promise<Outcome>>();
  /** By client: the last acknowledgement that waits for room on the disk. */
  readonly #late = new WeakMap<Client, Promise<void>>();

  constructor(aedes: Aedes, store: SessionStore) {
    this.#aedes = aedes;
    this.#store = store;
  }

  /**
   * Calls back with the error where the message could not be stored; the sender still has it, then. Otherwise with whether aedes is to
   * acknowledge it: it reads nothing more from the sender, not even a ping, until it has been called back, so on a full disk it goes on and
   * the acknowledgement follows later.
   */
  publish(client: Client, packet: PublishPacket, goOn: (error: Error | null, acknowledge: boolean) => void): void {
    const stored = this.#stored(packet);
    const before = this.#last.get(client);
    const inTurn = before === undefined ? stored : before.then(() => stored);
    this.#last.set(client, inTurn);
    void inTurn.then((outcome) => {
      if ('error' in outcome) {
        goOn(outcome.error, false);
        return;
      }
      const lateBefore = this.#late.get(client);
      if (outcome.kept === null && lateBefore === undefined) {
        goOn(null, true);
        return;
      }
      goOn(null, false);
      const late = Promise.all([lateBefore, outcome.kept]).then(() => {
        acknowledge(client, packet.messageId ?? 0);
        if (this.#late.get(client) === late) this.#late.delete(client);
      });
      this.#late.set(client, late);
    });
  }

  #stored(packet: PublishPacket): Promise<Outcome> {
    return new Promise((resolve) => {
      const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
      this.#store.onceEnqueued(payload, (kept) => resolve({ kept }));
      // Without an error it means that it was passed on, which says nothing about the store.
      this.#aedes.publish({ ...packet, payload }, (error) => {
        if (error) resolve({ error });
      });
    });
  }
}

/** PUBACK, MQTT 3.1.1, section 3.4. */
function acknowledge({ conn, connected }: Client, messageId: number): void {
  if (connected && !conn.destroyed) conn.write(Buffer.from([0x40, 2, messageId >> 8, messageId & 0xff]));
}
