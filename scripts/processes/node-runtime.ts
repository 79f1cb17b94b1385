import { setTimeout as delay } from 'node:timers/promises';
import type { Clock, Timers } from '@twinwatch/core/runtime';

/** The real clock and timers, for whatever is started from this folder. */

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

export const systemTimers: Timers = {
  async sleep(_name, ms, signal) {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  },
  after(_name, ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
