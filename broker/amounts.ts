export interface Amount {
  readonly messages: number;
  readonly bytes: number;
}

const NOTHING: Amount = { messages: 0, bytes: 0 };

/** What is on disk for each client, and for all of them. */
export class Amounts {
  readonly #byClient = new Map<string, Amount>();
  #total = NOTHING;

  of(client: string): Amount {
    return this.#byClient.get(client) ?? NOTHING;
  }

  get total(): Amount {
    return this.#total;
  }

  /** Never less than nothing: what is left of a client may be forgotten before the last of it is said to be gone. */
  add(client: string, messages: number, bytes: number): void {
    const before = this.of(client);
    const after = sum(before, messages, bytes);
    const isLeft = after.messages > 0;
    if (isLeft) this.#byClient.set(client, after);
    else this.#byClient.delete(client);
    const { messages: more, bytes: moreBytes } = isLeft ? { messages, bytes } : negative(before);
    this.#total = sum(this.#total, more, moreBytes);
  }

  forget(client: string): void {
    const { messages, bytes } = this.of(client);
    this.add(client, -messages, -bytes);
  }
}

function sum(amount: Amount, messages: number, bytes: number): Amount {
  return { messages: amount.messages + messages, bytes: amount.bytes + bytes };
}

function negative({ messages, bytes }: Amount): Amount {
  return { messages: -messages, bytes: -bytes };
}
