import { TwinwatchError } from '@twinwatch/core/errors';
import type { Timers } from '@twinwatch/core/runtime';

const LOOK_EVERY_MS = 50;

/** Waits for things to become true, until something fails for good. */
export class Waiting {
  readonly #timers: Timers;
  readonly #signal: AbortSignal;
  #failure: TwinwatchError | null = null;

  constructor(timers: Timers, signal: AbortSignal) {
    this.#timers = timers;
    this.#signal = signal;
  }

  /** Whoever waits now or later gets this error. */
  fail(error: TwinwatchError): void {
    this.#failure ??= error;
  }

  /** @throws TwinwatchError TRIAL_FAILED after `limitMs`; what `fail` was given. */
  async until(what: string, isTrue: () => boolean, limitMs: number): Promise<void> {
    for (let waitedMs = 0; !isTrue(); waitedMs += LOOK_EVERY_MS) {
      if (this.#failure !== null) throw this.#failure;
      if (waitedMs > limitMs)
        throw new TwinwatchError(
          'TRIAL_FAILED',
          `waited ${limitMs / 1000} s for ${what}; the logs below --out say more`,
        );
      await this.#timers.sleep(what, LOOK_EVERY_MS, this.#signal);
    }
    if (this.#failure !== null) throw this.#failure;
  }
}
