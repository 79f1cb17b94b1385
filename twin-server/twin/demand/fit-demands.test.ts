import { siteProfile } from '@twinwatch/core/calibration/site-profile';
import { parseConfig } from '@twinwatch/core/config/load';
import type { Row } from '@twinwatch/core/scada/sample';
import { beforeAll, describe, expect, it } from 'vitest';
import { Plant } from '../plant.js';
import { type LoadedPlant, plantTags } from '../plant-config.js';
import { loadTestPlant } from '../testing/load-test-plant.js';
import { demandFileSchema, demandFileText, toDemandFit, withDemands } from './demand-file.js';
import { fitDemands } from './fit-demands.js';
import { balancesOf, fitToHistory } from './history.js';
import { leastSquares } from './least-squares.js';
import { profileDifferences } from './profile-differences.js';

const DAYS = 84;
let plant: LoadedPlant;
let rows: Row[];
/** What the simulated plant draws: other multipliers than the network file's, by hour and day of the week. */
const TRUE = Array.from({ length: 168 }, (_, hour) => {
  const weekend = hour >= 120 ? 0.8 : 1;
  return weekend * (1 + 0.5 * Math.sin((2 * Math.PI * (hour - 7)) / 24) + 0.2 * Math.sin((4 * Math.PI * hour) / 24));
});

beforeAll(async () => {
  plant = await loadTestPlant();
  const { config, network } = plant;
  const other = {
    ...config,
    districts: config.districts.map((district) => ({ ...district, multipliers: TRUE })),
    variation: { ...config.variation, district: [1, 1] as [number, number], season: [0, 0] as [number, number] },
  };
  const instance = await Plant.open({ config: other, network, variation: { seed: 31, demandScale: 0.97 } });
  rows = Array.from({ length: DAYS * 96 }, (_, sequence) => {
    const { timeMs, scada } = instance.step();
    return { timeMs, sequence, values: scada };
  });
  instance.close();
}, 60_000);

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const profile = async (of: readonly Row[]) => {
  const { balances } = await balancesOf(plant);
  const { config } = plant;
  return siteProfile(of, plantTags(config), config.interval, { originMs: Date.parse(config.start), balances });
};

describe('the balances of a network', () => {
  it('are those of the parts between measured flows', async () => {
    const { balances, shares, unseen } = await balancesOf(plant);
    expect(unseen).toEqual([]);
    expect(balances.map(({ name }) => name)).toEqual(['A', 'B', 'C 1', 'C 2']);
    const [a, b, c1] = balances;
    expect(Object.fromEntries(a!.flows.map(({ tag, coefficient }) => [tag, coefficient]))).toEqual({
      ...{ F_PU1: 1, F_PU2: 1, F_V1: -1, F_PU3: -1, F_PU4: -1 },
    });
    // Diameter 11 m, flows in L/s: a metre a second is so many of them.
    expect(a!.storages).toEqual([{ tag: 'L_T1', coefficient: expect.closeTo(-(Math.PI / 4) * 11 ** 2 * 1_000, 6) }]);
    expect(b!.flows).toEqual([{ tag: 'F_V1', coefficient: 1 }]);
    expect(c1!.flows.find(({ tag }) => tag === 'F_PU5')!.coefficient).toBe(-1);
    // Demands at multiplier 1, summed by hand from the file.
    expect(shares.map((row) => row.map((value) => Math.round(value * 10) / 10))).toEqual([
      [30, 0, 0],
      [0, 15, 0],
      [0, 0, 14],
      [0, 0, 5],
    ]);
  });

  it('say what is missing where a part has none', async () => {
    const { config } = plant;
    const blind = { ...plant, config: { ...config, tags: config.tags.filter(({ name }) => name !== 'L_T2') } };
    const { balances, unseen } = await balancesOf(blind);
    expect(balances.map(({ name }) => name)).toEqual(['A', 'C 1', 'C 2']);
    expect(unseen).toEqual(['B: the level of T2 is no tag']);
    const nothing = {
      ...plant,
      config: { ...config, tags: config.tags.filter(({ measures }) => measures === 'status') },
    };
    const network = await balancesOf(nothing);
    expect(() => fitDemands(config, network, { tags: [], balances: [], days: 0, dayCovariance: [] })).toThrowError(
      expect.objectContaining({ code: 'PLANT_DEMAND_UNSEEN' }),
    );
  });
});

