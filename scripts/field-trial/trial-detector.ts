import type { serverConfig } from '@twinwatch/core/config/server';
import type { z } from 'zod';

type ServerFile = z.input<typeof serverConfig>;

/** How the detector of a field trial is learned. Chosen without the labels of any feed. */

export const TWIN = { episodes: 100, days: 14, attackShare: 0.7 } as const;

export const DETECTOR = {
  features: [
    { type: 'raw', tag: '*' },
    { type: 'delta', tag: 'L_*', rows: 1 },
    { type: 'lag', tag: 'L_*', rows: 1 },
    { type: 'rollingMean', tag: '*', rows: 6 },
    { type: 'hourOfDay', harmonics: 2 },
  ],
  hidden: [64, 32],
  members: 3,
  alarm: { onDelayRows: 1, offDelayRows: 8, hysteresis: 0.3 },
  maximumFalseRate: 0.02,
} satisfies ServerFile['detector'];

export const ROUNDS = {
  method: 'cwa',
  learningRate: 0.002,
  batchSize: 64,
  epochs: 2,
  twinEpochs: 2,
  exchangeRows: 6_000,
} satisfies ServerFile['rounds'];
