import type { Span } from './register-bank.js';

/**
 * When a site may go on to its next row: after the designated reader has completely read every PLC at this row, and not before the pace allows. Pure.
 * A device with a clock is completely read when the clock is read once more after the last tag, as a reader does that proves its values belong to one scan.
 */

interface PlcProgress {
  readonly tags: readonly Span[];
  readonly clock: Span | null;
  /** Tags not yet read at this row. */
  readonly unread: ReadonlySet<number>;
  readonly complete: boolean;
}

export interface StepperState {
  readonly plcs: ReadonlyMap<string, PlcProgress>;
  /** Rows served so far, the current one included. */
  readonly rows: number;
  /** When the current row came up, on a monotonic clock. */
  readonly sinceMs: number;
}

export interface Pace {
  /** Rows that are served as fast as they are read. */
  readonly freeRows: number;
  /** Of the rows after those; null for no limit. */
  readonly rowsPerSecond: number | null;
}

/** Nothing read yet of the first row. */
export function startStepper(
  plcs: ReadonlyMap<string, { tags: readonly Span[]; clock: Span | null }>,
  rows: number,
  nowMs: number,
): StepperState {
  const fresh = [...plcs].map(([name, plc]) => [name, untouched(plc)] as const);
  return { plcs: new Map(fresh), rows, sinceMs: nowMs };
}

function untouched(plc: { tags: readonly Span[]; clock: Span | null }): PlcProgress {
  return { tags: plc.tags, clock: plc.clock, unread: new Set(plc.tags.keys()), complete: false };
}

const covers = (outer: Span, inner: Span) =>
  outer.table === inner.table &&
  outer.address <= inner.address &&
  outer.address + outer.count >= inner.address + inner.count;

/** The reader has been answered with `span` of `plc`. */
export function recordRead(state: StepperState, plc: string, span: Span): StepperState {
  const progress = state.plcs.get(plc);
  if (progress === undefined || progress.complete) return state;
  const hadAllTags = progress.unread.size === 0;
  const unread = new Set(progress.unread);
  for (const tag of progress.unread) if (covers(span, progress.tags[tag]!)) unread.delete(tag);
  const complete = progress.clock === null ? unread.size === 0 : hadAllTags && covers(span, progress.clock);
  return withPlc(state, plc, { ...progress, unread, complete });
}

/** The reader's connection to `plc` is gone, and with it what it had read: it will read this row again. */
export function forgetReads(state: StepperState, plc: string): StepperState {
  const progress = state.plcs.get(plc);
  return progress === undefined ? state : withPlc(state, plc, untouched(progress));
}

function withPlc(state: StepperState, plc: string, progress: PlcProgress): StepperState {
  return { ...state, plcs: new Map(state.plcs).set(plc, progress) };
}

/** True where the reader has all of `plc` at this row, so that asking again can only be asking for the next one. */
export function isPlcRead(state: StepperState, plc: string): boolean {
  return state.plcs.get(plc)?.complete ?? false;
}

function isSiteRead(state: StepperState): boolean {
  return [...state.plcs.values()].every(({ complete }) => complete);
}

/** Milliseconds until the next row is due: 0 now, null not before the reader has read more. */
export function dueInMs(state: StepperState, pace: Pace, nowMs: number): number | null {
  if (!isSiteRead(state)) return null;
  if (pace.rowsPerSecond === null || state.rows < pace.freeRows) return 0;
  return Math.max(0, state.sinceMs + 1000 / pace.rowsPerSecond - nowMs);
}

/** The next row is in the registers; nothing of it has been read. */
export function advance(state: StepperState, nowMs: number, pace: Pace): StepperState {
  return startStepper(state.plcs, state.rows + 1, paceFrom(state, nowMs, pace));
}

/**
 * Counting from when the row was due, not from when the timer fired, keeps the mean pace. A reader that is behind gets no burst, and rows that
 * are run through before their time (a plant that resumes) cost none.
 */
function paceFrom(state: StepperState, nowMs: number, pace: Pace): number {
  if (pace.rowsPerSecond === null || state.rows < pace.freeRows) return nowMs;
  const periodMs = 1000 / pace.rowsPerSecond;
  const lateMs = nowMs - (state.sinceMs + periodMs);
  return lateMs >= 0 && lateMs < periodMs ? nowMs - lateMs : nowMs;
}
