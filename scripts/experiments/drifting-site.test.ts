import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { describe, expect, it } from 'vitest';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';
import { dismissalsTable } from './dismissals.js';
import { driftNamed, siteDays } from './drifting-site.js';

const plant = await loadPlant(fromRepository('configs/reference-plant/plant.yaml'), readTextFile);
const HOUR_MS = 3_600_000;

describe('a site that comes to run otherwise', () => {
  it('has the valley’s demand eight hours later and larger, and no other', () => {
    const pattern = (text: string, district: string) =>
      [...text.matchAll(new RegExp(`^ ${district}  (.*)$`, 'gm'))].flatMap(([, numbers]) =>
        numbers!.trim().split(/\s+/).map(Number),
      );
    const changed = driftNamed('demand').network(plant.network);
    const before = pattern(plant.network, 'DISTRICT_B');
    const after = pattern(changed, 'DISTRICT_B');
    expect(after).toHaveLength(24);
    for (const [hour, multiplier] of before.entries()) expect(after[(hour + 8) % 24]).toBeCloseTo(1.4 * multiplier, 3);
    expect(pattern(changed, 'DISTRICT_A')).toEqual(pattern(plant.network, 'DISTRICT_A'));
  });

  it('has its pump serviced on weekdays once it has changed, and not before', async () => {
    const days = { commissioned: 1, watched: 3, later: 1 };
    const rows = await siteDays(plant, { seed: 5, drift: driftNamed('maintenance'), days });
    const same = await siteDays(plant, { seed: 5, drift: null, days });
    expect(rows.commissioned).toEqual(same.commissioned);
    const status = plant.config.tags.findIndex(({ name }) => name === 'S_PU1');
    // Wednesday to Friday; the later day is a Saturday.
    const serviced = rows.watched.filter(({ timeMs }) => {
      const hour = (timeMs % (24 * HOUR_MS)) / HOUR_MS;
      return hour > 9 && hour < 13;
    });
    expect(serviced).toHaveLength(3 * 15);
    expect(serviced.every(({ values }) => values[status] === 0)).toBe(true);
    expect(rows.later.some(({ values }) => values[status] === 1)).toBe(true);
    expect(same.watched.some(({ values }) => values[status] === 1)).toBe(true);
    // Windows start anew: a day lies between.
    expect(rows.watched[0]!.timeMs - rows.commissioned.at(-1)!.timeMs).toBeGreaterThan(24 * HOUR_MS);
    expect(rows.later[0]!.timeMs - rows.watched.at(-1)!.timeMs).toBe(plant.config.interval);
  });
});

it('an experiment’s table has a line per arm', () => {
  const arm = (falseAlarms: number) => ({
    ...{ drifting: { falseAlarms, alarmedHours: 1 }, unchanged: { falseAlarms: 0, alarmedHours: 0 } },
    ...{ found: 0.8, threshold: 0.9, round: 3 },
  });
  const seed = (n: number) => ({
    ...{ seed: n, raised: 20, dismissed: 10, dismissedRows: 60 },
    arms: { before: arm(n), control: arm(2) },
  });
  const lines = dismissalsTable([seed(1), seed(3)]).split('\n');
  expect(lines[2]).toBe('| before | 2.00 ± 1.41 | 1.00 ± 0.00 | 0.00 ± 0.00 | 0.80 ± 0.00 | 0.90 ± 0.00 |');
  expect(lines).toHaveLength(4);
});
