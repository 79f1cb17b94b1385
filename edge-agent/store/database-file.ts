import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import Database from 'libsql';

export interface DatabaseFile {
  readonly path: string;
  /** NORMAL: a power cut may cost the last transactions, never the file. FULL: what was committed is on the disk. */
  readonly synchronous: 'NORMAL' | 'FULL';
  /** Rises with every change of `tables`. */
  readonly schemaVersion: number;
  /** Statements that make missing tables. */
  readonly tables: string;
  /** Statements from one schema version to the next, by the version they start from. */
  readonly migrations: Readonly<Record<number, string>>;
}

export interface OpenedDatabase {
  readonly database: Database.Database;
  /** Where a damaged file was put, null where there was none. */
  readonly movedAside: string | null;
}

/** Above this a full check at every start takes longer than it is worth; damage then shows when a page is used. */
const CHECKED_BYTES = 64 * 1024 * 1024;
const FULL = /^SQLITE_(FULL|IOERR_SHMSIZE)/;
const DAMAGE = /^SQLITE_(CORRUPT|NOTADB)/;

export function isDamage(error: unknown): boolean {
  return DAMAGE.test(String((error as { code?: unknown } | null)?.code ?? ''));
}

export function isFull(error: unknown): boolean {
  return FULL.test(String((error as { code?: unknown } | null)?.code ?? ''));
}

/**
 * Opens or makes a database. A damaged one is moved aside, kept for whoever wants to look at it, and started afresh.
 * @throws TwinwatchError STORE_FAILED where the directory cannot be written, or the file is from a newer release.
 */
export function openDatabase(file: DatabaseFile, stamp: string): OpenedDatabase {
  mkdirSync(dirname(file.path), { recursive: true });
  try {
    return { database: tryOpen(file), movedAside: null };
  } catch (error) {
    if (!isDamage(error)) throw asStoreError(file.path, error);
  }
  const movedAside = moveAside(file.path, stamp);
  try {
    return { database: tryOpen(file), movedAside };
  } catch (error) {
    throw asStoreError(file.path, error);
  }
}

/** With its journal, which belongs to no other file. */
export function moveAside(path: string, stamp: string): string {
  const target = `${path}.damaged-${stamp}`;
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, target + suffix);
  return target;
}

function tryOpen(file: DatabaseFile): Database.Database {
  const large = existsSync(file.path) && statSync(file.path).size > CHECKED_BYTES;
  const database = new Database(file.path);
  try {
    // Before anything is written: a file that was made without it cannot give back what is deleted.
    database.exec(`PRAGMA busy_timeout = 5000; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = ${file.synchronous};
      PRAGMA journal_size_limit = 8388608;`);
    if (!large) {
      const [verdict] = database.prepare('PRAGMA quick_check(1)').raw().all() as [string][];
      if (verdict?.[0] !== 'ok')
        throw Object.assign(new Error(verdict?.[0] ?? 'no answer'), { code: 'SQLITE_CORRUPT' });
    }
    migrate(database, file);
    if (!large) makeShrinkable(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A file of an earlier release. Where there is no room for it, what is deleted is used again only by the same file. */
function makeShrinkable(database: Database.Database): void {
  const [mode] = database.prepare('PRAGMA auto_vacuum').raw().all() as [number][];
  if (mode?.[0] !== 0) return;
  try {
    database.exec('VACUUM');
  } catch (error) {
    if (!isFull(error)) throw error;
  }
}

function migrate(database: Database.Database, file: DatabaseFile): void {
  const [row] = database.prepare('PRAGMA user_version').raw().all() as [number][];
  let version = row?.[0] ?? 0;
  if (version > file.schemaVersion)
    throw new TwinwatchError(
      'STORE_FAILED',
      `${file.path} has schema ${version}, this release knows up to ${file.schemaVersion}; run the newer release, or another dataDir`,
      { context: { path: file.path } },
    );
  // Nothing is written at a start on a full disk.
  if (version === file.schemaVersion) return;
  if (version > 0) backUp(database, `${file.path}.schema-${version}`);
  database.exec('BEGIN IMMEDIATE');
  for (; version > 0 && version < file.schemaVersion; version++) database.exec(file.migrations[version] ?? '');
  database.exec(file.tables);
  database.exec(`PRAGMA user_version = ${file.schemaVersion}`);
  database.exec('COMMIT');
}

/** As it was before a migration, for whoever wants to go back to the release before. @throws where there is no room: nothing is migrated then. */
function backUp(database: Database.Database, target: string): void {
  rmSync(target, { force: true });
  database.prepare('VACUUM INTO ?').run(target);
}

function asStoreError(path: string, cause: unknown): TwinwatchError {
  if (cause instanceof TwinwatchError) return cause;
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new TwinwatchError(
    'STORE_FAILED',
    `${path} cannot be opened: ${detail}; check that dataDir can be written and the disk is not full`,
    {
      context: { path },
      cause,
    },
  );
}
