/** When a link dials, waits and hangs up: pure, so that it is tested without sockets or time. link.ts does what it says. */

export type LinkState =
  | { readonly phase: 'stopped' }
  | { readonly phase: 'dialling' | 'subscribing' | 'waiting'; readonly failures: number }
  | { readonly phase: 'online'; readonly failures: number; readonly sinceMs: number };

export type LinkEvent =
  | { readonly type: 'start' }
  | { readonly type: 'connected' }
  | { readonly type: 'subscribed'; readonly atMs: number }
  /** Closed, timed out, not there: in whatever phase. `isRefusal` where the broker has said no. `random` in [0, 1). */
  | { readonly type: 'lost'; readonly atMs: number; readonly random: number; readonly isRefusal?: boolean }
  | { readonly type: 'retry' }
  /** Another one has a better right to this connection: not before `ms`. */
  | { readonly type: 'hold'; readonly ms: number }
  | { readonly type: 'stop' };

export type LinkEffect =
  | { readonly type: 'dial' | 'subscribe' | 'go-online' | 'go-offline' | 'hang-up' }
  | { readonly type: 'wait'; readonly ms: number };

export interface BackoffLimits {
  readonly firstMs: number;
  /** Where nothing says no: whatever was away is found again as long as this after it is back. */
  readonly longestMs: number;
  /** Where the broker refuses the login or the subscriptions: somebody has to do something there first. */
  readonly longestRefusedMs: number;
  /** A connection that lasted this long was a good one: the next failure counts as the first. */
  readonly stableMs: number;
}

export const DEFAULT_BACKOFF: BackoffLimits = {
  firstMs: 500,
  longestMs: 3_000,
  longestRefusedMs: 30_000,
  stableMs: 10_000,
};

/**
 * Half of the doubled delay for certain, the other half at random: a fleet whose broker restarts spreads out, and nobody spins.
 * @param failures consecutive ones, 1 for the first.
 */
export function reconnectDelayMs(failures: number, random: number, limits: BackoffLimits, isRefusal: boolean): number {
  const longestMs = isRefusal ? limits.longestRefusedMs : limits.longestMs;
  const ceiling = Math.min(longestMs, limits.firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(ceiling / 2 + (random * ceiling) / 2);
}

export function nextLinkState(
  state: LinkState,
  event: LinkEvent,
  limits: BackoffLimits,
): { readonly state: LinkState; readonly effects: readonly LinkEffect[] } {
  const unchanged = { state, effects: [] };
  switch (event.type) {
    case 'start':
      if (state.phase !== 'stopped') return unchanged;
      return { state: { phase: 'dialling', failures: 0 }, effects: [{ type: 'dial' }] };
    case 'connected':
      if (state.phase !== 'dialling') return unchanged;
      return { state: { phase: 'subscribing', failures: state.failures }, effects: [{ type: 'subscribe' }] };
    case 'subscribed':
      if (state.phase !== 'subscribing') return unchanged;
      return {
        state: { phase: 'online', failures: state.failures, sinceMs: event.atMs },
        effects: [{ type: 'go-online' }],
      };
    case 'lost': {
      if (state.phase === 'stopped' || state.phase === 'waiting') return unchanged;
      const wasStable = state.phase === 'online' && event.atMs - state.sinceMs >= limits.stableMs;
      const failures = wasStable ? 1 : state.failures + 1;
      const offline: LinkEffect[] = state.phase === 'online' ? [{ type: 'go-offline' }] : [];
      const wait: LinkEffect = {
        type: 'wait',
        ms: reconnectDelayMs(failures, event.random, limits, event.isRefusal === true),
      };
      return { state: { phase: 'waiting', failures }, effects: [{ type: 'hang-up' }, ...offline, wait] };
    }
    case 'hold': {
      if (state.phase === 'stopped') return unchanged;
      const offline: LinkEffect[] = state.phase === 'online' ? [{ type: 'go-offline' }] : [];
      return {
        state: { phase: 'waiting', failures: 0 },
        effects: [{ type: 'hang-up' }, ...offline, { type: 'wait', ms: event.ms }],
      };
    }
    case 'retry':
      if (state.phase !== 'waiting') return unchanged;
      return { state: { phase: 'dialling', failures: state.failures }, effects: [{ type: 'dial' }] };
    case 'stop': {
      if (state.phase === 'stopped') return unchanged;
      const offline: LinkEffect[] = state.phase === 'online' ? [{ type: 'go-offline' }] : [];
      return { state: { phase: 'stopped' }, effects: [{ type: 'hang-up' }, ...offline] };
    }
  }
}
