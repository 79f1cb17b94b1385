/** When a crashed child is started again, and when it is given up. Pure. */

/** Times of past crashes, milliseconds on a monotonic clock. */
export type CrashHistory = readonly number[];

const WINDOW_MS = 30_000;
const MOST_IN_WINDOW = 4;
const FIRST_DELAY_MS = 200;

export function decideRestart(
  history: CrashHistory,
  nowMs: number,
): { history: CrashHistory; restartInMs: number | null } {
  const recent = [...history.filter((at) => nowMs - at < WINDOW_MS), nowMs];
  if (recent.length > MOST_IN_WINDOW) return { history: recent, restartInMs: null };
  return { history: recent, restartInMs: FIRST_DELAY_MS * 2 ** (recent.length - 1) };
}
