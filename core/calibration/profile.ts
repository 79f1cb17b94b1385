/**
 * What a site tells about its normal rows instead of the rows: how its tags run over the day, and how much was drawn in each part of the plant.
 * Computed on the agent, or by the server from a history that an operator handed over; the same code either way.
 */

export const HOURS_PER_WEEK = 168;
export const HOURS_PER_DAY = 24;

/**
 * A quantity that no sensor measures, as what goes in less what goes out less what is stored: a water balance, an energy balance.
 * Its value between two rows is Σ coefficient · mean of the flow's two readings + Σ coefficient · rise of the storage per second.
 */
export interface Balance {
  readonly name: string;
  readonly flows: readonly BalanceTerm[];
  readonly storages: readonly BalanceTerm[];
}

export interface BalanceTerm {
  readonly tag: string;
  readonly coefficient: number;
}

export interface ProfileRequest {
  /** Hour 0 of the week begins here and every 168 hours before and after. */
  readonly originMs: number;
  readonly balances: readonly Balance[];
}

/** How one tag runs in normal rows. */
export interface TagProfile {
  readonly tag: string;
  /** [24] mean by hour of the day, null where there is no row of that hour. */
  readonly hourly: readonly (number | null)[];
  /** Share of the rows in which it is not 0. */
  readonly dutyCycle: number;
  /** How often a day it leaves 0. */
  readonly startsPerDay: number;
}

/** How one balance runs. */
export interface BalanceProfile {
  readonly name: string;
  /** [168] mean by hour of the week, 0 where the weight is 0. */
  readonly hours: readonly number[];
  /** [168] effective number of intervals behind each mean: one in which a flow was switched counts less. */
  readonly weights: readonly number[];
  /** Variance of a single interval of full weight around its hour's mean. */
  readonly variance: number;
  /** Of the share by which single intervals are above or below their hour's mean, the season taken out. */
  readonly autocovariance: Autocovariance;
  /** Amplitudes of cos and sin of the angle of the year in the logarithm of a day's sum; null where the rows span less than most of a year. */
  readonly season: { readonly cos: number; readonly sin: number } | null;
}

/** Mean product of a deviation and the one so much later; intervals in which a flow was switched are left out. */
export interface Autocovariance {
  readonly same: number;
  readonly nextInterval: number;
  readonly twoHours: number;
  readonly halfDay: number;
}

export interface SiteProfile {
  readonly tags: readonly TagProfile[];
  readonly balances: readonly BalanceProfile[];
  /** Days that were whole enough to be compared with their hours' means. */
  readonly days: number;
  /** [balances × balances] covariance of the logarithm of a day's sum relative to its hours' means, the season taken out, errors of single readings subtracted. */
  readonly dayCovariance: readonly number[];
}
