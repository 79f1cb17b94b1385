import type Database from 'libsql';

export const BLOB_TABLE =
  'CREATE TABLE IF NOT EXISTS blobs (hash TEXT PRIMARY KEY, data BLOB NOT NULL, used INTEGER NOT NULL);';

/** Models, parameters and rows from the server, by hash; those used last stay. Its caller holds the transaction that a change belongs to. */
export class BlobTable {
  readonly #database: Database.Database;
  readonly #maximumBytes: number;
  /** Read since one was put, the last one last: written down only when one may have to go, as it would wait for the disk. */
  readonly #read = new Set<string>();

  constructor(database: Database.Database, maximumBytes: number) {
    this.#database = database;
    this.#maximumBytes = maximumBytes;
  }

  put(hash: string, bytes: Uint8Array): void {
    this.#rememberReads();
    this.#database
      .prepare(
        'INSERT OR REPLACE INTO blobs (hash, data, used) VALUES (?, ?, (SELECT ifnull(max(used), 0) + 1 FROM blobs))',
      )
      .run(hash, Buffer.from(bytes));
    this.#evict();
  }

  get(hash: string): Uint8Array | null {
    const [found] = this.#database.prepare('SELECT data FROM blobs WHERE hash = ?').raw().all(hash) as [Buffer][];
    if (found === undefined) return null;
    this.#read.delete(hash);
    this.#read.add(hash);
    return new Uint8Array(found[0]);
  }

  #rememberReads(): void {
    const remember = this.#database.prepare('UPDATE blobs SET used = (SELECT max(used) + 1 FROM blobs) WHERE hash = ?');
    for (const hash of this.#read) remember.run(hash);
    this.#read.clear();
  }

  /** The one that was put stays, however large it is. */
  #evict(): void {
    const sizes = this.#database.prepare('SELECT hash, length(data) FROM blobs ORDER BY used DESC').raw().all() as [
      string,
      number,
    ][];
    let total = 0;
    for (const [i, [hash, bytes]] of sizes.entries()) {
      total += bytes;
      if (i > 0 && total > this.#maximumBytes) this.#database.prepare('DELETE FROM blobs WHERE hash = ?').run(hash);
    }
  }
}
