import { join } from 'node:path';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AlarmCommand, CommandReceipt, LabelCommand } from '@twinwatch/core/wire/commands';
import type Database from 'libsql';
import { BLOB_TABLE, BlobTable } from './blob-table.js';
import { type DatabaseFile, isDamage, isFull, moveAside, openDatabase } from './database-file.js';
import { commandReceipt, DECISION_TABLES, decide, keepReceipt } from './decisions.js';
import { DiskRoom } from './disk-room.js';
import { OUTBOX_TABLE, OutboxTable } from './outbox-table.js';
import { RowTable, type RowWrite, rowTables } from './row-table.js';

/**
 * Everything an agent keeps, in two files of one directory. `rows.db` (synchronous NORMAL): rows, and the alarm state as of the last of them;
 * a power cut may cost its last moments. `agent.db` (synchronous FULL): alarms, outbox, labels, blobs and state; what is committed there
 * survives a power cut, and it is not lost with a damaged rows.db. Synchronous: lives in the store's worker.
 */

export interface StoreOptions {
  readonly directory: string;
  readonly maximumRows: number;
  /** Acquired rows older than this, against the newest, go. Imported ones do not. */
  readonly maximumAgeMs?: number;
  /** Of rows.db. */
  readonly maximumBytes: number;
  readonly maximumOutboxEvents: number;
  readonly maximumBlobBytes: number;
}

export interface LabelRange {
  readonly fromMs: number;
  /** Inclusive. */
  readonly toMs: number;
  readonly label: 'normal' | 'anomalous';
  readonly decided: { readonly by: string; readonly atMs: number };
}

export interface StoredAlarm {
  readonly alarmId: string;
  readonly raisedMs: number;
  /** Null while it lasts. */
  readonly clearedMs: number | null;
  readonly verdict: 'confirmed' | 'dismissed' | null;
  /** Who decided so, and when by the server's clock; null where nobody did. */
  readonly decided: { readonly by: string; readonly atMs: number } | null;
}

type AgentWrite =
  /** One transition: into the outbox and the list of alarms, with the alarm state after it, in one transaction. */
  | { readonly op: 'alarm'; readonly event: AlarmEvent; readonly alarmState: string }
  /** The other end has journalled these: forget them. */
  | { readonly op: 'received'; readonly eventIds: readonly string[] }
  | { readonly op: 'state'; readonly key: string; readonly value: Uint8Array | string | null };

export type StoreWrite = RowWrite | AgentWrite;

export interface StoreStats {
  readonly rows: number;
  readonly outboxEvents: number;
  /** Damaged files moved aside since the start. */
  readonly damagedFiles: number;
  readonly evictedRows: number;
  /** Alarm events given up by a full outbox, ever. */
  readonly evictedEvents: number;
  /** Room is short: old rows have been given up for new ones, or soon will be. */
  readonly isDiskTight: boolean;
}

const TABLES = `
  CREATE TABLE IF NOT EXISTS alarms (alarm_id TEXT PRIMARY KEY, raised_ms REAL NOT NULL, cleared_ms REAL, verdict TEXT,
    decided_by TEXT, decided_ms REAL) WITHOUT ROWID;
  ${OUTBOX_TABLE}
  ${BLOB_TABLE}
  CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
  ${DECISION_TABLES}`;

/** Before version 2 nothing could write a label. */
const MIGRATIONS = {
  1: `ALTER TABLE alarms ADD COLUMN decided_by TEXT; ALTER TABLE alarms ADD COLUMN decided_ms REAL; DROP TABLE labels;`,
};

/** Rounds of giving up old rows, each about 2 % of them, for one write that found the disk full. */
const EVICTION_ROUNDS = 10;

export class AgentDatabase {
  readonly #options: StoreOptions;
  readonly #stamp: () => string;
  readonly #told: (message: string) => void;
  readonly #room: DiskRoom;
  #rows: RowTable;
  #database: Database.Database;
  #damaged = 0;
  #outbox: OutboxTable;
  #blobs: BlobTable;

  /** @param stamp names a file that is moved aside. @param told is called with what an operator should know. */
  static open(options: StoreOptions, stamp: () => string, told: (message: string) => void): AgentDatabase {
    const room = new DiskRoom(options.directory);
    try {
      return new AgentDatabase(options, room, stamp, told);
    } catch (error) {
      if (!isFull((error as Error).cause)) throw error;
      room.release();
      return new AgentDatabase(options, room, stamp, told);
    }
  }

