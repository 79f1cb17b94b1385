/**
 * Circuit breaker of one unit on one bus, pure. Closed: every poll asks the unit. Open: it is left alone until `retryAtMs`, so that
 * the other units of the bus lose nothing to it. Then one probe: an answer closes, a failure opens for twice as long.
 */
export interface Breaker {
  readonly failures: number;
  /** Monotonic ms; null while closed. */
  readonly retryAtMs: number | null;
}

export const CLOSED_BREAKER: Breaker = { failures: 0, retryAtMs: null };

const FAILURES_TO_OPEN = 3;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export function mayAsk(breaker: Breaker, nowMs: number): boolean {
  return breaker.retryAtMs === null || nowMs >= breaker.retryAtMs;
}

/** After a failed read. `random` in [0, 1) spreads the probes of many units. */
export function failed(breaker: Breaker, nowMs: number, random: number): Breaker {
  const failures = breaker.failures + 1;
  if (failures < FAILURES_TO_OPEN) return { failures, retryAtMs: null };
  const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(16, failures - FAILURES_TO_OPEN));
  return { failures, retryAtMs: nowMs + pauseMs * (0.75 + random / 2) };
}

export function answered(): Breaker {
  return CLOSED_BREAKER;
}
