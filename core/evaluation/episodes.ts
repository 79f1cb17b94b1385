import { TwinwatchError } from '../errors.js';

/** Rows [start, end) of one attack or one alarm. */
export type Episode = readonly [start: number, end: number];

const DAY_MS = 86_400_000;

/** Longest runs of rows that are 1 or true. */
export function episodesOf(flags: ArrayLike<number | boolean>): Episode[] {
  const episodes: Episode[] = [];
  let start = -1;
  for (let row = 0; row <= flags.length; row++) {
    const isSet = row < flags.length && Boolean(flags[row]);
    if (isSet && start < 0) start = row;
    if (!isSet && start >= 0) {
      episodes.push([start, row]);
      start = -1;
    }
  }
  return episodes;
}

/**
 * Alarms that touch no attack, per day of normal rows; NaN without normal rows. An alarm that begins before an attack and
 * lasts into it counts as a detection here; row-wise rates count its early rows as false.
 */
export function falseAlarmEpisodesPerDay(request: {
  readonly alarms: ArrayLike<boolean | number>;
  readonly labels: ArrayLike<number>;
  readonly intervalMs: number;
}): number {
  const { alarms, labels, intervalMs } = request;
  if (alarms.length !== labels.length) {
    throw new TwinwatchError('EVALUATION_SHAPE', `${alarms.length} alarm flags come with ${labels.length} labels`);
  }
  const normals = labels.length - episodesOf(labels).reduce((rows, [start, end]) => rows + end - start, 0);
  const untouched = episodesOf(alarms).filter(([start, end]) => {
    for (let row = start; row < end; row++) if (labels[row]) return false;
    return true;
  });
  return untouched.length / ((normals * intervalMs) / DAY_MS);
}
