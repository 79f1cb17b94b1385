import { describe, expect, it } from 'vitest';
import type { Row } from '../scada/sample.js';
import type { Tag } from '../scada/tag.js';
import { mergeProfiles } from './merge-profiles.js';
import type { Balance } from './profile.js';
import { siteProfile } from './site-profile.js';

const HOUR_MS = 3_600_000;
const ORIGIN = Date.UTC(2026, 0, 5);
const tag = (name: string): Tag => ({ name, unit: '', kind: 'analog', resolution: 0.01 });
const TAGS = [tag('IN'), tag('LEVEL')];
/** A tank of 3,600 m² by the second: a rise of 1 an hour is a flow of 1. */
const BALANCE: Balance = {
  name: 'town',
  flows: [{ tag: 'IN', coefficient: 1 }],
  storages: [{ tag: 'LEVEL', coefficient: -3_600 }],
};
const profileOf = (rows: Row[], balances = [BALANCE]) =>
  siteProfile(rows, TAGS, HOUR_MS, { originMs: ORIGIN, balances });

/** `hours` rows; what is drawn in the hour after row i is demand(i), the pump gives 10 while it runs. */
function tank(hours: number, demand: (hour: number) => number, on: (hour: number) => boolean): Row[] {
  let level = 100;
  return Array.from({ length: hours }, (_, i) => {
    const row = { timeMs: ORIGIN + i * HOUR_MS, sequence: i, values: Float64Array.of(on(i) ? 10 : 0, level) };
    level += (on(i) ? 5 : 0) + (on(i + 1) ? 5 : 0) - demand(i);
    return row;
  });
}

describe('a site’s profile', () => {
  it('has duty cycles, starts and means by hour of the day', () => {
    const rows = tank(
      48,
      () => 3,
      (hour) => hour % 24 < 6,
    );
    const [pump, level] = profileOf(rows).tags;
    expect(pump).toMatchObject({ tag: 'IN', dutyCycle: 0.25, startsPerDay: 0.5 });
    expect(pump!.hourly).toEqual(Array.from({ length: 24 }, (_, hour) => (hour < 6 ? 10 : 0)));
    expect(level!.hourly[0]).toBeCloseTo((rows[0]!.values[1]! + rows[24]!.values[1]!) / 2, 9);
    expect(profileOf(rows.slice(0, 5)).tags[0]!.hourly.slice(4, 7)).toEqual([10, null, null]);
  });

  it('has what was drawn in every hour of the week, from inflow and level', () => {
    const rows = tank(
      4 * 168,
      (hour) => 2 + (hour % 168) / 100,
      () => true,
    );
    const [town] = profileOf(rows).balances;
    for (const [hour, mean] of town!.hours.entries()) expect(mean).toBeCloseTo(2 + hour / 100, 6);
    expect(town!.weights.slice(0, 2)).toEqual([4, 4]);
    // The week starts where it is told to.
    const later = siteProfile(rows, TAGS, HOUR_MS, { originMs: ORIGIN + 5 * HOUR_MS, balances: [BALANCE] });
    expect(later.balances[0]!.hours[0]).toBeCloseTo(2.05, 6);
  });

  it('leaves out what a gap or a missing value hides', () => {
    const rows = tank(
      168,
      () => 2,
      () => true,
    );
    rows[7]!.values[1] = Number.NaN;
    const { weights } = profileOf(rows.filter((_, i) => i !== 3)).balances[0]!;
    expect([...weights.keys()].filter((hour) => weights[hour] === 0)).toEqual([2, 3, 6, 7, 167]);
  });

  it('gives an interval in which a flow was switched less weight', () => {
    const noise = (hour: number) => 2 + 0.5 * Math.sin(hour * 12.9);
    const { weights } = profileOf(tank(20 * 168, noise, (hour) => hour % 24 < 12)).balances[0]!;
    expect(weights[5]).toBeCloseTo(20, 0);
    expect(weights[11]).toBeLessThan(2);
    expect(weights[23]).toBeLessThan(2);
  });

  it('tells how days differ, and what of it is the season', () => {
    const factor = (hour: number) => 1 + 0.2 * Math.cos((2 * Math.PI * hour) / 24 / 365.25);
    const year = profileOf(
      tank(
        365 * 24,
        (hour) => 10 * factor(hour),
        () => true,
      ),
    );
    expect(year.balances[0]!.season!.cos).toBeCloseTo(0.2, 1);
    expect(Math.abs(year.balances[0]!.season!.sin)).toBeLessThan(0.03);
    expect(year.dayCovariance[0]).toBeLessThan(1e-3);
    const odd = profileOf(
      tank(
        60 * 24,
        (hour) => (Math.floor(hour / 24) % 2 === 0 ? 11 : 9),
        () => true,
      ),
    );
    expect(odd.balances[0]!.season).toBeNull();
    expect(odd.days).toBeGreaterThan(55);
    expect(Math.sqrt(odd.dayCovariance[0]!)).toBeCloseTo(Math.log(11 / 9) / 2, 1);
  });

  it('merges with others by what is behind them', () => {
    const [short, long] = [
      profileOf(
        tank(
          7 * 24,
          () => 1,
          () => true,
        ),
      ),
      profileOf(
        tank(
          21 * 24,
          () => 5,
          () => true,
        ),
      ),
    ];
    const merged = mergeProfiles([short, long]);
    // Sunday's last hour has one interval less in each.
    expect(merged.balances[0]!.hours[10]).toBeCloseTo((1 + 3 * 5) / 4, 6);
    expect(merged.balances[0]!.weights[10]).toBeCloseTo(4, 6);
    expect(merged.days).toBe(short.days + long.days);
    expect(() => mergeProfiles([])).toThrowError(expect.objectContaining({ code: 'CALIBRATION_MISMATCH' }));
    const other = profileOf(
      tank(
        48,
        () => 1,
        () => true,
      ),
      [{ ...BALANCE, name: 'hill' }],
    );
    expect(() => mergeProfiles([short, other])).toThrow(/town.*hill/);
  });

  it('refuses balances of tags that are not there', () => {
    const balance = { ...BALANCE, flows: [{ tag: 'OUT', coefficient: -1 }] };
    expect(() =>
      profileOf(
        tank(
          10,
          () => 1,
          () => true,
        ),
        [balance],
      ),
    ).toThrow(/OUT/);
  });
});
