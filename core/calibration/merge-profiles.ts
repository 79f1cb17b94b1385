import { TwinwatchError } from '../errors.js';
import type { BalanceProfile, SiteProfile, TagProfile } from './profile.js';

/**
 * One profile for several sites: hours weighted by what is behind them, the rest by days.
 * @throws TwinwatchError CALIBRATION_MISMATCH where there is none, or they are not of the same tags and balances.
 */
export function mergeProfiles(sites: readonly SiteProfile[]): SiteProfile {
  const [first] = sites;
  if (first === undefined)
    throw new TwinwatchError(
      'CALIBRATION_MISMATCH',
      'no site has sent a profile; wait for one, or hand over a history',
    );
  for (const site of sites) if (outlineOf(site) !== outlineOf(first)) throw mismatch(outlineOf(first), outlineOf(site));
  const days = sites.reduce((sum, site) => sum + site.days, 0);
  const share = (site: SiteProfile) => (days > 0 ? site.days / days : 1 / sites.length);
  const mean = (of: (site: SiteProfile) => number) => sites.reduce((sum, site) => sum + share(site) * of(site), 0);
  return {
    days,
    dayCovariance: first.dayCovariance.map((_, i) => mean((site) => site.dayCovariance[i]!)),
    tags: first.tags.map(
      (tag, t): TagProfile => ({
        tag: tag.tag,
        hourly: tag.hourly.map((_, hour) => meanOfKnown(sites.map((site) => site.tags[t]!.hourly[hour] ?? null))),
        dutyCycle: mean((site) => site.tags[t]!.dutyCycle),
        startsPerDay: mean((site) => site.tags[t]!.startsPerDay),
      }),
    ),
    balances: first.balances.map((balance, b): BalanceProfile => {
      const parts = sites.map((site) => site.balances[b]!);
      const weights = balance.weights.map((_, hour) => parts.reduce((sum, part) => sum + part.weights[hour]!, 0));
      return {
        name: balance.name,
        weights,
        hours: weights.map((weight, hour) =>
          weight > 0 ? parts.reduce((sum, part) => sum + part.weights[hour]! * part.hours[hour]!, 0) / weight : 0,
        ),
        variance: mean((site) => site.balances[b]!.variance),
        autocovariance: {
          same: mean((site) => site.balances[b]!.autocovariance.same),
          nextInterval: mean((site) => site.balances[b]!.autocovariance.nextInterval),
          twoHours: mean((site) => site.balances[b]!.autocovariance.twoHours),
          halfDay: mean((site) => site.balances[b]!.autocovariance.halfDay),
        },
        season: parts.every(({ season }) => season !== null)
          ? { cos: mean((site) => site.balances[b]!.season!.cos), sin: mean((site) => site.balances[b]!.season!.sin) }
          : null,
      };
    }),
  };
}

function outlineOf({ tags, balances }: SiteProfile): string {
  return `tags ${tags.map(({ tag }) => tag).join(', ')}; balances ${balances.map(({ name }) => name).join(', ')}`;
}

function mismatch(wanted: string, found: string): TwinwatchError {
  return new TwinwatchError(
    'CALIBRATION_MISMATCH',
    `profiles do not fit together: one is of ${wanted}, another of ${found}`,
  );
}

function meanOfKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length;
}
