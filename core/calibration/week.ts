import { HOURS_PER_WEEK } from './profile.js';

/** A week as straight lines between the middles of its hours: how demands are drawn, and how they are read. */

/** [168] values at the middles of the hours whose straight lines have the given means over the hours, to first order. */
export function sharpened(means: readonly number[]): number[] {
  const at = (i: number) => means[(i + HOURS_PER_WEEK) % HOURS_PER_WEEK]!;
  return means.map((mean, i) => Math.max(0, mean + (2 * mean - at(i - 1) - at(i + 1)) / 8));
}

/** @param hour hours since the week's start; whole weeks more or less make no difference. */
function weekAt(values: readonly number[], hour: number): number {
  const position = hour - 0.5;
  const before = Math.floor(position);
  const at = (i: number) => values[((i % HOURS_PER_WEEK) + HOURS_PER_WEEK) % HOURS_PER_WEEK]!;
  return at(before) + (at(before + 1) - at(before)) * (position - before);
}

/** Mean over an interval of at most an hour. */
export function weekMean(values: readonly number[], fromHour: number, toHour: number): number {
  const middle = weekAt(values, (fromHour + toHour) / 2);
  return (weekAt(values, fromHour) + 2 * middle + weekAt(values, toHour)) / 4;
}
