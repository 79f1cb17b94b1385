import type { BalanceProfile, SiteProfile } from '@twinwatch/core/calibration/profile';
import { sharpened } from '@twinwatch/core/calibration/week';
import { DAYS_A_YEAR } from '@twinwatch/core/calibration/year';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { PlantConfig } from '../plant-config.js';
import { noiseOf } from './fit-noise.js';
import { leastSquares } from './least-squares.js';
import type { NetworkBalances } from './network-balances.js';

const HOURS_PER_DAY = 24;
const HOURS_PER_WEEK = 168;
const HOUR_MS = 3_600_000;
/** How much the network file's own multipliers weigh against a balance: enough to decide only what no balance does. */
const PRIOR_WEIGHT = 1e-3;

/** Demands as measured: what plant.yaml's `demands:` file holds. */
export interface DemandFit {
  /** District → [168] multipliers, one an hour from the plant's start. Only districts that a balance sees. */
  readonly multipliers: Readonly<Record<string, readonly number[]>>;
  readonly dayNoise: number;
  readonly hourNoise: number;
  readonly hourCorrelationMs: number;
  readonly shared: number;
  /** Amplitude in the logarithm of demand and the day of the year of its peak, null where the rows do not tell. */
  readonly season: { readonly amplitude: number; readonly peakDay: number } | null;
}

/**
 * Multipliers of every district and the noise around them, from what the balances of one or more sites say.
 *
 * @param profile of the balances in `network`, in their order.
 * @throws TwinwatchError PLANT_DEMAND_UNSEEN where the network has no balance, CALIBRATION_MISMATCH where the profile is of others.
 */
export function fitDemands(config: PlantConfig, network: NetworkBalances, profile: SiteProfile): DemandFit {
  const intervalHours = config.interval / HOUR_MS;
  if (network.balances.length === 0)
    throw new TwinwatchError(
      'PLANT_DEMAND_UNSEEN',
      `plant ${config.name}: no part of ${config.network} has a measured water balance (${network.unseen.join('; ')}); add flow and level tags, or leave the demands as they are`,
    );
  const wanted = network.balances.map(({ name }) => name).join(', ');
  const found = profile.balances.map(({ name }) => name).join(', ');
  if (wanted !== found)
    throw new TwinwatchError(
      'CALIBRATION_MISMATCH',
      `the plant has balances ${wanted}; the profile is of ${found || 'none'}`,
    );
  const weeks = profile.balances.map(smoothedWeek);
  const solved = Array.from({ length: HOURS_PER_WEEK }, (_, hour) => multipliersAt(network, weeks, hour));
  const noise = noiseOf(network, profile, intervalHours);
  // Noise in the logarithm lifts the mean, which the balances have already.
  const lift = Math.exp((noise.hourNoise ** 2 + (2 / 3) * noise.dayNoise ** 2) / 2);
  const multipliers: Record<string, number[]> = {};
  for (const [d, { name }] of config.districts.entries()) {
    if (network.shares.every((shares) => shares[d] === 0)) continue;
    const means = solved.map((hour) => Math.max(0, hour[d]!));
    multipliers[name] = sharpened(means).map((value) => Number((value / lift).toPrecision(5)));
  }
  return { multipliers, ...noise, season: seasonOf(profile.balances) };
}

/**
 * Hour-of-week means: the product of an hour of the day and a day of the week, plus as much of what is left as stands out from the errors of the means
 * (an empirical Bayes estimate). Hours without rows are the product alone.
 */
function smoothedWeek({ hours, weights, variance }: BalanceProfile): number[] {
  const ofDay = Array.from({ length: HOURS_PER_DAY }, (_, hour) => {
    const inDay = (i: number) => i % HOURS_PER_DAY === hour;
    return weightedMean(hours, weights, inDay);
  });
  const overall = weightedMean(
    ofDay,
    ofDay.map((value) => (Number.isFinite(value) ? 1 : 0)),
    () => true,
  );
  const known = ofDay.map((value) => (Number.isFinite(value) ? value : overall));
  const factors = Array.from({ length: 7 }, (_, day) => {
    let [sum, expected] = [0, 0];
    for (let hour = 0; hour < HOURS_PER_DAY; hour++) {
      const at = day * HOURS_PER_DAY + hour;
      sum += weights[at]! * hours[at]!;
      expected += weights[at]! * known[hour]!;
    }
    return expected > 0 ? sum / expected : 1;
  });
  const product = Array.from(
    { length: HOURS_PER_WEEK },
    (_, i) => known[i % HOURS_PER_DAY]! * factors[Math.floor(i / HOURS_PER_DAY)]!,
  );
  const seen = product.flatMap((_, i) => (weights[i]! > 0 ? [i] : []));
  const errors = seen.map((i) => variance / weights[i]!);
  const excess =
    seen.reduce((sum, i, k) => sum + (hours[i]! - product[i]!) ** 2 - errors[k]!, 0) / Math.max(1, seen.length);
  const real = Math.max(0, excess);
  const result = [...product];
  for (const [k, i] of seen.entries())
    if (real > 0) result[i]! += (real / (real + errors[k]!)) * (hours[i]! - product[i]!);
  return result;
}

function weightedMean(values: readonly number[], weights: readonly number[], take: (i: number) => boolean): number {
  let [sum, total] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    if (!take(i) || !(weights[i]! > 0)) continue;
    sum += weights[i]! * values[i]!;
    total += weights[i]!;
  }
  return total > 0 ? sum / total : Number.NaN;
}

function multipliersAt(network: NetworkBalances, weeks: readonly (readonly number[])[], hour: number): number[] {
  const rows: { coefficients: readonly number[]; value: number; weight: number }[] = [];
  for (const [b, shares] of network.shares.entries()) {
    const total = shares.reduce((sum, share) => sum + share, 0);
    const value = weeks[b]![hour]! - network.others[b]![hour]!;
    // Relative to the part's size: a small part must not vanish beside a large one.
    rows.push({ coefficients: shares, value, weight: 1 / total ** 2 });
  }
  for (const [d, pattern] of network.patterns.entries())
    rows.push({
      coefficients: network.patterns.map((_, i) => (i === d ? 1 : 0)),
      value: pattern[hour]!,
      weight: PRIOR_WEIGHT,
    });
  return leastSquares(rows, network.patterns.length);
}

function seasonOf(balances: readonly BalanceProfile[]): DemandFit['season'] {
  const seasons = balances.flatMap(({ season }) => (season === null ? [] : [season]));
  if (seasons.length < balances.length) return null;
  const cos = seasons.reduce((sum, season) => sum + season.cos, 0) / seasons.length;
  const sin = seasons.reduce((sum, season) => sum + season.sin, 0) / seasons.length;
  const angle = Math.atan2(sin, cos);
  return {
    amplitude: Number(Math.hypot(cos, sin).toFixed(4)),
    peakDay: Math.round(((angle < 0 ? angle + 2 * Math.PI : angle) / (2 * Math.PI)) * DAYS_A_YEAR) % 366,
  };
}
