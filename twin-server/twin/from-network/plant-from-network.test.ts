import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attackAt } from '../attacks.js';
import { simulateEpisode } from '../episode.js';
import { Hydraulics } from '../hydraulics.js';
import { Plant, type PlantRow } from '../plant.js';
import type { LoadedPlant } from '../plant-config.js';
import { configPath } from '../testing/load-test-plant.js';
import { type PlantFromNetwork, plantFromNetwork } from './plant-from-network.js';

const DAY_ROWS = 96;

const drafted = (text: string, path = 'town.inp') =>
  plantFromNetwork({ text, path, reference: path, attacks: 'attacks.yaml', name: 'town' });

async function days(loaded: LoadedPlant, count: number, attack?: string): Promise<PlantRow[]> {
  const plant = await Plant.open({ ...loaded, variation: { seed: 7 } });
  const found = loaded.attacks.attacks.find(({ name }) => name === attack);
  if (found !== undefined) plant.schedule(attackAt(found, plant.nextRowMs + 24 * 3_600_000));
  const rows = Array.from({ length: count * DAY_ROWS }, () => plant.step());
  plant.close();
  return rows;
}

const column = ({ config }: LoadedPlant, rows: readonly PlantRow[], tag: string) => {
  const index = config.tags.findIndex(({ name }) => name === tag);
  expect([tag, index]).not.toEqual([tag, -1]);
  return rows.map(({ physical }) => physical[index]!);
};

/** Every tank stays between its limits, whatever the PLCs do; every value is a number. */
async function expectSound({ loaded }: PlantFromNetwork, rows: readonly PlantRow[]) {
  const hydraulics = await Hydraulics.open(loaded.network, 'town.inp');
  const { nodes } = hydraulics.structure();
  hydraulics.close();
  for (const { physical, scada } of rows) expect([...physical, ...scada].every(Number.isFinite)).toBe(true);
  for (const { name, element, measures } of loaded.config.tags) {
    if (measures !== 'level') continue;
    const { lowest, highest } = nodes.find(({ id }) => id === element)!.levels!;
    const levels = column(loaded, rows, name);
    expect(Math.min(...levels)).toBeGreaterThanOrEqual(lowest - 1e-6);
    expect(Math.max(...levels)).toBeLessThanOrEqual(highest + 1e-6);
  }
}

/** A value below the on-threshold is never followed by an actuator that stays off, nor one above the off-threshold by one that runs. */
function expectControls({ loaded }: PlantFromNetwork, rows: readonly PlantRow[]) {
  for (const { actuator, on, off } of loaded.config.controls) {
    if (on?.below === undefined || off?.above === undefined) continue;
    const state = column(loaded, rows, `S_${actuator}`);
    const margin = 0.1 * (off.above - on.below) + 0.02;
    const value = column(loaded, rows, on.tag);
    for (const [i, running] of state.entries()) {
      if (value[i]! < on.below - margin) expect([actuator, i, running]).toEqual([actuator, i, 1]);
      if (value[i]! > off.above + margin) expect([actuator, i, running]).toEqual([actuator, i, 0]);
    }
  }
}

const AMERICAN = `[JUNCTIONS]
 10 700 0
 11 700 0
 12 710 150 day
 13 600 80 day   ; behind the PRV
 14 600 0
[RESERVOIRS]
 1 690
[TANKS]
 2 830 12 4 24 50 0
[PIPES]
 101 1 10 50 16 120 0 Open
 102 11 12 2000 14 120 0 Open
 103 12 2 1000 14 120 0 Open
 104 12 14 1500 10 120 0 Open
 105 10 1 800 12 120 0 Closed
[PUMPS]
 9 10 11 HEAD c
 8 10 11 HEAD c
[VALVES]
 7 14 13 8 PRV 40 0
[CURVES]
 c 400 190
[PATTERNS]
 day 0.5 0.5 0.8 1.4 1.2 1.0 1.1 1.5
[RULES]
RULE base
IF TANK 2 LEVEL BELOW 10
THEN PUMP 9 STATUS IS OPEN
ELSE PUMP 9 STATUS IS OPEN

RULE stop
IF TANK 2 LEVEL ABOVE 20
THEN PUMP 9 STATUS IS CLOSED
PRIORITY 2

RULE two
IF TANK 2 LEVEL BELOW 7
AND SYSTEM CLOCKTIME >= 6 AM
THEN PUMP 8 STATUS IS OPEN
[CONTROLS]
 LINK 8 CLOSED AT TIME 4
 LINK 105 OPEN IF NODE 12 BELOW 20
[OPTIONS]
 Units GPM
 Pressure PSI
 Headloss H-W
[TIMES]
 Pattern Timestep 3:00
[END]
`;

