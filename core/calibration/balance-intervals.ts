import type { Row } from '../scada/sample.js';
import { type Balance, HOURS_PER_WEEK } from './profile.js';

const HOUR_MS = 3_600_000;
/** Rows further apart than this many intervals have nothing between them. */
const LARGEST_STEP = 1.5;
/** A flow runs where it is above this share of its largest value. */
const RUNNING_SHARE = 0.02;
/** Variance of an instant that is even over an interval, as a share of the interval squared. */
const EVEN_VARIANCE = 1 / 12;

/** One balance between two rows that follow each other. */
export interface Interval {
  readonly middleMs: number;
  readonly hourOfWeek: number;
  readonly value: number;
  /** Variance from not knowing when within the interval a flow was switched; 0 where none was. */
  readonly switchVariance: number;
}

/** Every interval between normal rows in which all tags of the balance are known. */
export function intervalsOf(
  balance: Balance,
  rows: readonly Row[],
  tagIndex: ReadonlyMap<string, number>,
  intervalMs: number,
  originMs: number,
): Interval[] {
  const flows = balance.flows.map(({ tag, coefficient }) => ({ column: tagIndex.get(tag)!, coefficient }));
  const storages = balance.storages.map(({ tag, coefficient }) => ({ column: tagIndex.get(tag)!, coefficient }));
  const running = flows.map(({ column }) => {
    let largest = 0;
    for (const { values } of rows)
      if (Number.isFinite(values[column])) largest = Math.max(largest, Math.abs(values[column]!));
    return RUNNING_SHARE * largest;
  });
  const intervals: Interval[] = [];
  for (let i = 1; i < rows.length; i++) {
    const [before, after] = [rows[i - 1]!, rows[i]!];
    const stepMs = after.timeMs - before.timeMs;
    if (!(stepMs > 0 && stepMs <= LARGEST_STEP * intervalMs)) continue;
    let value = 0;
    let switchVariance = 0;
    for (const [f, { column, coefficient }] of flows.entries()) {
      const [from, to] = [before.values[column]!, after.values[column]!];
      value += (coefficient * (from + to)) / 2;
      if (Math.abs(from) > running[f]! !== Math.abs(to) > running[f]!)
        switchVariance += EVEN_VARIANCE * (coefficient * (to - from)) ** 2;
    }
    for (const { column, coefficient } of storages)
      value += (coefficient * (after.values[column]! - before.values[column]!)) / (stepMs / 1_000);
    if (!Number.isFinite(value)) continue;
    const middleMs = (before.timeMs + after.timeMs) / 2;
    intervals.push({ middleMs, hourOfWeek: hourOfWeek(middleMs, originMs), value, switchVariance });
  }
  return intervals;
}

function hourOfWeek(timeMs: number, originMs: number): number {
  const hour = Math.floor((timeMs - originMs) / HOUR_MS) % HOURS_PER_WEEK;
  return hour < 0 ? hour + HOURS_PER_WEEK : hour;
}
