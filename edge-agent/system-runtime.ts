import { setTimeout as sleepMs } from 'node:timers/promises';
import type { Clock, Timers } from '@twinwatch/core/runtime';

/** The machine's clocks. Made in main.ts and handed down. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

export const systemTimers: Timers = {
  async sleep(_name, ms, signal) {
    await sleepMs(ms, undefined, signal === undefined ? {} : { signal });
  },
  after(_name, ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