describe('fitted demands', () => {
  it('are what the plant drew, and vary as it did', async () => {
    const { config } = plant;
    const fit = fitDemands(config, await balancesOf(plant), await profile(rows));
    for (const name of ['A', 'B', 'C']) {
      const found = fit.multipliers[name]!;
      expect([name, Math.abs(mean(found) / (0.97 * mean(TRUE)) - 1) < 0.015]).toEqual([name, true]);
      const scale = mean(TRUE) / mean(found);
      const error = Math.sqrt(mean(TRUE.map((value, i) => (found[i]! * scale - value) ** 2)));
      expect([name, error < 0.05]).toEqual([name, true]);
    }
    const { dayNoise, hourNoise, hourCorrelation, shared } = config.variation;
    expect(fit.dayNoise).toBeGreaterThan(0.5 * dayNoise);
    expect(fit.dayNoise).toBeLessThan(1.6 * dayNoise);
    expect(Math.abs(fit.hourNoise / hourNoise - 1)).toBeLessThan(0.2);
    expect(Math.abs(fit.hourCorrelationMs / hourCorrelation - 1)).toBeLessThan(0.5);
    expect(Math.abs(fit.shared - shared)).toBeLessThan(0.25);
    expect(fit.season).toBeNull();
  });

  it('come from half the weeks and the other half alike, and from a file of the rows', async () => {
    const half = async (which: number) => {
      const week = (row: Row) => Math.floor((row.timeMs - rows[0]!.timeMs) / 604_800_000) % 2;
      const of = await profile(rows.filter((row) => week(row) === which));
      return fitDemands(plant.config, await balancesOf(plant), of).multipliers.B!;
    };
    const [first, second] = [await half(0), await half(1)];
    expect(mean(first.map((value, i) => Math.abs(value - second[i]!)))).toBeLessThan(0.08);
    const names = plant.config.tags.map(({ name }) => name);
    const lines = rows.map(({ timeMs, values }) => [new Date(timeMs).toISOString(), ...values, 0].join());
    const csv = Buffer.from([['time', ...names, 'ATT_FLAG'].join(), ...lines].join('\n'));
    const columns = { dateOrder: 'auto', columns: {}, delimiter: ',' } as const;
    const { fit, rows: count } = await fitToHistory(plant, csv, 'history.csv', columns);
    expect(count).toBe(rows.length);
    expect(fit).toEqual(fitDemands(plant.config, await balancesOf(plant), await profile(rows)));
  });

  it('are written as a file and read again, and change the plant', async () => {
    const fit = fitDemands(plant.config, await balancesOf(plant), await profile(rows.slice(0, 30 * 96)));
    const withSeason = { ...fit, season: { amplitude: 0.05, peakDay: 200 } };
    const read = toDemandFit(parseConfig(demandFileSchema, demandFileText(withSeason, 'a test'), 'demands.yaml'));
    expect(read).toEqual(withSeason);
    const { districts, variation } = withDemands(plant.config, read);
    expect(districts[1]!.multipliers).toEqual(fit.multipliers.B);
    expect(variation).toMatchObject({ season: [0.05, 0.05], seasonPeak: 200, dayNoise: fit.dayNoise });
  });
});

it('a twin that runs otherwise than the sites is told in words', async () => {
  const sites = await profile(rows.slice(0, 960));
  const lazy = {
    ...sites,
    tags: sites.tags.map((each) => (each.tag === 'S_PU1' ? { ...each, dutyCycle: each.dutyCycle - 0.3 } : each)),
  };
  expect(profileDifferences(sites, sites, plantTags(plant.config))).toEqual([]);
  expect(profileDifferences(lazy, sites, plantTags(plant.config))).toEqual([expect.stringMatching(/^S_PU1 is on/)]);
});

it('least squares solves what is determined, and weighs what is not', () => {
  const equations = [
    { coefficients: [2, 1], value: 5, weight: 1 },
    { coefficients: [0, 1], value: 1, weight: 1 },
  ];
  expect(leastSquares(equations, 2)).toEqual([expect.closeTo(2, 12), expect.closeTo(1, 12)]);
  const weighted = [1, 3].map((value) => ({ coefficients: [1], value, weight: value }));
  expect(leastSquares(weighted, 1)[0]).toBeCloseTo(2.5, 12);
});
