import type { serverConfig } from '@twinwatch/core/config/server';
import type { PlantTag } from '@twinwatch/twin-server/twin/plant-config';
import type { z } from 'zod';

type ServerFile = z.input<typeof serverConfig>;
export type TrialDetector = NonNullable<ServerFile['detector']>;
type FeatureShorthand = NonNullable<TrialDetector['features']>[number];

/**
 * How the detector of a field trial is learned. A run reads no label of its feed before the report. Where each choice comes from is
 * said beside it; BATADAL's dataset04 was looked at, labels included, while the amount of twin rows and an earlier version of the alarm settings
 * were tried, so that S on it is a development figure.
 */

/** Rows that the twin simulates, whatever their interval, in episodes of two weeks. */
const TWIN_ROWS = 100_800;
const EPISODE_DAYS = 14;
const DAY_MS = 86_400_000;

/** `episodes` null for as many as make up the usual number of rows. */
export function twinOf(
  intervalMs: number,
  episodes: number | null,
): { episodes: number; days: number; attackShare: number } {
  const usual = Math.round((TWIN_ROWS * intervalMs) / (EPISODE_DAYS * DAY_MS));
  return { episodes: episodes ?? Math.max(8, usual), days: EPISODE_DAYS, attackShare: 0.7 };
}

/** The product's promise, at most one false alarm in two weeks of normal running, bounds the share of normal rows above the threshold. */
const FALSE_ALARM_MS = 14 * DAY_MS;

/**
 * Features by what tags measure, whatever they are called: values, changes and means; what a linear expectation leaves unexplained of a level's change (the
 * tank's mass balance), of a pressure (pump curves and losses), of a flow (command against state); and how far the PLCs' own rules are broken.
 *
 * Features, windows, scaling and alarm settings were compared on simulated plants that are not the twin: C-Town with other pump curves (±3 %), pipe roughness (±6 %)
 * and demands, a year of normal rows of each to scale by, attacks of other seeds to judge on. Longer windows lost there: they remember an attack that is over.
 */
export function trialDetector(tags: readonly PlantTag[], intervalMs: number): TrialDetector {
  const named = (measures: PlantTag['measures']) =>
    tags.filter((tag) => tag.measures === measures).map(({ name }) => name);
  const [levels, pressures, flows, states] = [named('level'), named('pressure'), named('flow'), named('status')];
  const windows = [1, 3];
  const balance = { from: [...flows, ...levels], rowsAgo: [0, 1] };
  const curve = { from: [...flows, ...states, ...levels] };
  const each = (names: readonly string[], feature: (tag: string) => FeatureShorthand) => names.map(feature);
  return {
    features: [
      { type: 'raw', tag: '*' },
      ...each(levels, (tag) => ({ type: 'delta', tag, rows: 1 })),
      ...each(levels, (tag) => ({ type: 'lag', tag, rows: 1 })),
      { type: 'rollingMean', tag: '*', rows: 6 },
      { type: 'hourOfDay', harmonics: 2 },
      ...each(levels, (tag) => ({ type: 'residual', tag, of: 'change', ...balance, harmonics: 2, windows })),
      ...each(pressures, (tag) => ({ type: 'residual', tag, ...curve, squares: flows, windows })),
      ...each(flows, (tag) => ({ type: 'residual', tag, from: [...states, ...levels], harmonics: 2, windows })),
      { type: 'rule', windows: [1, 6] },
    ],
    hidden: [64, 32],
    members: 3,
    alarm: { onDelayRows: 1, offDelayRows: 4, hysteresis: 0.5 },
    maximumFalseRate: intervalMs / FALSE_ALARM_MS,
  };
}

export const ROUNDS = {
  method: 'cwa',
  learningRate: 0.002,
  batchSize: 64,
  epochs: 2,
  twinEpochs: 2,
  exchangeRows: 6_000,
} satisfies ServerFile['rounds'];
