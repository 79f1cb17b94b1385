import { type Episode, episodesOf } from './episodes.js';
import { checkLabelled } from './labels.js';

export interface Affiliation {
  /** 0 to 1; NaN where nothing was alarmed. */
  readonly precision: number;
  /** 0 to 1; NaN where there was no attack. */
  readonly recall: number;
  /** Harmonic mean; 0 where nothing was alarmed. */
  readonly f1: number;
}

/**
 * Affiliation precision, recall and F1 (Huet, Navarro, Rossi 2022, "Local evaluation of time series anomaly detection algorithms", sections 3 and 4;
 * doi 10.1145/3534678.3539339). Time is cut half-way between neighbouring attacks, one zone each. Within a zone, precision is the mean, over alarmed time,
 * of the chance that a moment drawn evenly from the zone would be at least as far from the attack; recall is the mean, over
 * the attack, of the chance that it would be at least as far from it as the nearest alarm is. Zones without alarms have recall 0 and no precision; both are
 * averaged over the zones. A row is the time [row, row + 1).
 *
 * To be read beside an alarm at random, which scores about 0.7, not 0: docs/metrics.md.
 * @throws TwinwatchError EVALUATION_SHAPE.
 */
export function affiliation(request: {
  readonly alarms: ArrayLike<boolean | number>;
  readonly labels: ArrayLike<number>;
}): Affiliation {
  const alarms = Uint8Array.from({ length: request.alarms.length }, (_, row) => (request.alarms[row] ? 1 : 0));
  checkLabelled({ scores: alarms, labels: request.labels });
  const attacks = episodesOf(request.labels);
  const alarmed = episodesOf(alarms);
  const zones = attacks.map((attack, i): Zone => {
    const before = attacks[i - 1];
    const after = attacks[i + 1];
    const from = before === undefined ? 0 : (before[1] + attack[0]) / 2;
    const to = after === undefined ? alarms.length : (attack[1] + after[0]) / 2;
    const within = alarmed.map(([start, end]): Episode => [Math.max(start, from), Math.min(end, to)]);
    return { from, to, attack, alarms: within.filter(([start, end]) => start < end) };
  });
  const precisions = zones.filter((zone) => zone.alarms.length > 0).map(zonePrecision);
  const precision = mean(precisions);
  const recall = mean(zones.map((zone) => (zone.alarms.length === 0 ? 0 : zoneRecall(zone))));
  return { precision, recall, f1: precisions.length === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
}

/** Times in rows; alarms cut to the zone, in their order, and apart from each other. */
interface Zone {
  readonly from: number;
  readonly to: number;
  readonly attack: Episode;
  readonly alarms: readonly Episode[];
}

function zonePrecision({ from, to, attack: [start, end], alarms }: Zone): number {
  // ∫ over distances d from `near` to `far` of the chance that a moment of the zone is at least d from the attack.
  const between = (near: number, far: number): number =>
    far <= near ? 0 : (fallingPart(start - from, near, far) + fallingPart(to - end, near, far)) / (to - from);
  let sum = 0;
  let length = 0;
  for (const [first, last] of alarms) {
    length += last - first;
    sum += Math.max(0, Math.min(last, end) - Math.max(first, start));
    sum += between(start - Math.min(last, start), start - first);
    sum += between(Math.max(first, end) - end, last - end);
  }
  return sum / length;
}

/** ∫ from d1 to d2 of max(0, reach − d). */
function fallingPart(reach: number, d1: number, d2: number): number {
  return (Math.max(0, reach - d1) ** 2 - Math.max(0, reach - d2) ** 2) / 2;
}

function zoneRecall({ from, to, attack: [start, end], alarms }: Zone): number {
  const length = to - from;
  let sum = 0;
  let reached = start;
  for (const [i, [first, last]] of alarms.entries()) {
    const before = alarms[i - 1]?.[1];
    // From here on this alarm is the nearest one; the time before belongs to the alarm before.
    const nearest = before === undefined ? start : (before + first) / 2;
    if (before !== undefined) sum += afterAlarm(before, reached, Math.min(nearest, end));
    sum += beforeAlarm(first, Math.max(nearest, start), Math.min(first, end));
    sum += Math.max(0, Math.min(last, end) - Math.max(first, start));
    reached = Math.max(last, start);
  }
  sum += afterAlarm(alarms.at(-1)![1], reached, end);
  return sum / (end - start);

  /** ∫ over moments y from y1 to y2, all before `alarm`, of the chance that a moment of the zone is at least alarm − y from y. */
  function beforeAlarm(alarm: number, y1: number, y2: number): number {
    if (y2 <= y1) return 0;
    const left = (Math.max(0, 2 * y2 - alarm - from) ** 2 - Math.max(0, 2 * y1 - alarm - from) ** 2) / 4;
    return (left + (to - alarm) * (y2 - y1)) / length;
  }

  /** The same for moments after an alarm that ended at `alarm`. */
  function afterAlarm(alarm: number, y1: number, y2: number): number {
    if (y2 <= y1) return 0;
    const right = (Math.max(0, to - 2 * y1 + alarm) ** 2 - Math.max(0, to - 2 * y2 + alarm) ** 2) / 4;
    return (right + (alarm - from) * (y2 - y1)) / length;
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
