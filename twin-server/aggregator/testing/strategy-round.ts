import { roundsConfig } from '@twinwatch/core/config/server';
import { layers } from '@twinwatch/core/learning/network';
import type { CollectedRound } from '../strategies/strategy.js';

/** Two networks of 3 → 2 → 1, 11 parameters each. */
export const ARCHITECTURE = { inputs: 3, hidden: [2], members: 2 };

/** sin(s · 1), sin(s · 2), …: what numpy was given for the golden numbers. [22] */
export function sines(s: number): Float32Array {
  return Float32Array.from({ length: 22 }, (_, i) => Math.sin(s * (i + 1)));
}

/** Of three clients with 100, 200 and 300 rows. */
export function strategyRound(t: number, rounds: object = {}, change: Partial<CollectedRound> = {}): CollectedRound {
  return {
    ...{ t, config: roundsConfig.parse(rounds), layers: layers(ARCHITECTURE) },
    ...{ global: sines(0.2), twin: sines(0.7) },
    clients: [0.3, 1.1, 2.3].map((s, k) => ({ agent: `site-${k}`, parameters: sines(s), rows: 100 * (k + 1) })),
    ...change,
  };
}

/** For strategies that ask the server for nothing. */
export function noAnswer(): Promise<never> {
  return Promise.reject(new Error('nothing is to be asked'));
}
