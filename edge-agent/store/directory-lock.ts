import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import Database from 'libsql';

export interface DirectoryLock {
  /** Lets others in. */
  release(): void;
}

const OWNER = 'in-use.txt';

/**
 * One owner of a data directory at a time. An exclusive SQLite transaction holds the lock: the system takes it away with the process, however that
 * ends, so that nothing is left to clear after a crash; and it holds against another owner in the same process, too.
 * @param owner who asks, for the message that the next one gets: 'agent site-1'.
 * @throws TwinwatchError STORE_LOCKED where somebody has it, STORE_FAILED where the directory cannot be used.
 */
export function lockDirectory(directory: string, owner: string): DirectoryLock {
  const path = join(directory, 'in-use.lock');
  let database: Database.Database | null = null;
  try {
    mkdirSync(directory, { recursive: true });
    database = new Database(path);
    database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
  } catch (cause) {
    database?.close();
    if (String((cause as { code?: unknown }).code ?? '').startsWith('SQLITE_BUSY')) throw inUse(directory);
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new TwinwatchError(
      'STORE_FAILED',
      `${path} cannot be opened: ${detail}; check that dataDir can be written and the disk is not full`,
      { context: { path }, cause },
    );
  }
  try {
    writeFileSync(join(directory, OWNER), `${owner}, process ${process.pid}\n`);
  } catch {
    // On a full disk the lock holds all the same; only its owner cannot be named.
  }
  const held = database;
  return {
    release() {
      if (held.open) held.close();
    },
  };
}

function inUse(directory: string): TwinwatchError {
  let owner = '';
  try {
    owner = readFileSync(join(directory, OWNER), 'utf8').trim();
  } catch {
    // Nobody wrote it down.
  }
  const who = owner === '' ? 'another agent' : owner;
  return new TwinwatchError(
    'STORE_LOCKED',
    `${directory} is in use by ${who}; stop it first, or give this agent a dataDir of its own`,
    { context: { directory } },
  );
}
