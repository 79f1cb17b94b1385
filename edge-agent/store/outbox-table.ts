import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type Database from 'libsql';

export const OUTBOX_TABLE =
  'CREATE TABLE IF NOT EXISTS outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, payload TEXT NOT NULL);';

/** Under `state`: alarm events given up, ever. */
const EVICTED_EVENTS = 'evicted-events';

/** Alarm events that wait for the server's receipt. Its caller holds the transaction that a change belongs to, and recounts after one that was rolled back. */
export class OutboxTable {
  readonly #database: Database.Database;
  readonly #maximumEvents: number;
  #waiting = 0;
  #evicted: number;

  /** @param evicted counted before by the file in whose place this one is. */
  constructor(database: Database.Database, maximumEvents: number, evicted = 0) {
    this.#database = database;
    this.#maximumEvents = maximumEvents;
    this.#evicted = evicted;
  }

  get waiting(): number {
    return this.#waiting;
  }
  /** Events that a full outbox gave up, ever. */
  get evicted(): number {
    return this.#evicted;
  }

  oldest(limit: number): AlarmEvent[] {
    const found = this.#database.prepare('SELECT payload FROM outbox ORDER BY position LIMIT ?').raw().all(limit);
    return (found as [string][]).map(([payload]) => JSON.parse(payload) as AlarmEvent);
  }

  /** Of one alarm, those that wait for their receipt, in order. */
  ofAlarm(alarmId: string): AlarmEvent[] {
    // Event ids are `<alarm id>:<transition>`, and ';' comes after ':'.
    const found = this.#database
      .prepare('SELECT payload FROM outbox WHERE event_id > ? AND event_id < ? ORDER BY position')
      .raw()
      .all(`${alarmId}:`, `${alarmId};`);
    return (found as [string][]).map(([payload]) => JSON.parse(payload) as AlarmEvent);
  }

  /** The newest that wait for their receipt and belong to alarms that still last, oldest first. */
  lasting(limit: number): AlarmEvent[] {
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

  /** Once, however often it comes. */
  add(event: AlarmEvent): void {
    const { changes } = this.#database
      .prepare('INSERT OR IGNORE INTO outbox (event_id, payload) VALUES (?, ?)')
      .run(event.eventId, JSON.stringify(event));
    this.#waiting += changes;
  }

  /** The server has journalled them. */
  received(eventIds: readonly string[]): void {
    const forget = this.#database.prepare('DELETE FROM outbox WHERE event_id = ?');
    for (const eventId of eventIds) this.#waiting -= forget.run(eventId).changes;
  }

  /**
   * A server that is away for good must not fill the disk. First goes what people did to alarms, which the server knows; then alarms about
   * values that did not come; then detectors' alarms that are over; at the very last those that last. Of each the oldest first, counted.
   */
  evict(): void {
    const excess = this.#waiting - this.#maximumEvents;
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
      .run(Math.max(excess, Math.floor(this.#maximumEvents / 100)));
    this.#waiting -= changes;
    this.#evicted += changes;
    this.#database
      .prepare('INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)')
      .run(EVICTED_EVENTS, String(this.#evicted));
  }

  recount(): void {
    const [row] = this.#database.prepare('SELECT count(*) FROM outbox').raw().all() as [number][];
    this.#waiting = row?.[0] ?? 0;
    const [kept] = this.#database.prepare('SELECT value FROM state WHERE key = ?').raw().all(EVICTED_EVENTS) as [
      Buffer | string,
    ][];
    // A new file in the place of a damaged one knows of none, and what was counted before still holds.
    this.#evicted = Math.max(this.#evicted, Number(kept?.[0] ?? 0));
  }
}
