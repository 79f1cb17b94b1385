import Database from 'libsql';

/**
 * A journal as it is at one moment, in a file of its own, compacted; whoever has it open goes on writing.
 * @param to must not exist. @throws Error where it cannot be written, or the copy is not sound.
 */
export function copyJournal(from: string, to: string): void {
  const source = new Database(from, { readonly: true });
  try {
    source.exec('PRAGMA busy_timeout = 5000');
    source.prepare('VACUUM INTO ?').run(to);
  } finally {
    source.close();
  }
  const copy = new Database(to, { readonly: true });
  try {
    const { integrity_check: found } = copy.prepare('PRAGMA integrity_check').get() as { integrity_check: string };
    if (found !== 'ok') throw new Error(`the copy of ${from} is damaged: ${found}`);
  } finally {
    copy.close();
  }
}
