import { download } from './fetch-data/download.js';
import { BATADAL_FILES, LICENCE_NOTICE } from './fetch-data/pinned-files.js';

/** `twinwatch fetch-data`: BATADAL and C-Town into the folder `out`. @throws TwinwatchError FETCH_* */
export async function main({ out }: { readonly out: string }): Promise<void> {
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  console.log(`${LICENCE_NOTICE}\n`);
  try {
    await download({ files: BATADAL_FILES, out, signal: interrupted.signal, say: console.log });
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    console.log('interrupted; what has arrived is kept for the next run');
    process.exitCode = 130;
  }
}
