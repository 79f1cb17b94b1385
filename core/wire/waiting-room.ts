import type { TwinwatchError } from '../errors.js';

/** Those who wait for one event, each for as long as its own signal allows. */
export class WaitingRoom {
  readonly #waiters = new Set<(error: unknown) => void>();

  /** Rejects with what `release` is told, or with the signal's reason. */
  wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error: unknown) => {
        this.#waiters.delete(settle);
        signal?.removeEventListener('abort', onAbort);
        if (error === null) resolve();
        else reject(error);
      };
      const onAbort = () => settle(signal?.reason);
      this.#waiters.add(settle);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** All who wait now; with null the event has come. */
  release(error: TwinwatchError | null): void {
    for (const settle of [...this.#waiters]) settle(error);
  }
}
