import type { Logger, Timers } from '@twinwatch/core/runtime';
import type { ArrivedUpdate } from './aggregator/round-runner.js';

/** Agents that were asked at once answer at nearly one time. */
const GATHER_MS = 4;

export interface UpdateInboxOptions {
  readonly timers: Timers;
  readonly log: Logger;
  readonly take: (arrived: readonly ArrivedUpdate[]) => void;
}

/** Updates that came within a moment are written together: a disk takes one transaction as fast as twenty. */
export class UpdateInbox {
  readonly #options: UpdateInboxOptions;
  readonly #arrived: ArrivedUpdate[] = [];

  constructor(options: UpdateInboxOptions) {
    this.#options = options;
  }

  add(arrived: ArrivedUpdate): void {
    this.#arrived.push(arrived);
    if (this.#arrived.length > 1) return;
    this.#options.timers.after('updates', GATHER_MS, () => this.take());
  }

  /** Whatever waits, now. */
  take(): void {
    const arrived = this.#arrived.splice(0);
    if (arrived.length === 0) return;
    try {
      this.#options.take(arrived);
    } catch (error) {
      this.#options.log.warn({ updates: arrived.length, reason: String(error) }, 'updates are taken one by one');
      // One of them may be the reason, and must not hold up the others.
      for (const one of arrived) this.#takeAlone(one);
    }
  }

  #takeAlone(one: ArrivedUpdate): void {
    try {
      this.#options.take([one]);
    } catch (error) {
      const { agent, update } = one;
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log.warn(
        { agent, round: update.round, reason },
        `an update of agent ${agent} was not taken; it will come again`,
      );
    }
  }
}
