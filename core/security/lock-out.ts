import { createHmac, randomBytes } from 'node:crypto';

export interface LockOutLimits {
  /** Wrong passwords before the first pause. */
  readonly freeAttempts: number;
  /** Milliseconds; doubles with every further one. */
  readonly firstPause: number;
  /** Milliseconds. */
  readonly longestPause: number;
}

/** Of addresses, names and pairs that are remembered, each; the ones that were quiet longest are forgotten first. */
const MAXIMUM_REMEMBERED = 10_000;

interface Failures {
  count: number;
  lastMs: number;
}

export interface Attempt {
  /** Of the peer. */
  readonly address: string;
  readonly username: string;
  readonly password: Buffer;
}

/**
 * Who guesses passwords has to wait: an address, and a user name, for longer with every wrong password. Nobody is kept out by the mistakes
 * or the malice of others: a name that has once come in from an address answers there for its own wrong passwords only; and the same
 * wrong password from the same place, which a wrongly configured device sends for ever, is no second guess and counts once.
 * Times are monotonic.
 */
export class LockOut {
  readonly #limits: LockOutLimits;
  readonly #key = randomBytes(32);
  readonly #failures = new Map<string, Failures>();
  /** Address and name → the last wrong password, keyed and hashed. */
  readonly #wrong = new Map<string, string>();
  readonly #welcome = new Map<string, true>();

  constructor(limits: LockOutLimits) {
    this.#limits = limits;
  }

  /** Whether the attempt is to be refused without a look at the password. */
  isLocked(attempt: Attempt, nowMs: number): boolean {
    return this.#answering(attempt).some((key) => {
      const failures = this.#failures.get(key);
      return failures !== undefined && nowMs < failures.lastMs + this.#pauseMs(failures.count);
    });
  }

  /** Whether this very password was refused last time: it need not be checked again. */
  isRepeated(attempt: Attempt): boolean {
    return this.#wrong.get(pairOf(attempt)) === this.#digest(attempt.password);
  }

  refused(attempt: Attempt, nowMs: number): void {
    if (this.isRepeated(attempt)) return;
    remember(this.#wrong, pairOf(attempt), this.#digest(attempt.password));
    for (const key of this.#answering(attempt)) {
      const before = this.#failures.get(key);
      const forgotten = before === undefined || nowMs > before.lastMs + 2 * this.#limits.longestPause;
      remember(this.#failures, key, { count: (forgotten ? 0 : before.count) + 1, lastMs: nowMs });
    }
  }

  /** The counts of address and name stay: an account of one's own must not help to guess another's password. */
  accepted(attempt: Attempt): void {
    const pair = pairOf(attempt);
    this.#failures.delete(pair);
    this.#wrong.delete(pair);
    remember(this.#welcome, pair, true);
  }

  #answering(attempt: Attempt): readonly string[] {
    const pair = pairOf(attempt);
    return this.#welcome.has(pair) ? [pair] : [`address ${attempt.address}`, `name ${attempt.username}`];
  }

  #pauseMs(count: number): number {
    const { freeAttempts, firstPause, longestPause } = this.#limits;
    return count < freeAttempts ? 0 : Math.min(longestPause, firstPause * 2 ** (count - freeAttempts));
  }

  #digest(password: Buffer): string {
    return createHmac('sha256', this.#key).update(password).digest('base64');
  }
}

function pairOf({ address, username }: Attempt): string {
  return `pair ${address} ${username}`;
}

/** A map keeps the order of insertion: its first is the one that was set longest ago. */
function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= MAXIMUM_REMEMBERED) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
