import { TwinwatchError } from '../errors.js';
import type { Row } from '../scada/sample.js';
import type { Tag } from '../scada/tag.js';
import { type Interval, intervalsOf } from './balance-intervals.js';
import {
  type Autocovariance,
  type BalanceProfile,
  HOURS_PER_DAY,
  HOURS_PER_WEEK,
  type ProfileRequest,
  type SiteProfile,
  type TagProfile,
} from './profile.js';
import { sharpened, weekMean } from './week.js';
import { yearAngle } from './year.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A season is only told from rows that span most of a year. */
const SEASON_DAYS = 300;
/** A day counts when it has this share of its intervals. */
const WHOLE_DAY = 0.8;
/** With fewer pairs of intervals a covariance is noise. */
const FEWEST_PAIRS = 168;

/**
 * @param rows normal rows in the order of time, [tags] values each.
 * @throws TwinwatchError CALIBRATION_MISMATCH where a balance is of tags that are not among `tags`.
 */
export function siteProfile(
  rows: readonly Row[],
  tags: readonly Tag[],
  intervalMs: number,
  request: ProfileRequest,
): SiteProfile {
  const index = new Map(tags.map(({ name }, i) => [name, i]));
  const wanted = request.balances.flatMap(({ flows, storages }) => [...flows, ...storages].map(({ tag }) => tag));
  const missing = [...new Set(wanted)].filter((tag) => !index.has(tag));
  if (missing.length > 0)
    throw new TwinwatchError(
      'CALIBRATION_MISMATCH',
      `balances are asked for of tags that are not here: ${missing.join(', ')}`,
    );
  const balances = request.balances.map((balance) => {
    const intervals = intervalsOf(balance, rows, index, intervalMs, request.originMs);
    const week = weekOf(intervals);
    return { name: balance.name, intervals, week, days: daysOf(intervals, week.hours, intervalMs) };
  });
  const seasons = balances.map(({ days }) => seasonOf(days));
  const { covariance, days } = dayCovariance(
    balances.map(({ days }, b) => days.map((day) => ({ ...day, log: day.log - seasonAt(seasons[b]!, day.startMs) }))),
  );
  return {
    tags: tags.map(({ name }, i) => tagProfile(name, i, rows, intervalMs)),
    balances: balances.map(({ name, intervals, week }, b): BalanceProfile => {
      const autocovariance = autocovarianceOf(intervals, week.hours, seasons[b]!, intervalMs, request.originMs);
      return { name, ...week, autocovariance, season: seasons[b]! };
    }),
    days,
    dayCovariance: covariance,
  };
}

function tagProfile(tag: string, column: number, rows: readonly Row[], intervalMs: number): TagProfile {
  const sums = new Float64Array(HOURS_PER_DAY);
  const counts = new Float64Array(HOURS_PER_DAY);
  let [known, on, starts] = [0, 0, 0];
  let before = Number.NaN;
  for (const { timeMs, values } of rows) {
    const value = values[column]!;
    if (Number.isFinite(value)) {
      const hour = Math.floor((timeMs % DAY_MS) / HOUR_MS);
      sums[hour]! += value;
      counts[hour]!++;
      known++;
      if (value !== 0) on++;
      if (value !== 0 && before === 0) starts++;
    }
    before = value;
  }
  const days = (known * intervalMs) / DAY_MS;
  return {
    tag,
    hourly: Array.from(sums, (sum, hour) => (counts[hour]! > 0 ? sum / counts[hour]! : null)),
    dutyCycle: known > 0 ? on / known : 0,
    startsPerDay: days > 0 ? starts / days : 0,
  };
}

/** Weighted means by hour of the week, and the variance of an interval around them. */
function weekOf(intervals: readonly Interval[]): Pick<BalanceProfile, 'hours' | 'weights' | 'variance'> {
  const plain = weighted(intervals, () => 1);
  // In an interval of full weight the switches are known; how much those vary says how much a switched one is worth.
  const still = intervals.filter(({ switchVariance }) => switchVariance === 0);
  const own = spread(still.length >= HOURS_PER_WEEK ? still : intervals, plain.hours);
  const weigh = ({ switchVariance }: Interval) => (own > 0 ? own / (own + switchVariance) : 1);
  return { ...weighted(intervals, weigh), variance: own };
}

function weighted(intervals: readonly Interval[], weigh: (interval: Interval) => number) {
  const sums = new Float64Array(HOURS_PER_WEEK);
  const weights = new Float64Array(HOURS_PER_WEEK);
  for (const interval of intervals) {
    const weight = weigh(interval);
    sums[interval.hourOfWeek]! += weight * interval.value;
    weights[interval.hourOfWeek]! += weight;
  }
  return {
    hours: Array.from(sums, (sum, hour) => (weights[hour]! > 0 ? sum / weights[hour]! : 0)),
    weights: [...weights],
  };
}

