import { TwinwatchError } from '@twinwatch/core/errors';
import Database from 'libsql';

/** The file behind a journal: its tables, and one server at a time. */

const SCHEMA = `
CREATE TABLE IF NOT EXISTS state (run TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (hash TEXT PRIMARY KEY, size INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS calibrations (run TEXT, agent TEXT, moments TEXT NOT NULL, PRIMARY KEY (run, agent)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS updates (
  run TEXT, round INTEGER, agent TEXT, kind TEXT, attempt INTEGER NOT NULL, base TEXT NOT NULL, codec TEXT NOT NULL, mask TEXT NOT NULL,
  delta BLOB, rows INTEGER NOT NULL, loss REAL NOT NULL, training_ms REAL NOT NULL, scores TEXT NOT NULL, window TEXT,
  PRIMARY KEY (run, round, agent, kind));
CREATE TABLE IF NOT EXISTS rejections (
  id INTEGER PRIMARY KEY, run TEXT, round INTEGER, attempt INTEGER, agent TEXT, verdict TEXT, detail TEXT, at_ms INTEGER);
CREATE INDEX IF NOT EXISTS rejections_by_agent ON rejections (agent);
CREATE TABLE IF NOT EXISTS rounds (run TEXT, round INTEGER, attempt INTEGER, view TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (run, round, attempt));
CREATE TABLE IF NOT EXISTS alarms (id INTEGER PRIMARY KEY, event_id TEXT UNIQUE, json TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS alarms_by_time ON alarms (json ->> 'atMs');
CREATE TABLE IF NOT EXISTS decisions (
  id INTEGER PRIMARY KEY, command_id TEXT UNIQUE, agent TEXT NOT NULL, at_ms REAL NOT NULL, command TEXT NOT NULL, answer TEXT);
CREATE INDEX IF NOT EXISTS waiting_decisions ON decisions (agent) WHERE answer IS NULL;
CREATE TABLE IF NOT EXISTS registry (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS floors (key TEXT PRIMARY KEY, sequence INTEGER NOT NULL, sent_at_ms REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models (
  id INTEGER PRIMARY KEY, run TEXT, version TEXT UNIQUE, hash TEXT NOT NULL, view TEXT NOT NULL, manifest TEXT NOT NULL);
`;

interface OpenJournal {
  readonly db: Database.Database;
  readonly unlock: () => void;
}

/** @throws TwinwatchError JOURNAL_UNREADABLE */
export function openJournalFile(file: string): OpenJournal {
  try {
    const unlock = file === ':memory:' ? () => undefined : lock(`${file}.lock`);
    const db = new Database(file);
    db.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec(SCHEMA);
    addMissingColumns(db);
    return { db, unlock };
  } catch (cause) {
    throw new TwinwatchError(
      'JOURNAL_UNREADABLE',
      `The journal ${file} cannot be opened (${cause instanceof Error ? cause.message : String(cause)}); ${advice(cause)}`,
      { context: { file }, cause },
    );
  }
}

const advice = (cause: unknown) =>
  /locked/.test(String(cause))
    ? 'another server runs with this dataDir: stop it, or give this one a dataDir of its own'
    : 'see that its folder can be written, restore a backup (`twinwatch restore`), or move the file away to start anew';

/** Of a journal that an earlier release has made. New columns stand last, where they would stand in a new table. */
function addMissingColumns(db: Database.Database): void {
  const columns = db.prepare('PRAGMA table_info(updates)').all() as { readonly name: string }[];
  if (!columns.some(({ name }) => name === 'window')) db.exec('ALTER TABLE updates ADD COLUMN window TEXT');
}

/**
 * One server per journal. A lock of its own, held by the operating system and gone with the process; libsql keeps an
 * exclusively locked database locked after close(), as long as a prepared statement has not been collected.
 */
function lock(file: string): () => void {
  const db = new Database(file);
  try {
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    throw error;
  }
  return () => void db.close();
}
