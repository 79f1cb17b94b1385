import type { serverConfig } from '@twinwatch/core/config/server';
import type { z } from 'zod';

type ServerFile = z.input<typeof serverConfig>;

/** How detectors of the reference plant are learned: one set of choices for the demonstration and the catalogue run. */

export const TWIN = { seed: 1, episodes: 60, days: 7 } as const;

export const DETECTOR = {
  features: [
    { type: 'raw', tag: '*' },
    { type: 'delta', tag: 'L_*', rows: 1 },
    { type: 'delta', tag: 'L_*', rows: 4 },
    { type: 'rollingMean', tag: '*', rows: 8 },
    { type: 'hourOfDay', harmonics: 2 },
    {
      type: 'residual',
      tag: 'L_*',
      of: 'change',
      from: ['F_*', 'L_*'],
      rowsAgo: [0, 1],
      harmonics: 2,
      windows: [1, 4],
    },
    { type: 'residual', tag: 'P_*', from: ['F_*', 'S_*', 'L_*'], squares: ['F_*'], windows: [1, 4] },
    { type: 'residual', tag: 'F_*', from: ['S_*', 'L_*'], harmonics: 2, windows: [1, 4] },
    { type: 'rule', windows: [1, 8] },
  ],
  hidden: [48, 24],
  members: 1,
  alarm: { onDelayRows: 2, offDelayRows: 4, hysteresis: 0.1 },
} satisfies ServerFile['detector'];

/** Plant time that every site is read as fast as it answers, before anything is learned: ten days. */
export const COMMISSIONING_HOURS = 240;

/** Seeds of the plants, none of them the twin's: every site differs from it in demands, roughness and noise. */
export const siteSeed = (index: number): number => 101 + index;

/** Rounds beside their number and method. */
export const ROUNDS = { learningRate: 0.003, exchangeRows: 4_000 } as const;
