import type { Logger } from '@twinwatch/core/runtime';

/** No end takes longer where the disk answers. Containers are killed after ten seconds, and then cannot say why any more. */
const PATIENCE_MS = 8_000;
/** For the last line to be written, where that is possible. */
const LAST_LINE_MS = 300;

/**
 * Ends this process if it has not ended by itself before long. A thread that hangs in the system, for a disk that does not answer, can neither be stopped
 * nor waited for, and an orderly exit would wait for it: so the process kills itself, which the databases are made for.
 * @param unwritten rows that the disk has not taken, as far as is known.
 */
export function endAnyway(log: Logger, unwritten: () => number | null): void {
  setTimeout(() => {
    const rows = unwritten();
    log.error(
      { seconds: PATIENCE_MS / 1_000, ...(rows === null ? {} : { rows }) },
      'the agent cannot end in order: the disk of dataDir does not answer. It ends now; what is written stays, and rows that the disk has not taken are lost',
    );
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), LAST_LINE_MS);
  }, PATIENCE_MS).unref();
}