const GRAVITY = `[JUNCTIONS]
 A 10 4 d1
 B 12 5 d2
 C 30 1
[RESERVOIRS]
 Lake 80
[PIPES]
 main Lake A 900 250 120 0 Open
 a-b A B 600 200 120 0 Open
 b-c B C 700 150 120 0 Open
[PATTERNS]
 d1 0.6 1.4
 d2 1.3 0.7
[OPTIONS]
 Units LPS
 Pressure KPA
 Headloss H-W
[TIMES]
 Pattern Timestep 12:00
[END]
`;

const BOOSTER = `[JUNCTIONS]
 S 20 0
 D 20 0
 T 40 6
[RESERVOIRS]
 R 25
[PIPES]
 p1 R S 20 200 120 0 Open
 p2 D T 900 200 120 0 Open
[PUMPS]
 boost S D HEAD c SPEED 0.9
 spare S D HEAD c
[CURVES]
 c 8 40
[STATUS]
 spare Closed
[CONTROLS]
 LINK spare 0.8 IF NODE T BELOW 14
 LINK spare CLOSED IF NODE T ABOVE 30
[OPTIONS]
 Units LPS
 Headloss H-W
[END]
`;

describe('a plant from a network file', () => {
  it('makes a plant of the reference network that switches as the one written by hand', async () => {
    const made = await drafted(await readFile(configPath('reference-plant/network.inp'), 'utf8'));
    const { controls, districts, tags } = made.loaded.config;
    expect(made.unexpressed).toEqual([]);
    const rule = (actuator: string) => controls.find((control) => control.actuator === actuator);
    expect(rule('PU2')).toMatchObject({ on: { tag: 'L_T1', below: 2.4 }, off: { tag: 'L_T1', above: 4.6 } });
    expect(rule('V1')).toMatchObject({ kind: 'valve', on: { tag: 'L_T2', below: 1.8 } });
    expect(districts.map(({ pattern }) => pattern)).toEqual(['DISTRICT_A', 'DISTRICT_B', 'DISTRICT_C']);
    expect(new Set(tags.filter(({ element }) => ['PU1', 'PU2'].includes(element)).map(({ plc }) => plc)).size).toBe(1);
    const rows = await days(made.loaded, 7);
    await expectSound(made, rows);
    expectControls(made, rows);
    for (const tag of ['S_PU1', 'S_PU3', 'S_PU5', 'S_V1'])
      expect([tag, new Set(column(made.loaded, rows, tag)).size]).toEqual([tag, 2]);
    const attacked = await days(made.loaded, 2, 'held-off-l-t1');
    expect(column(made.loaded, attacked, 'S_PU1').slice(DAY_ROWS + 2, DAY_ROWS + 20)).toEqual(Array(18).fill(0));
    expect(attacked.some(({ attack }) => attack === 'held-off-l-t1')).toBe(true);
  });

  it('reads US units, ids that are numbers, rules and a PRV, and names what a PLC cannot be told', async () => {
    const made = await drafted(AMERICAN);
    const { controls, tags } = made.loaded.config;
    const unit = (name: string) => tags.find((tag) => tag.name === name)?.unit;
    expect([unit('L_2'), unit('F_9'), unit('P_11'), unit('F_7')]).toEqual(['ft', 'gpm', 'psi', 'gpm']);
    expect(tags.some(({ name }) => name === 'S_7')).toBe(false);
    expect(controls.find(({ actuator }) => actuator === '9')).toMatchObject({
      on: { tag: 'L_2', below: 10 },
      off: { tag: 'L_2', above: 20 },
    });
    const left = made.unexpressed.map(({ source, why }) => `${source}: ${why}`).join('\n');
    expect(left).toMatch(/RULE two.*several conditions/);
    expect(left).toMatch(/LINK 8 CLOSED AT TIME 4.*not by the time/);
    expect(left).toMatch(/line \d+: LINK 105 OPEN IF NODE 12 BELOW 20.*nothing closes/);
    expect(left).toMatch(/ELSE PUMP 9 STATUS IS OPEN.*already/);
    for (const { source } of made.unexpressed) expect(made.plant).toContain(`#   ${source}`);
    const rows = await days(made.loaded, 5);
    await expectSound(made, rows);
    expectControls(made, rows);
  });

  it('makes a plant of a network without pumps, tanks and valves, whose pipes can be shut', async () => {
    const made = await drafted(GRAVITY);
    expect(made.loaded.config.controls.map(({ actuator, kind, initially }) => [actuator, kind, initially])).toEqual([
      ['main', 'valve', 'on'],
    ]);
    expect(made.remarks.join(' ')).toContain('Nothing in it is pumped');
    expect(
      made.loaded.config.tags.filter(({ measures }) => measures === 'pressure').every((t) => t.unit === 'kPa'),
    ).toBe(true);
    const rows = await days(made.loaded, 2);
    await expectSound(made, rows);
    expect(Math.min(...column(made.loaded, rows, 'F_main'))).toBeGreaterThan(3);
  });

  it('keeps speeds, and switches by the pressure of a junction', async () => {
    const made = await drafted(BOOSTER);
    const [boost, spare] = made.loaded.config.controls;
    expect(boost).toMatchObject({ actuator: 'boost', speed: 0.9, initially: 'on' });
    expect(boost!.on).toBeUndefined();
    expect(spare).toMatchObject({ speed: 0.8, initially: 'off', on: { tag: 'P_T', below: 14 } });
    expect(made.plant).toContain('demands are constant');
    await expectSound(made, await days(made.loaded, 2));
  });

  it.each(['CFS', 'GPM', 'MGD', 'IMGD', 'AFD', 'LPS', 'LPM', 'MLD', 'CMH', 'CMD'])(
    'reads a network in %s',
    async (unit) => {
      const { loaded } = await drafted(GRAVITY.replace('LPS', unit));
      const flow = loaded.config.tags.find(({ measures }) => measures === 'flow')!;
      expect(flow.unit.toLowerCase()).toContain(
        { AFD: 'acre', LPS: 'l/s', LPM: 'l/min', MLD: 'ml/d', CMH: 'm3/h', CMD: 'm3/d' }[unit] ?? unit.toLowerCase(),
      );
    },
  );

  it.each([
    ['AMERICAN', AMERICAN],
    ['GRAVITY', GRAVITY],
    ['BOOSTER', BOOSTER],
  ])('gives the twin attacked episodes of %s, and every attack of the catalogue runs', async (_, text) => {
    const { loaded } = await drafted(text);
    const request = { seed: 5, episodes: 2, hoursPerEpisode: 72, attackShare: 1 };
    for (const index of [0, 1]) expect((await simulateEpisode(loaded, request, index)).labels).toContain(1);
    for (const { name } of loaded.attacks.attacks)
      expect((await days(loaded, 2, name)).some(({ attack }) => attack === name)).toBe(true);
  });

  it('says where a file is wrong, and what to do', async () => {
    const problem = (text: string) =>
      drafted(text).then(
        () => 'none',
        ({ code, message }) => `${code} ${message}`,
      );
    const broken = await problem(GRAVITY.replace('main Lake A', 'main Lake Z'));
    expect(broken).toMatch(/^PLANT_NETWORK_INVALID town\.inp: .*line 8: .*undefined node Z.*Correct the file/);
    expect(await problem('hello')).toMatch(/PLANT_NETWORK_INVALID town\.inp: EPANET.* Is it an EPANET input file/);
    const fixed = GRAVITY.replace('0 Open\n a-b', '0 CV\n a-b');
    expect(await problem(fixed)).toMatch(/PLANT_NETWORK_INVALID town\.inp: nothing in it can be switched.*Add one/);
  });
});

const data = process.env.TWINWATCH_DATA;
const ctown = data === undefined ? null : join(data, 'ctown.inp');
it.skipIf(ctown === null || !existsSync(ctown))(
  'C-Town: the plant made of its network runs (needs TWINWATCH_DATA, a folder with ctown.inp)',
  async () => {
    const made = await drafted(await readFile(ctown!, 'utf8'), 'ctown.inp');
    expect(made.loaded.config.controls.filter(({ on }) => on !== undefined).length).toBeGreaterThanOrEqual(9);
    expect(made.loaded.config.districts).toHaveLength(5);
    const plc = (element: string) => made.loaded.config.tags.find((tag) => tag.element === element)!.plc;
    expect(plc('PU1')).toBe(plc('PU3'));
    expect(plc('PU8')).toBe(plc('PU11'));
    expect(plc('PU1')).not.toBe(plc('PU4'));
    const rows = await days(made.loaded, 7);
    await expectSound(made, rows);
    expectControls(made, rows);
    for (const tag of ['S_PU2', 'S_PU4', 'S_PU7', 'S_PU10'])
      expect([tag, new Set(column(made.loaded, rows, tag)).size]).toEqual([tag, 2]);
  },
);
