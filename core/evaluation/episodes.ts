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

interface AlarmedRows {
  /** [rows], true or 1 where an alarm is on. */
  readonly alarms: ArrayLike<boolean | number>;
  /** [rows], 1 under attack. */
  readonly labels: ArrayLike<number>;
}

/** Time to detection of one attack. */
export interface Detection {
  readonly episode: Episode;
  /** Rows from its start to the first alarm within it, 0 where one was on already; null where it was missed. */
  readonly delayRows: number | null;
}

/** What became of each attack, in order of time. @throws TwinwatchError EVALUATION_SHAPE. */
export function detections({ alarms, labels }: AlarmedRows): Detection[] {
  requireSameLength(alarms, labels);
  return episodesOf(labels).map((episode) => {
    const [start, end] = episode;
    let row = start;
    while (row < end && !alarms[row]) row++;
    return { episode, delayRows: row < end ? row - start : null };
  });
}

/** Share of the attacks during which an alarm was on at all; NaN without attacks. @throws TwinwatchError EVALUATION_SHAPE. */
export function episodeRecall(rows: AlarmedRows): number {
  const found = detections(rows);
  return found.filter(({ delayRows }) => delayRows !== null).length / found.length;
}

/** Share of the alarms that touch an attack, each alarm counting once however long it is; NaN without alarms. @throws TwinwatchError EVALUATION_SHAPE. */
export function episodePrecision({ alarms, labels }: AlarmedRows): number {
  const raised = episodesOf(alarms);
  return (raised.length - untouched({ alarms, labels }).length) / raised.length;
}

/**
 * Alarms that touch no attack, per day of normal rows; NaN without normal rows. An alarm that begins before an attack and
 * lasts into it counts as a detection here; row-wise rates count its early rows as false.
 * @throws TwinwatchError EVALUATION_SHAPE.
 */
export function falseAlarmEpisodesPerDay(request: AlarmedRows & { readonly intervalMs: number }): number {
  const { labels, intervalMs } = request;
  const normals = labels.length - episodesOf(labels).reduce((rows, [start, end]) => rows + end - start, 0);
  return untouched(request).length / ((normals * intervalMs) / DAY_MS);
}

function untouched({ alarms, labels }: AlarmedRows): Episode[] {
  requireSameLength(alarms, labels);
  return episodesOf(alarms).filter(([start, end]) => {
    for (let row = start; row < end; row++) if (labels[row]) return false;
    return true;
  });
}

function requireSameLength(alarms: ArrayLike<unknown>, labels: ArrayLike<unknown>): void {
  if (alarms.length === labels.length) return;
  throw new TwinwatchError('EVALUATION_SHAPE', `${alarms.length} alarm flags come with ${labels.length} labels`);
}
