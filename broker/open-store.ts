import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { SessionStore, type SessionStoreOptions } from './session-store.js';
import { SpillingLevel } from './spilling-level.js';

export type OpenStoreOptions = Omit<SessionStoreOptions, 'db'> & {
  readonly dataDir: string;
  readonly nowMs: number;
  readonly sync: boolean;
  readonly minimumFreeBytes: number;
};

const CHECK_ROOM_EVERY_MS = 1_000;
/** What the system says where the store is sound and the disk is not: nothing is moved aside then. */
const OF_THE_DISK = /no space left|quota exceeded|read-only file system|permission denied|too many open files/i;

/**
 * Opens `<dataDir>/sessions`. LevelDB cuts a torn tail by itself; a store that cannot be read is moved aside, counted, and an empty one
 * takes its place: clients subscribe and say what they have anew, a broker that does not start helps nobody.
 * @throws TwinwatchError BROKER_STORE_LOCKED when another process has it open, BROKER_STORE_FAILED when nothing can be opened there.
 */
export async function openStore(options: OpenStoreOptions): Promise<SessionStore> {
  const { dataDir, counters, log, nowMs } = options;
  const path = join(dataDir, 'sessions');
  try {
    await mkdir(dataDir, { recursive: true });
    return await openAt(path, options);
  } catch (error) {
    if (codeOf(error) === 'LEVEL_LOCKED')
      throw new TwinwatchError(
        'BROKER_STORE_LOCKED',
        `${path} is in use by another process; stop the other broker, or give this one another dataDir`,
        { cause: error, context: { path } },
      );
    const aside = `${path}.damaged-${nowMs}`;
    try {
      if (OF_THE_DISK.test(textOf(error))) throw error;
      await rename(path, aside);
      const store = await openAt(path, options);
      counters.storesMovedAside++;
      log.error(
        { path, aside, error: String(error) },
        'the session store was damaged; it is moved aside and an empty one is used',
      );
      return store;
    } catch (cause) {
      throw new TwinwatchError(
        'BROKER_STORE_FAILED',
        `${path} cannot be opened: ${textOf(cause)}; check that the directory exists, is writable and has room`,
        { cause, context: { path } },
      );
    }
  }
}

async function openAt(path: string, options: OpenStoreOptions): Promise<SessionStore> {
  const { counters, log, sync, minimumFreeBytes } = options;
  let saidStuck = false;
  const db = new SpillingLevel({
    path,
    sync,
    minimumFreeBytes,
    checkEveryMs: CHECK_ROOM_EVERY_MS,
    onSpill(error, freeBytes) {
      saidStuck = false;
      if (error !== null) counters.storeErrors++;
      log.error(
        error === null ? { path, freeBytes, minimumFreeBytes } : { path, error: textOf(error) },
        'the disk takes nothing more: messages are passed on to who is connected, and acknowledged when there is room again',
      );
    },
    onReturn: (entries) => log.warn({ path, entries }, 'the disk has room again; all that waited for it is written'),
    onStuck(error) {
      if (!saidStuck)
        log.error({ path, error: textOf(error) }, 'the session store cannot be opened yet; it is tried again');
      saidStuck = true;
    },
  });
  try {
    await db.open();
    const store = new SessionStore({ ...options, db });
    await store.survey();
    return store;
  } catch (error) {
    await db.close();
    throw error;
  }
}

function textOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: unknown };
  return cause === undefined ? (message ?? String(error)) : `${message}: ${textOf(cause)}`;
}

/** abstract-level wraps the engine's error: the cause has the code that matters. */
function codeOf(error: unknown): string | undefined {
  const { cause, code } = error as { cause?: { code?: string }; code?: string };
  return cause?.code ?? code;
}
