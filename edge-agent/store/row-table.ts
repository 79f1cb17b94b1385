import type Database from 'libsql';
import type { DatabaseFile } from './database-file.js';

/**
 * What a row says about itself. UNKNOWN is a label that says that nobody knows (−999 in BATADAL's files); UNLABELLED is
 * the absence of a label, which a history of normal operation has.
 */
export type RowLabel = -1 | 0 | 1 | 2;
export const UNLABELLED = -1;
export const NORMAL = 0;
export const ANOMALOUS = 1;
export const UNKNOWN = 2;

/** Rows by source time. Each row names the tag list it was stored under, so that a changed configuration leaves old rows readable. */

export interface RowWrite {
  readonly op: 'row';
  readonly timeMs: number;
  readonly sequence: number | null;
  readonly tags: readonly string[];
  /** [tags]. */
  readonly values: Float64Array;
  /** From a label tag; UNLABELLED where there is none. */
  readonly label: RowLabel;
  /** The detector's, 0 … 1; null where there was none, or it abstained. */
  readonly score: number | null;
  /** JSON of the AlarmState after this row; null while there is no detector. */
  readonly alarmState: string | null;
}

export interface ImportedRows {
  readonly tags: readonly string[];
  readonly timesMs: Float64Array;
  /** [rows × tags], NaN where there was no value. */
  readonly values: Float64Array;
  /** [rows] RowLabel. */
  readonly labels: Int8Array;
}

/** Oldest first. */
export interface StoredRows {
  readonly count: number;
  readonly timesMs: Float64Array;
  /** [count × tags] in the order that was asked for; NaN for a tag that a row does not have. */
  readonly values: Float64Array;
  /** [count] RowLabel. */
  readonly labels: Int8Array;
  /** [count] as scored when the row came; NaN where it was not. */
  readonly scores: Float64Array;
  /** 1 for rows that came from a history file. */
  readonly imported: Uint8Array;
}

export interface RowLimits {
  readonly maximumRows: number;
  readonly maximumBytes: number;
  readonly maximumAgeMs?: number;
}

const TABLES = `
  CREATE TABLE IF NOT EXISTS tag_lists (id INTEGER PRIMARY KEY, tags TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS rows (time_ms INTEGER PRIMARY KEY, sequence INTEGER, tag_list INTEGER NOT NULL, label INTEGER NOT NULL,
    imported INTEGER NOT NULL, score REAL, vals BLOB NOT NULL);
  CREATE TABLE IF NOT EXISTS row_state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;`;

/** How often the size of the file is looked at, in rows. */
const SIZE_CHECK_ROWS = 1_000;

/** A full disk costs old rows, not all of them. */
const LEAST_ROWS = 1_000;
/** What is deleted, and given back, between two emptyings of the journal: it needs little room. */
const EVICTED_AT_ONCE = 100;
const VACUUMED_PAGES = 32;

export function rowTables(path: string): DatabaseFile {
  return { path, synchronous: 'NORMAL', schemaVersion: 1, tables: TABLES, migrations: {} };
}

export class RowTable {
  readonly #database: Database.Database;
  readonly #limits: RowLimits;
  readonly #tagLists = new Map<string, number>();
  readonly #insert: Database.Statement;
  readonly #relabel: Database.Statement;
  #sinceSizeCheck = 0;
  #ageCheckedMs = Number.NEGATIVE_INFINITY;
  count: number;
  evicted = 0;

