import { DAYS_A_YEAR, yearAngle } from '@twinwatch/core/calibration/year';
import type { Random } from '@twinwatch/core/learning/random';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** A memory within the day that is shorter than this has nothing to run straight between: each hour then has a value of its own. */
export const HOLDS_BELOW_HOURS = 1;

/** A pattern that repeats: multiplier i holds from i · stepMs after the start; straight lines between the middles of the steps. */
export interface DemandPattern {
  readonly multipliers: readonly number[];
  readonly stepMs: number;
}

/** Demand of a plant instance: what the patterns say, times a scale, a season, and noise from day to day and within the day. */
export interface DemandModel {
  /** Multiplier of each district at a time that never goes back, in the order of `patterns`. A view reused between calls. */
  at(timeMs: number): Float64Array;
}

export interface DemandOptions {
  readonly patterns: readonly DemandPattern[];
  /** [districts], constant factors. */
  readonly scales: readonly number[];
  /** Instant at which the patterns begin. */
  readonly originMs: number;
  /** Standard deviations of the logarithm of demand. */
  readonly dayNoise: number;
  readonly hourNoise: number;
  readonly hourCorrelationMs: number;
  /** Amplitude of the season in the logarithm of demand, and the day of the year on which it peaks. */
  readonly season: number;
  readonly seasonPeakDay: number;
  /** Share of the variance that all districts have in common, 0..1. */
  readonly shared: number;
  readonly random: Random;
}

export function createDemandModel(options: DemandOptions): DemandModel {
  const { patterns, scales, originMs, dayNoise, hourNoise, shared, random } = options;
  const hourMemory = Math.exp(-HOUR_MS / options.hourCorrelationMs);
  const peakAngle = (2 * Math.PI * options.seasonPeakDay) / DAYS_A_YEAR;
  const holds = options.hourCorrelationMs < HOLDS_BELOW_HOURS * HOUR_MS;
  const pair = (label: string) => ({
    day: knottedNoise(DAY_MS, 0, false, random.fork(`${label} day`)),
    hour: knottedNoise(HOUR_MS, hourMemory, holds, random.fork(`${label} hour`)),
  });
  const common = pair('all districts');
  const own = patterns.map((_, i) => pair(`district ${i}`));
  const multipliers = new Float64Array(patterns.length);
  const [together, apart] = [Math.sqrt(shared), Math.sqrt(1 - shared)];
  return {
    at(timeMs) {
      const sinceOriginMs = timeMs - originMs;
      const seasonal = options.season === 0 ? 0 : options.season * Math.cos(yearAngle(timeMs) - peakAngle);
      const commonDay = together * common.day(sinceOriginMs);
      const commonHour = together * common.hour(sinceOriginMs);
      for (let i = 0; i < patterns.length; i++) {
        const day = dayNoise * (commonDay + apart * own[i]!.day(sinceOriginMs));
        const hour = hourNoise * (commonHour + apart * own[i]!.hour(sinceOriginMs));
        multipliers[i] = scales[i]! * patternAt(patterns[i]!, sinceOriginMs) * Math.exp(day + hour + seasonal);
      }
      return multipliers;
    },
  };
}

/** Straight lines between the middles of the steps, over and over. */
export function patternAt({ multipliers, stepMs }: DemandPattern, sinceOriginMs: number): number {
  const position = sinceOriginMs / stepMs - 0.5;
  const before = Math.floor(position);
  const share = position - before;
  const length = multipliers.length;
  const first = ((before % length) + length) % length;
  return multipliers[first]! * (1 - share) + multipliers[(first + 1) % length]! * share;
}

/** Unit-variance Gaussian values at multiples of `periodMs`, each keeping `memory` of the one before; straight lines between, or held where `holds`. Time never goes back. */
function knottedNoise(periodMs: number, memory: number, holds: boolean, random: Random): (timeMs: number) => number {
  const fresh = Math.sqrt(1 - memory * memory);
  let knot = Number.NaN;
  let before = random.normal();
  let after = memory * before + fresh * random.normal();
  return (timeMs) => {
    const position = timeMs / periodMs;
    const wanted = Math.floor(position);
    if (Number.isNaN(knot)) knot = wanted;
    for (; knot < wanted; knot++) {
      before = after;
      after = memory * before + fresh * random.normal();
    }
    const share = holds ? 0 : position - knot;
    return before * (1 - share) + after * share;
  };
}
