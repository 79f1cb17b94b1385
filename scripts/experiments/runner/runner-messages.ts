import type { RunResult } from './run-once.js';
import type { RecordedData, Run } from './runs.js';

/** Between an experiment and the processes that do its runs. */

export interface ToRunner {
  readonly run: Run;
  readonly recorded: RecordedData | null;
  /** Whether the process does this run and no other. */
  readonly isAlone: boolean;
}

export type FromRunner =
  | { readonly kind: 'round'; readonly round: number }
  | { readonly kind: 'done'; readonly result: RunResult }
  | { readonly kind: 'failed'; readonly runId: string; readonly code: string | null; readonly message: string };
