import { join } from 'node:path';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AlarmCommand, CommandReceipt, LabelCommand } from '@twinwatch/core/wire/commands';
import type Database from 'libsql';
import { type DatabaseFile, isDamage, isFull, moveAside, openDatabase } from './database-file.js';
import { commandReceipt, DECISION_TABLES, decide, keepReceipt } from './decisions.js';
import { DiskRoom } from './disk-room.js';
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
  CREATE TABLE IF NOT EXISTS outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, payload TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS blobs (hash TEXT PRIMARY KEY, data BLOB NOT NULL, used INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
  ${DECISION_TABLES}`;

/** Before version 2 nothing could write a label. */
const MIGRATIONS = {
  1: `ALTER TABLE alarms ADD COLUMN decided_by TEXT; ALTER TABLE alarms ADD COLUMN decided_ms REAL; DROP TABLE labels;`,
};

const EVICTED_EVENTS = 'evicted-events';
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
  #evictedEvents = 0;
  #outbox = 0;
  /** Hashes of blobs that were read since one was put, the last one last: written down only when one may have to go, as it would wait for the disk. */
  readonly #read = new Set<string>();

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
    this.#rows = new RowTable(this.#open(rowTables(this.#path('rows.db'))), options);
    this.#recount();
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

  /** The oldest events that wait for their receipt. */
  outbox(limit: number): AlarmEvent[] {
    const found = this.#database.prepare('SELECT payload FROM outbox ORDER BY position LIMIT ?').raw().all(limit);
    return (found as [string][]).map(([payload]) => JSON.parse(payload) as AlarmEvent);
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
    this.#repairing('agent', () =>
      this.#transaction(() => {
        this.#rememberReads();
        this.#database
          .prepare(
            'INSERT OR REPLACE INTO blobs (hash, data, used) VALUES (?, ?, (SELECT ifnull(max(used), 0) + 1 FROM blobs))',
          )
          .run(hash, Buffer.from(bytes));
        this.#evictBlobs();
      }),
    );
  }

  blob(hash: string): Uint8Array | null {
    const [found] = this.#database.prepare('SELECT data FROM blobs WHERE hash = ?').raw().all(hash) as [Buffer][];
    if (found === undefined) return null;
    this.#read.delete(hash);
    this.#read.add(hash);
    return new Uint8Array(found[0]);
  }

  importRows: RowTable['importRows'] = (...request) => this.#repairing('rows', () => this.#rows.importRows(...request));
  rows: RowTable['rows'] = (...request) => this.#rows.rows(...request);
  lastRow: RowTable['lastRow'] = () => this.#rows.lastRow();
  lastTags: RowTable['lastTags'] = () => this.#rows.lastTags();

  stats(): StoreStats {
    return {
      rows: this.#rows.count,
      outboxEvents: this.#outbox,
      damagedFiles: this.#damaged,
      evictedRows: this.#rows.evicted,
      evictedEvents: this.#evictedEvents,
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

  /** Of one alarm, those that wait for their receipt, in order. */
  eventsOf(alarmId: string): AlarmEvent[] {
    // Event ids are `<alarm id>:<transition>`, and ';' comes after ':'.
    const found = this.#database
      .prepare('SELECT payload FROM outbox WHERE event_id > ? AND event_id < ? ORDER BY position')
      .raw()
      .all(`${alarmId}:`, `${alarmId};`);
    return (found as [string][]).map(([payload]) => JSON.parse(payload) as AlarmEvent);
  }

  /** The newest that wait for their receipt and belong to alarms that still last, oldest first. */
  lastingEvents(limit: number): AlarmEvent[] {
    const found = this.#database
      .prepare(
        `WITH waiting AS (SELECT position, payload, payload ->> 'alarmId' AS alarm, payload ->> 'transition' AS transition FROM outbox)
         SELECT payload FROM waiting WHERE alarm NOT IN (SELECT alarm FROM waiting WHERE transition = 'cleared')
         ORDER BY position DESC LIMIT ?`,
      )
      .raw()
      .all(limit);
    return (found as [string][]).map(([payload]) => JSON.parse(payload) as AlarmEvent).reverse();
  }

  #write(write: AgentWrite): void {
    const run = (sql: string, ...values: unknown[]) => this.#database.prepare(sql).run(...values);
    switch (write.op) {
      case 'alarm': {
        const { event } = write;
        const { changes } = run(
          'INSERT OR IGNORE INTO outbox (event_id, payload) VALUES (?, ?)',
          event.eventId,
          JSON.stringify(event),
        );
        this.#outbox += changes;
        // Values that did not come say nothing about those that did.
        if (event.transition === 'raised' && event.communication === undefined)
          run('INSERT OR IGNORE INTO alarms (alarm_id, raised_ms) VALUES (?, ?)', event.alarmId, event.atMs);
        if (event.transition === 'cleared')
          run('UPDATE alarms SET cleared_ms = ? WHERE alarm_id = ?', event.atMs, event.alarmId);
        run('INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)', 'alarm', write.alarmState);
        this.#evictEvents();
        break;
      }
      case 'received':
        for (const eventId of write.eventIds)
          this.#outbox -= run('DELETE FROM outbox WHERE event_id = ?', eventId).changes;
        break;
      case 'state':
        if (write.value === null) run('DELETE FROM state WHERE key = ?', write.key);
        else run('INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)', write.key, asStored(write.value));
        break;
    }
  }

  /**
   * A server that is away for good must not fill the disk. First goes what people did to alarms, which the server knows; then alarms about
   * values that did not come; then detectors' alarms that are over; at the very last those that last. Of each the oldest first, counted.
   */
  #evictEvents(): void {
    const { maximumOutboxEvents } = this.#options;
    const excess = this.#outbox - maximumOutboxEvents;
    if (excess <= 0) return;
    const { changes } = this.#database
      .prepare(
        `DELETE FROM outbox WHERE position IN (SELECT position FROM outbox ORDER BY CASE
           WHEN payload ->> 'transition' NOT IN ('raised', 'cleared') THEN 0
           WHEN payload -> 'communication' IS NOT NULL THEN 1
           WHEN payload ->> 'alarmId' NOT IN (SELECT alarm_id FROM alarms WHERE cleared_ms IS NULL) THEN 2
           ELSE 3 END, position LIMIT ?)`,
      )
      // Looking through all of them is worth more than one.
      .run(Math.max(excess, Math.floor(maximumOutboxEvents / 100)));
    this.#outbox -= changes;
    this.#evictedEvents += changes;
    this.#database
      .prepare('INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)')
      .run(EVICTED_EVENTS, String(this.#evictedEvents));
  }

  #rememberReads(): void {
    const remember = this.#database.prepare('UPDATE blobs SET used = (SELECT max(used) + 1 FROM blobs) WHERE hash = ?');
    for (const hash of this.#read) remember.run(hash);
    this.#read.clear();
  }

  #evictBlobs(): void {
    const sizes = this.#database.prepare('SELECT hash, length(data) FROM blobs ORDER BY used DESC').raw().all() as [
      string,
      number,
    ][];
    let total = 0;
    for (const [i, [hash, bytes]] of sizes.entries()) {
      total += bytes;
      if (i > 0 && total > this.#options.maximumBlobBytes)
        this.#database.prepare('DELETE FROM blobs WHERE hash = ?').run(hash);
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
    this.#recount();
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
    if (file === 'agent') this.#database = this.#open(this.#agentFile());
    else this.#rows = new RowTable(this.#open(rowTables(path)), this.#options);
    this.#recount();
  }

  #recount(): void {
    const [row] = this.#database.prepare('SELECT count(*) FROM outbox').raw().all() as [number][];
    this.#outbox = row?.[0] ?? 0;
    // A new file in the place of a damaged one knows of none, and what was counted before still holds.
    this.#evictedEvents = Math.max(this.#evictedEvents, Number(this.state(EVICTED_EVENTS) ?? 0));
  }
}

function asStored(value: Uint8Array | string): Buffer | string {
  return typeof value === 'string' ? value : Buffer.from(value);
}