  private constructor(options: StoreOptions, room: DiskRoom, stamp: () => string, told: (message: string) => void) {
    this.#options = options;
    this.#room = room;
    this.#stamp = stamp;
    this.#told = told;
    this.#database = this.#open(this.#agentFile());
    this.#outbox = new OutboxTable(this.#database, options.maximumOutboxEvents);
    this.#blobs = new BlobTable(this.#database, options.maximumBlobBytes);
    this.#rows = new RowTable(this.#open(rowTables(this.#path('rows.db'))), options);
    this.#outbox.recount();
    room.restore();
  }

  /** In order, rows in one transaction and the rest in another. A file found damaged is replaced, and the writes done again. */
  apply(writes: readonly StoreWrite[]): void {
    const rows = writes.filter((write): write is RowWrite => write.op === 'row');
    const others = writes.filter((write): write is AgentWrite => write.op !== 'row');
    // Alarms first: a row that is stored has been judged, so its alarm must be there.
    if (others.length > 0)
      this.#repairing('agent', () =>
        this.#transaction(() => {
          for (const write of others) this.#write(write);
        }),
      );
    if (rows.length > 0) this.#repairing('rows', () => this.#rows.append(rows));
    if (!this.#room.isTight) this.#room.restore();
  }

  alarms(): StoredAlarm[] {
    const found = this.#database
      .prepare('SELECT alarm_id, raised_ms, cleared_ms, verdict, decided_by, decided_ms FROM alarms ORDER BY raised_ms')
      .raw();
    return (found.all() as [string, number, number | null, StoredAlarm['verdict'], string | null, number | null][]).map(
      ([alarmId, raisedMs, clearedMs, verdict, by, atMs]) => ({
        ...{ alarmId, raisedMs, clearedMs, verdict },
        decided: by === null || atMs === null ? null : { by, atMs },
      }),
    );
  }

  /** In the order they were decided: later ones overrule earlier ones. */
  labels(): LabelRange[] {
    const found = this.#database
      .prepare('SELECT from_ms, to_ms, label, decided_by, decided_ms FROM labels ORDER BY decided_ms, position')
      .raw()
      .all();
    return (found as [number, number, LabelRange['label'], string, number][]).map(
      ([fromMs, toMs, label, by, atMs]) => ({ fromMs, toMs, label, decided: { by, atMs } }),
    );
  }

  /** A verdict on an alarm, or a labelled range, with its receipt. The same command again changes nothing. */
  decide(command: AlarmCommand | LabelCommand): CommandReceipt {
    return this.#deciding(() => decide(this.#database, this.#rows, command));
  }

  /** Of a command that was done elsewhere. */
  keepReceipt(command: AlarmCommand, receipt: CommandReceipt): void {
    this.#deciding(() => keepReceipt(this.#database, command, receipt));
  }

  /** What a command was answered when it came first; null for one that has not come. */
  commandReceipt(commandId: string): CommandReceipt | null {
    return commandReceipt(this.#database, commandId);
  }

  state(key: string): Uint8Array | null {
    const [found] = this.#database.prepare('SELECT value FROM state WHERE key = ?').raw().all(key) as [
      Buffer | string,
    ][];
    return found === undefined ? null : Buffer.from(found[0]);
  }

  /** Of the newest judged row, whichever file knows it: JSON of an AlarmState, null before the first. */
  alarmState(): string | null {
    const kept = [this.state('alarm'), this.#rows.alarmState()].filter((text) => text !== null).map(String);
    const judgedMs = (text: string) => Number((JSON.parse(text) as { rowTimeMs: number | null }).rowTimeMs ?? 0);
    const transitions = (text: string) => {
      const { alarmNumber, transitionNumber } = JSON.parse(text) as { alarmNumber: number; transitionNumber: number };
      return alarmNumber * 1e6 + transitionNumber;
    };
    return kept.sort((a, b) => transitions(b) - transitions(a) || judgedMs(b) - judgedMs(a))[0] ?? null;
  }

  putBlob(hash: string, bytes: Uint8Array): void {
    this.#deciding(() => this.#blobs.put(hash, bytes));
  }

  blob: BlobTable['get'] = (hash) => this.#blobs.get(hash);

  /** The oldest events that wait for their receipt. */
  outbox: OutboxTable['oldest'] = (limit) => this.#outbox.oldest(limit);
  eventsOf: OutboxTable['ofAlarm'] = (alarmId) => this.#outbox.ofAlarm(alarmId);
  lastingEvents: OutboxTable['lasting'] = (limit) => this.#outbox.lasting(limit);

  importRows: RowTable['importRows'] = (...request) => this.#repairing('rows', () => this.#rows.importRows(...request));
  rows: RowTable['rows'] = (...request) => this.#rows.rows(...request);
  lastRow: RowTable['lastRow'] = () => this.#rows.lastRow();
  lastTags: RowTable['lastTags'] = () => this.#rows.lastTags();

  stats(): StoreStats {
    return {
      rows: this.#rows.count,
      outboxEvents: this.#outbox.waiting,
      damagedFiles: this.#damaged,
      evictedRows: this.#rows.evicted,
      evictedEvents: this.#outbox.evicted,
      isDiskTight: this.#room.isTight,
    };
  }

  close(): void {
    this.#rows.close();
    this.#database.close();
  }

  #path(name: string): string {
    return join(this.#options.directory, name);
  }

  #agentFile(): DatabaseFile {
    return {
      path: this.#path('agent.db'),
      synchronous: 'FULL',
      schemaVersion: 2,
      tables: TABLES,
      migrations: MIGRATIONS,
    };
  }

  #open(file: DatabaseFile): Database.Database {
    const { database, movedAside } = openDatabase(file, this.#stamp());
    if (movedAside !== null) {
      this.#damaged++;
      this.#told(`${file.path} was damaged; it is kept as ${movedAside}, and a new one was started`);
    }
    const pages = Math.max(8, Math.min(1_000, Math.floor(this.#room.journalBytes / 4_096)));
    database.exec(`PRAGMA wal_autocheckpoint = ${pages}`);
    return database;
  }

  #write(write: AgentWrite): void {
    const run = (sql: string, ...values: unknown[]) => this.#database.prepare(sql).run(...values);
    switch (write.op) {
      case 'alarm': {
        const { event } = write;
        this.#outbox.add(event);
        // Values that did not come say nothing about those that did.
        if (event.transition === 'raised' && event.communication === undefined)
          run('INSERT OR IGNORE INTO alarms (alarm_id, raised_ms) VALUES (?, ?)', event.alarmId, event.atMs);
        if (event.transition === 'cleared')
          run('UPDATE alarms SET cleared_ms = ? WHERE alarm_id = ?', event.atMs, event.alarmId);
        run('INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)', 'alarm', write.alarmState);
        this.#outbox.evict();
        break;
      }
      case 'received':
        this.#outbox.received(write.eventIds);
        break;
      case 'state':
        if (write.value === null) run('DELETE FROM state WHERE key = ?', write.key);
        else run('INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)', write.key, asStored(write.value));
        break;
    }
  }

  #deciding<T>(work: () => T): T {
    return this.#repairing('agent', () => this.#transaction(work));
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  #rollBack(): void {
    if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
    this.#outbox.recount();
  }

  /** Once more after the damaged file was replaced, or after old rows made room on a full disk. */
  #repairing<T>(file: 'agent' | 'rows', work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (isFull(error)) this.#makeRoom();
      else if (isDamage(error)) this.#replace(file);
      else throw error;
      return work();
    }
  }

  /** As far as it goes: whoever asked for it tries again, and says so where it was not enough. */
  #makeRoom(): void {
    const room = this.#room;
    const evicted = this.#rows.evicted;
    try {
      room.release();
      this.#checkpoint();
      for (let round = 0; round < EVICTION_ROUNDS && room.isTight; round++) {
        const before = room.freeBytes;
        if (this.#rows.evictSome() === 0 || room.freeBytes <= before) break;
      }
      room.restore();
    } catch (error) {
      if (!isFull(error)) throw error;
    }
    const given = this.#rows.evicted - evicted;
    if (given > 0) this.#told(`the disk of ${this.#options.directory} is full; its ${given} oldest rows were given up`);
  }

  #checkpoint(): void {
    this.#rows.checkpoint();
    this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').raw().all();
  }

  #replace(file: 'agent' | 'rows'): void {
    const path = this.#path(`${file}.db`);
    (file === 'agent' ? this.#database : this.#rows).close();
    this.#told(`${path} was found damaged; it is kept as ${moveAside(path, this.#stamp())}, and a new one was started`);
    this.#damaged++;
    if (file === 'agent') {
      const { maximumOutboxEvents, maximumBlobBytes } = this.#options;
      this.#database = this.#open(this.#agentFile());
      this.#outbox = new OutboxTable(this.#database, maximumOutboxEvents, this.#outbox.evicted);
      this.#blobs = new BlobTable(this.#database, maximumBlobBytes);
    } else this.#rows = new RowTable(this.#open(rowTables(path)), this.#options);
    this.#outbox.recount();
  }
}

function asStored(value: Uint8Array | string): Buffer | string {
  return typeof value === 'string' ? value : Buffer.from(value);
}
