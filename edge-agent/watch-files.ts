import { stat } from 'node:fs/promises';
import type { Timers } from '@twinwatch/core/runtime';

const LOOK_MS = 2_000;

/**
 * Calls back after one of the files has changed and then stayed as it is for one look: an editor may write several, and none at once. Looks at times
 * and sizes, which also works where files are replaced, or on a network drive.
 */
export async function watchFiles(
  files: () => readonly string[],
  changed: () => Promise<void>,
  timers: Timers,
  signal: AbortSignal,
): Promise<void> {
  let known = await looks(files());
  let before = known;
  while (!signal.aborted) {
    await timers.sleep('watch-files', LOOK_MS, signal).catch(() => undefined);
    if (signal.aborted) return;
    const now = await looks(files());
    if (now !== known && now === before) {
      await changed();
      known = await looks(files());
    }
    before = now;
  }
}

async function looks(files: readonly string[]): Promise<string> {
  const all = await Promise.all(
    files.map(async (file) => {
      const found = await stat(file).catch(() => null);
      return found === null ? `${file} -` : `${file} ${found.mtimeMs} ${found.size} ${found.ino}`;
    }),
  );
  return all.join('\n');
}
