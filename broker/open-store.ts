import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { ClassicLevel } from 'classic-level';
import { SessionStore, type SessionStoreOptions } from './session-store.js';

export type OpenStoreOptions = Omit<SessionStoreOptions, 'db'> & { readonly dataDir: string; readonly nowMs: number };

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
        `${path} cannot be opened: ${String(cause)}; check that the directory exists, is writable and has room`,
        { cause, context: { path } },
      );
    }
  }
}

async function openAt(path: string, options: OpenStoreOptions): Promise<SessionStore> {
  const db = new ClassicLevel(path);
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

/** abstract-level wraps the engine's error: the cause has the code that matters. */
function codeOf(error: unknown): string | undefined {
  const { cause, code } = error as { cause?: { code?: string }; code?: string };
  return cause?.code ?? code;
}
