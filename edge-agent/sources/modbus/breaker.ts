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

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
/** Where every unit of the bus is dead, a probe costs nobody anything, and a cable that is back is to be noticed soon. */
const LONGEST_PAUSE_OF_ALL_MS = 5_000;
const FIRST_BACKOFF_MS = 20;

export function mayAsk(breaker: Breaker, nowMs: number): boolean {
  return breaker.retryAtMs === null || nowMs >= breaker.retryAtMs;
}

export interface Failure {
  readonly nowMs: number;
  /** In [0, 1), spreads the probes of many units. */
  readonly random: number;
  /** Times a unit is asked again before it is left alone. */
  readonly retries: number;
  /** Whether no other unit of the bus answers either. */
  readonly isAlone: boolean;
}

/** After a failed read. */
export function failed(breaker: Breaker, { nowMs, random, retries, isAlone }: Failure): Breaker {
  const failures = breaker.failures + 1;
  if (failures <= retries) return { failures, retryAtMs: null };
  const longestMs = isAlone ? LONGEST_PAUSE_OF_ALL_MS : LONGEST_PAUSE_MS;
  const pauseMs = Math.min(longestMs, FIRST_PAUSE_MS * 2 ** Math.min(16, failures - retries - 1));
  return { failures, retryAtMs: nowMs + pauseMs * (0.75 + random / 2) };
}

/** How long to wait before a unit is asked again that is not left alone yet, ms: doubles, half of it at random. */
export function backoffMs(failures: number, random: number): number {
  return FIRST_BACKOFF_MS * 2 ** Math.min(6, Math.max(0, failures - 1)) * (0.5 + random / 2);
}

export function answered(): Breaker {
  return CLOSED_BREAKER;
}

/** Once the line of an open breaker is known to be alive: probed at once, without forgetting what came before. */
export function probeNow(breaker: Breaker, nowMs: number): Breaker {
  return breaker.retryAtMs === null ? breaker : { ...breaker, retryAtMs: Math.min(breaker.retryAtMs, nowMs) };
}
