import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import {
  invalidRecording,
  parseRecording,
  type RecordedRows,
  type RecordingColumns,
} from '@twinwatch/twin-server/twin/recording';

/** A recording of a plant in a CSV file, read whole: what the plant simulator serves, and what a field trial learns from. */

export type { RecordingColumns };

export interface Recording extends RecordedRows {
  readonly sha256: string;
}

/** @throws TwinwatchError FEED_INVALID naming the columns that are missing, or the lines whose times cannot be read or go back. */
export async function readRecording(
  file: string,
  tagNames: readonly string[],
  options: RecordingColumns,
): Promise<Recording> {
  const bytes = await readFile(file).catch((cause: Error) => {
    throw invalidRecording(file, `cannot be read (${cause.message}); check the path`, cause);
  });
  return {
    ...parseRecording(bytes, file, tagNames, options),
    sha256: createHash('sha256').update(bytes).digest('hex'),
  };
}