  constructor(database: Database.Database, limits: RowLimits) {
    this.#database = database;
    this.#limits = limits;
    this.count = this.#number('SELECT count(*) FROM rows');
    // A row that is there already stays: the same answer twice, or a history file imported again.
    this.#insert = database.prepare(
      'INSERT OR IGNORE INTO rows (time_ms, sequence, tag_list, label, imported, score, vals) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    // Only its label may come later: somebody imported it before saying which column that is.
    this.#relabel = database.prepare(
      `UPDATE rows SET label = ? WHERE time_ms = ? AND imported = 1 AND label = ${UNLABELLED}`,
    );
  }

  append(writes: readonly RowWrite[]): void {
    this.#transaction(() => {
      for (const { timeMs, sequence, tags, values, label, score } of writes)
        this.#put(timeMs, sequence, tags, values, label, 0, score);
      const { timeMs, sequence, alarmState } = writes.at(-1)!;
      const keep = this.#database.prepare('INSERT OR REPLACE INTO row_state (key, value) VALUES (?, ?)');
      if (alarmState !== null) keep.run('alarm', alarmState);
      keep.run('last', JSON.stringify({ timeMs, sequence }));
    });
    this.#evictAged(writes.at(-1)!.timeMs);
    this.#evict();
  }

  /** @returns how many were new. */
  importRows(rows: ImportedRows): number {
    const before = this.count;
    const width = rows.tags.length;
    this.#transaction(() => {
      for (const [i, timeMs] of rows.timesMs.entries()) {
        const label = (rows.labels[i] ?? UNLABELLED) as RowLabel;
        const values = rows.values.subarray(i * width, (i + 1) * width);
        if (!this.#put(timeMs, null, rows.tags, values, label, 1, null)) this.#relabel.run(label, timeMs);
      }
    });
    const added = this.count - before;
    this.#evict();
    return added;
  }

  /** The newest `limit` rows. With no tags asked for, only times, labels and origin are read. */
  rows(tags: readonly string[], limit: number): StoredRows {
    const columns = `time_ms, label, imported, score, tag_list${tags.length > 0 ? ', vals' : ''}`;
    const found = this.#database
      .prepare(`SELECT ${columns} FROM rows ORDER BY time_ms DESC LIMIT ?`)
      .raw()
      .all(limit) as [number, number, number, number | null, number, Buffer?][];
    const count = found.length;
    const stored: StoredRows = {
      count,
      timesMs: new Float64Array(count),
      values: new Float64Array(count * tags.length).fill(Number.NaN),
      labels: new Int8Array(count),
      scores: new Float64Array(count),
      imported: new Uint8Array(count),
    };
    const places = tags.length > 0 ? this.#places(tags) : new Map<number, Int32Array>();
    for (const [back, [timeMs, label, imported, score, tagList, bytes]] of found.entries()) {
      const i = count - 1 - back;
      stored.timesMs[i] = timeMs;
      stored.labels[i] = label;
      stored.imported[i] = imported;
      stored.scores[i] = score ?? Number.NaN;
      if (bytes === undefined) continue;
      const place = places.get(tagList) ?? [];
      for (let t = 0; t < tags.length; t++) {
        const at = place[t] ?? -1;
        if (at >= 0) stored.values[i * tags.length + t] = bytes.readDoubleLE(at * 8);
      }
    }
    return stored;
  }

  /** Rows from one source time to another, both included. */
  countBetween(fromMs: number, toMs: number): number {
    return this.#number('SELECT count(*) FROM rows WHERE time_ms BETWEEN ? AND ?', fromMs, toMs);
  }

  /** The row acquired last, which is not the newest where a clock fell back. */
  lastRow(): { readonly timeMs: number; readonly sequence: number | null } | null {
    const kept = this.#state('last');
    if (kept !== null) return JSON.parse(kept) as { timeMs: number; sequence: number | null };
    const [row] = this.#database
      .prepare('SELECT time_ms, sequence FROM rows WHERE imported = 0 ORDER BY time_ms DESC LIMIT 1')
      .raw()
      .all() as [number, number | null][];
    return row === undefined ? null : { timeMs: row[0], sequence: row[1] };
  }

  /** Tags of the newest row, none before the first. */
  lastTags(): string[] {
    const [row] = this.#database
      .prepare('SELECT tags FROM tag_lists JOIN rows ON tag_lists.id = rows.tag_list ORDER BY time_ms DESC LIMIT 1')
      .raw()
      .all() as [string][];
    return row === undefined ? [] : (JSON.parse(row[0]) as string[]);
  }

  alarmState(): string | null {
    return this.#state('alarm');
  }

  /**
   * Makes room on a full disk: some of the oldest rows go, in small steps, and what they took is given back to the file system.
   * @returns how many went; none where few are left.
   */
  evictSome(): number {
    const oldest = Math.min(this.count - LEAST_ROWS, Math.max(100, Math.ceil(this.count * 0.02)));
    if (oldest <= 0) return 0;
    for (let left = oldest; left > 0; left -= EVICTED_AT_ONCE) {
      this.#delete(Math.min(left, EVICTED_AT_ONCE));
      this.checkpoint();
    }
    for (let free = this.#number('PRAGMA freelist_count'); free > 0; ) {
      this.#database.exec(`PRAGMA incremental_vacuum(${VACUUMED_PAGES})`);
      this.checkpoint();
      const left = this.#number('PRAGMA freelist_count');
      if (left >= free) break;
      free = left;
    }
    return oldest;
  }

  /** What the journal holds goes into the file, and the journal is emptied. */
  checkpoint(): void {
    this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').raw().all();
  }

  close(): void {
    this.#database.close();
  }

  #put(
    timeMs: number,
    sequence: number | null,
    tags: readonly string[],
    values: Float64Array,
    label: RowLabel,
    imported: 0 | 1,
    score: number | null,
  ): boolean {
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const { changes } = this.#insert.run(timeMs, sequence, this.#tagList(tags), label, imported, score, bytes);
    this.count += changes;
    this.#sinceSizeCheck += changes;
    return changes > 0;
  }

  #tagList(tags: readonly string[]): number {
    const text = JSON.stringify(tags);
    const known = this.#tagLists.get(text);
    if (known !== undefined) return known;
    this.#database.prepare('INSERT OR IGNORE INTO tag_lists (tags) VALUES (?)').run(text);
    const id = this.#number('SELECT id FROM tag_lists WHERE tags = ?', text);
    this.#tagLists.set(text, id);
    return id;
  }

  /** Tag list → for each tag asked for, its index in that list, or −1. */
  #places(tags: readonly string[]): Map<number, Int32Array> {
    const lists = this.#database.prepare('SELECT id, tags FROM tag_lists').raw().all() as [number, string][];
    return new Map(
      lists.map(([id, text]) => {
        const index = new Map((JSON.parse(text) as string[]).map((tag, i) => [tag, i]));
        return [id, Int32Array.from(tags, (tag) => index.get(tag) ?? -1)];
      }),
    );
  }

  #evict(): void {
    const { maximumRows, maximumBytes } = this.#limits;
    // Some more than needed, so that a full table is not trimmed after every row.
    if (this.count > maximumRows) this.#delete(this.count - maximumRows + Math.floor(maximumRows / 100));
    if (this.#sinceSizeCheck < SIZE_CHECK_ROWS) return;
    this.#sinceSizeCheck = 0;
    const pages = this.#number('PRAGMA page_count') - this.#number('PRAGMA freelist_count');
    const used = pages * this.#number('PRAGMA page_size');
    if (used > maximumBytes) this.#delete(Math.ceil(this.count * Math.min(0.5, 0.05 + 1 - maximumBytes / used)));
  }

  /** Not after every row, but often enough that no row stays for more than a hundredth too long. */
  #evictAged(newestMs: number): void {
    const { maximumAgeMs } = this.#limits;
    if (maximumAgeMs === undefined || newestMs - this.#ageCheckedMs < maximumAgeMs / 100) return;
    this.#ageCheckedMs = newestMs;
    const { changes } = this.#database
      .prepare('DELETE FROM rows WHERE time_ms < ? AND imported = 0')
      .run(newestMs - maximumAgeMs);
    this.count -= changes;
    this.evicted += changes;
  }

  #delete(oldest: number): void {
    const { changes } = this.#database
      .prepare('DELETE FROM rows WHERE time_ms IN (SELECT time_ms FROM rows ORDER BY time_ms LIMIT ?)')
      .run(oldest);
    this.count -= changes;
    this.evicted += changes;
  }

  #transaction(work: () => void): void {
    const before = this.count;
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
      this.count = before;
      this.#tagLists.clear();
      throw error;
    }
  }

  #state(key: string): string | null {
    const [row] = this.#database.prepare('SELECT value FROM row_state WHERE key = ?').raw().all(key) as [string][];
    return row?.[0] ?? null;
  }

  #number(sql: string, ...values: unknown[]): number {
    const [row] = this.#database
      .prepare(sql)
      .raw()
      .all(...values) as [number][];
    return row?.[0] ?? 0;
  }
}