function spread(intervals: readonly Interval[], hours: readonly number[]): number {
  if (intervals.length === 0) return 0;
  const sum = intervals.reduce((total, { value, hourOfWeek }) => total + (value - hours[hourOfWeek]!) ** 2, 0);
  return sum / intervals.length;
}

interface Day {
  readonly startMs: number;
  /** Logarithm of the day's sum over that of its hours' means. */
  readonly log: number;
  /** Variance of `log` from not knowing when flows were switched. */
  readonly errorVariance: number;
}

function daysOf(intervals: readonly Interval[], hours: readonly number[], intervalMs: number): Day[] {
  const byDay = new Map<number, Interval[]>();
  for (const interval of intervals) {
    const day = Math.floor(interval.middleMs / DAY_MS);
    const known = byDay.get(day);
    if (known === undefined) byDay.set(day, [interval]);
    else known.push(interval);
  }
  const enough = (WHOLE_DAY * DAY_MS) / intervalMs;
  return [...byDay].flatMap(([day, inside]): Day[] => {
    const sum = inside.reduce((total, { value }) => total + value, 0);
    const expected = inside.reduce((total, { hourOfWeek }) => total + hours[hourOfWeek]!, 0);
    if (inside.length < enough || !(sum > 0) || !(expected > 0)) return [];
    const error = inside.reduce((total, { switchVariance }) => total + switchVariance, 0);
    return [{ startMs: day * DAY_MS, log: Math.log(sum / expected), errorVariance: error / expected ** 2 }];
  });
}

function seasonOf(days: readonly Day[]): { cos: number; sin: number } | null {
  if (days.length < SEASON_DAYS) return null;
  const mean = days.reduce((sum, { log }) => sum + log, 0) / days.length;
  const amplitude = (wave: (angle: number) => number) =>
    (2 * days.reduce((sum, { log, startMs }) => sum + (log - mean) * wave(yearAngle(startMs)), 0)) / days.length;
  return { cos: amplitude(Math.cos), sin: amplitude(Math.sin) };
}

function seasonAt(season: { cos: number; sin: number } | null, timeMs: number): number {
  if (season === null) return 0;
  return season.cos * Math.cos(yearAngle(timeMs)) + season.sin * Math.sin(yearAngle(timeMs));
}

function dayCovariance(balances: readonly (readonly Day[])[]): { covariance: number[]; days: number } {
  const [first, ...others] = balances.map((days) => new Map(days.map((day) => [day.startMs, day])));
  const shared = [...(first?.keys() ?? [])].filter((day) => others.every((known) => known.has(day)));
  const columns = [first, ...others].map((known) => shared.map((day) => known!.get(day)!));
  const means = columns.map((days) => days.reduce((sum, { log }) => sum + log, 0) / shared.length);
  if (shared.length < 2) return { covariance: balances.flatMap(() => balances.map(() => 0)), days: shared.length };
  const covariance = columns.flatMap((a, i) =>
    columns.map((b, j) => {
      const sum = a.reduce((total, { log }, d) => total + (log - means[i]!) * (b[d]!.log - means[j]!), 0);
      const error = i === j ? a.reduce((total, day) => total + day.errorVariance, 0) : 0;
      const value = (sum - error) / (shared.length - 1);
      return i === j ? Math.max(0, value) : value;
    }),
  );
  return { covariance, days: shared.length };
}

function autocovarianceOf(
  intervals: readonly Interval[],
  hours: readonly number[],
  season: BalanceProfile['season'],
  intervalMs: number,
  originMs: number,
): Autocovariance {
  const lines = sharpened(hours);
  const deviations = new Map<number, number>();
  for (const { middleMs, value, switchVariance } of intervals) {
    // Within an hour demand may rise steeply: the hour's mean alone would take that for noise.
    const hour = (middleMs - originMs) / HOUR_MS;
    const half = intervalMs / 2 / HOUR_MS;
    const expected = weekMean(lines, hour - half, hour + half) * Math.exp(seasonAt(season, middleMs));
    if (switchVariance === 0 && expected > 0) deviations.set(middleMs, value / expected - 1);
  }
  const at = (wantedMs: number) => {
    const lagMs = Math.round(wantedMs / intervalMs) * intervalMs;
    let [sum, pairs] = [0, 0];
    for (const [middleMs, value] of deviations) {
      const later = deviations.get(middleMs + lagMs);
      if (later === undefined) continue;
      sum += value * later;
      pairs++;
    }
    return pairs >= FEWEST_PAIRS ? sum / pairs : 0;
  };
  return { same: at(0), nextInterval: at(intervalMs), twoHours: at(2 * HOUR_MS), halfDay: at(DAY_MS / 2) };
}
