interface Sent {
  /** In the store. */
  readonly key: string;
  /** Null where the queue was full: it is sent, and not kept. */
  readonly bytes: number | null;
}

/**
 * QoS 1 messages that were sent to a session and are not acknowledged yet, by client and message id. Only in memory: after a restart they
 * are sent again under a new id, which QoS 1 allows, and it saves three writes and two reads for every message.
 */
export class InFlight {
  readonly #byClient = new Map<string, { readonly sent: Map<number, Sent>; readonly ids: Map<string, number> }>();

  add(client: string, messageId: number, message: Sent): void {
    let of = this.#byClient.get(client);
    if (of === undefined) {
      of = { sent: new Map(), ids: new Map() };
      this.#byClient.set(client, of);
    }
    const before = of.ids.get(message.key);
    if (before !== undefined) of.sent.delete(before);
    of.sent.set(messageId, message);
    of.ids.set(message.key, messageId);
  }

  /** Undefined where nothing is on its way under this id. */
  take(client: string, messageId: number): Sent | undefined {
    const of = this.#byClient.get(client);
    const message = of?.sent.get(messageId);
    if (of === undefined || message === undefined) return undefined;
    of.sent.delete(messageId);
    of.ids.delete(message.key);
    return message;
  }

  /** It is away: what it has not acknowledged is sent again when it comes back. */
  forget(client: string): void {
    this.#byClient.delete(client);
  }
}
