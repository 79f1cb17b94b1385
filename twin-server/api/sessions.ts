import { createHash, randomBytes } from 'node:crypto';

/** An operator, as a request shows them. */
export interface Operator {
  readonly name: string;
  readonly role: 'viewer' | 'operator';
}

interface Session {
  readonly operator: Operator;
  readonly openedMs: number;
  lastMs: number;
}

/** All of them; the one that was quiet longest makes room. */
const MAXIMUM_SESSIONS = 1_000;
const TOKEN_BYTES = 32;

/**
 * Who is logged in. Only in memory: after a restart everybody logs in again. A token is 256 random bits and kept as its hash, so that looking it
 * up tells nothing by the time it takes. Times are monotonic.
 */
export class Sessions {
  readonly #idleMs: number;
  readonly #longestMs: number;
  /** In the order of their last request. */
  readonly #sessions = new Map<string, Session>();

  /** @param longestMs even of a session that is never quiet: a cookie that was taken does not count for ever. */
  constructor(idleMs: number, longestMs: number) {
    this.#idleMs = idleMs;
    this.#longestMs = longestMs;
  }

  /** @returns the token. */
  open(operator: Operator, nowMs: number): string {
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    this.#sessions.set(keyOf(token), { operator, openedMs: nowMs, lastMs: nowMs });
    const [quietest] = this.#sessions.keys();
    if (this.#sessions.size > MAXIMUM_SESSIONS && quietest !== undefined) this.#sessions.delete(quietest);
    return token;
  }

  /** Null where the token is none, was not used for too long, or was given out too long ago. */
  operator(token: string, nowMs: number): Operator | null {
    const key = keyOf(token);
    const session = this.#sessions.get(key);
    if (session === undefined) return null;
    this.#sessions.delete(key);
    if (nowMs - session.lastMs > this.#idleMs || nowMs - session.openedMs > this.#longestMs) return null;
    session.lastMs = nowMs;
    this.#sessions.set(key, session);
    return session.operator;
  }

  close(token: string): void {
    this.#sessions.delete(keyOf(token));
  }
}

function keyOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
