import type { Autocovariance, SiteProfile } from '@twinwatch/core/calibration/profile';
import { HOLDS_BELOW_HOURS } from './demand-model.js';
import type { NetworkBalances } from './network-balances.js';

const HOUR_MS = 3_600_000;
const LARGEST_NOISE = 0.5;
const [SHORTEST_MEMORY_HOURS, LONGEST_MEMORY_HOURS] = [0.25, 12];
const BISECTIONS = 40;

export interface DemandNoise {
  readonly dayNoise: number;
  readonly hourNoise: number;
  readonly hourCorrelationMs: number;
  readonly shared: number;
}

/** The demand model's noise that has the deviations' covariances, averaged over the balances. */
export function noiseOf(network: NetworkBalances, profile: SiteProfile, intervalHours: number): DemandNoise {
  const mean = (of: (found: Autocovariance) => number) =>
    average(profile.balances.map(({ autocovariance }) => of(autocovariance)));
  const found = {
    same: mean(({ same }) => same),
    nextInterval: mean(({ nextInterval }) => nextInterval),
    twoHours: mean(({ twoHours }) => twoHours),
    halfDay: mean(({ halfDay }) => halfDay),
  };
  // Half a day later only the noise from day to day is left.
  const dayVariance = Math.max(0, found.halfDay) / dayCovariance(12);
  const beyondDay = Math.max(0, found.twoHours - dayVariance * dayCovariance(2));
  const hourVarianceWith = (sensor: number) => Math.max(0, found.same - 2 * sensor - dayVariance * dayCovariance(0));
  const memoryWith = (sensor: number) => memoryOf(hourVarianceWith(sensor), beyondDay);
  // A level that is read too high adds to one interval what it takes from the next: that tells noise of sensors from noise of demand.
  const left = (sensor: number) =>
    hourVarianceWith(sensor) * Math.exp(-intervalHours / memoryWith(sensor)) +
    dayVariance * dayCovariance(intervalHours) -
    found.nextInterval -
    sensor;
  let [low, high] = [0, Math.max(0, found.same) / 2];
  if (left(0) <= 0) high = 0;
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (low + high) / 2;
    if (left(middle) > 0) low = middle;
    else high = middle;
  }
  const memoryHours = memoryWith(low);
  return {
    dayNoise: rounded(Math.sqrt(dayVariance)),
    hourNoise: rounded(Math.sqrt(hourVarianceWith(low) / seenShare(memoryHours, intervalHours))),
    hourCorrelationMs: Math.round(memoryHours * 60) * (HOUR_MS / 60),
    shared: sharedBy(network, profile),
  };
}

/** Covariance, averaged over the day, of values of variance 1 at the start of each day with straight lines between them: a cubic B-spline. */
function dayCovariance(lagHours: number): number {
  const days = lagHours / 24;
  return 2 / 3 - days ** 2 + days ** 3 / 2;
}

function memoryOf(variance: number, twoHoursLater: number): number {
  if (!(twoHoursLater > 0) || variance <= 0) return SHORTEST_MEMORY_HOURS;
  if (twoHoursLater >= variance) return LONGEST_MEMORY_HOURS;
  return Math.min(LONGEST_MEMORY_HOURS, Math.max(SHORTEST_MEMORY_HOURS, 2 / Math.log(variance / twoHoursLater)));
}

/** Of the variance that the demand model's hourly values have, how much an interval's mean has: straight lines between them take some. */
function seenShare(memoryHours: number, intervalHours: number): number {
  if (memoryHours < HOLDS_BELOW_HOURS) return 1;
  const next = Math.exp(-1 / memoryHours);
  const [ofInstants, ofHours] = [(2 + next) / 3, (1 + next) / 2];
  return ofInstants + (ofHours - ofInstants) * intervalHours;
}

/** Covariance between parts of the network that have no district in common, as a share of their own. */
function sharedBy({ shares }: NetworkBalances, { dayCovariance }: SiteProfile): number {
  const count = shares.length;
  const own = average(shares.map((_, b) => dayCovariance[b * count + b]!));
  const between = shares.flatMap((first, a) =>
    shares.flatMap((second, b) =>
      first.some((share, d) => share > 0 && second[d]! > 0) ? [] : [dayCovariance[a * count + b]!],
    ),
  );
  if (between.length === 0 || !(own > 0)) return 0;
  return Number(Math.min(1, Math.max(0, average(between) / own)).toFixed(2));
}

function average(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

const rounded = (value: number) => Number(Math.min(LARGEST_NOISE, value).toFixed(4));
