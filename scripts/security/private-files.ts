import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';

/** Files that nobody but their owner reads. Whole or not at all: a reader never sees half of one. */

const PRIVATE = 0o600;
export const READABLE = 0o644;

export async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
}

/** In place of what is there. */
export async function replaceFile(path: string, text: string, mode = PRIVATE): Promise<void> {
  const draft = await writeDraft(path, text, mode);
  await rename(draft, path);
}

/** @throws TwinwatchError SECURITY_EXISTS where the file is there. */
export async function createFile(path: string, text: string, mode = PRIVATE): Promise<void> {
  const draft = await writeDraft(path, text, mode);
  try {
    await link(draft, path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') throw exists(path);
    throw cause;
  } finally {
    await rm(draft, { force: true });
  }
}

export function exists(path: string): TwinwatchError {
  return new TwinwatchError('SECURITY_EXISTS', `${path} is there already, and is not written over`, {
    context: { path },
  });
}

export async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

async function writeDraft(path: string, text: string, mode: number): Promise<string> {
  const draft = join(dirname(path), `.${randomBytes(6).toString('hex')}.draft`);
  const file = await open(draft, 'wx', mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return draft;
}

const LOCK_WAIT_MS = 10_000;
const LOOK_MS = 50;

/**
 * One command at a time changes a directory, whichever container it runs in. The system lets go of the lock with the process.
 * @throws TwinwatchError SECURITY_IN_USE, and STORE_FAILED where the directory cannot be written.
 */
export async function alone<T>(directory: string, work: () => Promise<T>): Promise<T> {
  // Loads SQLite, which commands that only read need not.
  const { lockDirectory } = await import('@twinwatch/edge-agent/store/directory-lock');
  const until = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    let lock: ReturnType<typeof lockDirectory>;
    try {
      lock = lockDirectory(directory, 'a command');
    } catch (cause) {
      if ((cause as TwinwatchError).code !== 'STORE_LOCKED') throw cause;
      if (performance.now() > until)
        throw new TwinwatchError('SECURITY_IN_USE', `another command is changing ${directory}; try again after it`, {
          cause,
        });
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      continue;
    }
    try {
      return await work();
    } finally {
      lock.release();
    }
  }
}
