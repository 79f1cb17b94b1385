import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { attackAt, findAttack } from '@twinwatch/twin-server/twin/attacks';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FieldTrialData } from '../field-trial/field-trial-data.js';
import { readTextFile } from '../processes/read-config.js';
import { configFile } from '../processes/repository.js';
import { processesWith, startCommand } from './started-command.js';

/** A whole field trial on recordings of the reference plant: small, and with columns under other names. */

const PLANT = configFile('reference-plant', 'plant.yaml');
const NETWORK = join(dirname(PLANT), 'network.inp');
const HOUR = 3_600_000;
let folder: string;

async function record(
  file: string,
  seed: number,
  days: number,
  label: 'none' | 'some',
  attacked: boolean,
): Promise<number> {
  const { config, network, attacks } = await loadPlant(PLANT, readTextFile);
  const plant = await Plant.open({ config, network, variation: { seed } });
  if (attacked)
    for (const [name, day] of [
      ['valve-shut', 4],
      ['overfill-t2-offset', 7],
    ] as const)
      plant.schedule(attackAt(findAttack(attacks, name), plant.nextRowMs + day * 24 * HOUR));
  const header = [
    'when',
    ...plant.tags.map(({ name }) => (name === 'L_T1' ? 'Tank 1' : name)),
    ...(label === 'none' ? [] : ['flag']),
  ];
  const lines = Array.from({ length: days * 96 }, (_, i) => {
    const { timeMs, scada, attack } = plant.step();
    // Some rows nobody has labelled.
    const flag = label === 'none' ? [] : [i % 50 === 7 ? -999 : attack === null ? 0 : 1];
    return [new Date(timeMs).toISOString(), ...scada, ...flag].join();
  });
  plant.close();
  writeFileSync(file, `${header.join()}\n${lines.join('\n')}\n`);
  return lines.length;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trial-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const trial = (feed: string, out: string, ...more: string[]) =>
  startCommand(
    ...[
      'field-trial',
      '--history',
      join(folder, 'history.csv'),
      '--feed',
      join(folder, feed),
      '--network',
      NETWORK,
      '--plant',
      PLANT,
    ],
    ...[
      '--out',
      join(folder, out),
      '--agents',
      '2',
      '--rounds',
      '4',
      '--episodes',
      '10',
      '--time-column',
      'when',
      '--column',
      'L_T1=Tank 1',
    ],
    ...more,
  );
const report = (out: string) => JSON.parse(readFileSync(join(folder, out, 'report.json'), 'utf8')) as FieldTrialData;

describe('twinwatch field-trial', () => {
  it('learns from slices and a twin, polls every row of the feed, and scores what is labelled', async () => {
    await record(join(folder, 'history.csv'), 31, 20, 'none', false);
    const rows = await record(join(folder, 'feed.csv'), 32, 10, 'some', true);
    const run = trial('feed.csv', 'labelled', '--label-column', 'flag');
    // The history has no column of labels, and none is asked of it.
    expect(await run.ended, run.output()).toBe(0);
    expect(run.output()).toMatch(new RegExp(`polled = fed: ${rows} of ${rows} rows, every value as it was served`));
    const data = report('labelled');
    expect(data.run).toMatchObject({ fed: rows, polled: rows, gaps: 0, agents: 2, online: false });
    expect(data.scores!.rocAuc).toBeGreaterThan(0.7);
    expect(data.attacks.length).toBeGreaterThanOrEqual(2);
    expect(data.baselines.map(({ name }) => name)).toContain('actuator rule');
    expect(data.rounds).toHaveLength(4);
    expect(data.latency!.p99Ms).toBeGreaterThan(0);
    expect(data.series.score).toHaveLength(rows);
    expect(await processesWith(folder)).toEqual([]);
  });

  it('gives the same report less the scores for a feed without labels, and trains on it only when told to', async () => {
    const rows = await record(join(folder, 'bare.csv'), 33, 6, 'none', false);
    const run = trial('bare.csv', 'bare', '--online');
    expect(await run.ended, run.output()).toBe(0);
    const data = report('bare');
    expect(data.run).toMatchObject({ fed: rows, polled: rows, online: true });
    expect(data.scores).toBeNull();
    expect(data.baselines).toEqual([]);
    expect(readFileSync(join(folder, 'bare', 'report.html'), 'utf8')).toMatch(/<svg/);
  });

  it('refuses a feed without the columns it needs', async () => {
    writeFileSync(join(folder, 'poor.csv'), 'when,Tank 1\n2026-01-01T00:00Z,1\n');
    const run = trial('poor.csv', 'poor');
    expect(await run.ended).toBe(2);
    expect(run.output()).toMatch(/FEED_INVALID: .*poor\.csv has no column for F_PU1, /);
  });
});
