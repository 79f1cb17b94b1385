import type { Row } from '@twinwatch/core/scada/sample';
import type { RowSource } from './row-source.js';

/** Rows of a recording, one after the other. */
export function recordedSource(tagNames: readonly string[], rows: readonly Row[]): RowSource {
  let at = 0;
  return {
    tagNames,
    next() {
      const row = rows[at];
      if (row === undefined) return null;
      at++;
      return { timeMs: row.timeMs, values: row.values, attack: null };
    },
    schedule() {
      // The configuration refuses attacks on a recording.
    },
    close() {},
  };
}
