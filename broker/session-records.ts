import type { SpillingLevel } from './spilling-level.js';

/** What is kept of a session beside what waits in it. Times are in ms that the broker has run, over all its starts. */
export interface SessionRecord {
  /** Whose it is: an agent's limit is its own. */
  readonly owner: string;
  readonly seenMs: number;
}

export interface KnownSessions {
  readonly records: ReadonlyMap<string, SessionRecord>;
  /** Ids of clients that have something in the store and no record. */
  readonly strays: ReadonlySet<string>;
  readonly ranMs: number;
}

const RECORD = 'session:';
const RAN_KEY = 'broker:ran-ms';
const STARTS_KEY = 'broker:starts';
/** What the package keeps of a client, by the beginnings of its keys. Its will is published or deleted when it leaves. */
export const OF_CLIENT = ['subscriptions:', 'outgoing:', 'outgoing-id:', 'incoming:'] as const;

/** In the store of what they are about, so that a power cut takes the one with the other. Nothing here rejects but reading. */
export class SessionRecords {
  readonly #db: SpillingLevel;

  constructor(db: SpillingLevel) {
    this.#db = db;
  }

  /** Counts this start. @returns a name for it that sorts behind those of all earlier ones, whatever the clock says: queued messages are in its order. */
  async nextStart(): Promise<string> {
    const starts = (await this.#number(STARTS_KEY)) + 1;
    await this.#db.put(STARTS_KEY, Buffer.from(String(starts)));
    return `start-${String(starts).padStart(10, '0')}`;
  }

  async read(): Promise<KnownSessions> {
    const records = new Map<string, SessionRecord>();
    for await (const key of this.#db.keys(keysUnder(RECORD))) {
      const value = await this.#db.get(key);
      if (value !== undefined) records.set(clientOf(key), JSON.parse(value.toString()));
    }
    const strays = new Set<string>();
    for (const prefix of OF_CLIENT)
      for await (const key of this.#db.keys(keysUnder(prefix)))
        if (!records.has(clientOf(key))) strays.add(clientOf(key));
    return { records, strays, ranMs: await this.#number(RAN_KEY) };
  }

  write(client: string, record: SessionRecord): Promise<void> {
    return this.#db.put(`${RECORD}${encodeURIComponent(client)}`, Buffer.from(JSON.stringify(record)));
  }

  delete(client: string): Promise<void> {
    return this.#db.del(`${RECORD}${encodeURIComponent(client)}`);
  }

  writeRanMs(ranMs: number): Promise<void> {
    return this.#db.put(RAN_KEY, Buffer.from(String(ranMs)));
  }

  async #number(key: string): Promise<number> {
    return Number((await this.#db.get(key))?.toString() ?? 0);
  }
}

/** @param prefix ends with a colon, behind which nothing but a semicolon comes next. */
export function keysUnder(prefix: string): { readonly gte: string; readonly lt: string } {
  return { gte: prefix, lt: `${prefix.slice(0, -1)};` };
}

/** Of a key of the package's, or of a record. */
export function clientOf(key: string): string {
  return decodeURIComponent(key.split(':')[1] ?? '');
}
