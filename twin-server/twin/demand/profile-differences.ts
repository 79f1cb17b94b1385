import type { SiteProfile } from '@twinwatch/core/calibration/profile';
import type { Tag } from '@twinwatch/core/scada/tag';

/** Duty cycles further apart than this, and hourly means further apart than this share of their own range, are told. */
const [DUTY_CYCLE, HOURLY_MEAN] = [0.1, 0.5];

/** Where the twin runs otherwise than the sites it stands for, in words. */
export function profileDifferences(twin: SiteProfile, sites: SiteProfile, tags: readonly Tag[]): string[] {
  return tags.flatMap(({ name, kind, resolution, unit }) => {
    const own = twin.tags.find(({ tag }) => tag === name);
    const theirs = sites.tags.find(({ tag }) => tag === name);
    if (own === undefined || theirs === undefined) return [];
    if (kind === 'status') {
      const percent = (share: number) => `${Math.round(100 * share)} %`;
      if (Math.abs(own.dutyCycle - theirs.dutyCycle) <= DUTY_CYCLE) return [];
      return [
        `${name} is on ${percent(own.dutyCycle)} of the time in the twin and ${percent(theirs.dutyCycle)} at the sites; check its control rule`,
      ];
    }
    const [mine, found] = [mean(own.hourly), mean(theirs.hourly)];
    const known = theirs.hourly.filter((value) => value !== null);
    const range = Math.max(...known) - Math.min(...known);
    if (known.length === 0 || !(Math.abs(mine - found) > Math.max(HOURLY_MEAN * range, 2 * resolution))) return [];
    const words = (value: number) => `${Number(value.toPrecision(3))} ${unit}`.trim();
    return [`${name} is ${words(mine)} on average in the twin and ${words(found)} at the sites`];
  });
}

function mean(hourly: readonly (number | null)[]): number {
  const known = hourly.filter((value) => value !== null);
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}
