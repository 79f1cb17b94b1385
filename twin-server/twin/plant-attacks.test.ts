import { beforeAll, describe, expect, it } from 'vitest';
import { type AttackCatalogue, attackAt, attackCatalogueSchema } from './attacks.js';
import { Plant, type PlantRow } from './plant.js';
import type { LoadedPlant } from './plant-config.js';
import { loadTestPlant } from './testing/load-test-plant.js';

/** Row after which attacks begin, 2 days and 2 hours into the run: 96 rows a day. */
const ONSET = 200;
const HOUR = 4;

let loaded: LoadedPlant;
beforeAll(async () => {
  loaded = await loadTestPlant();
});

interface Views extends Omit<PlantRow, 'plc'> {
  readonly plc1: Float64Array;
  readonly plc2: Float64Array;
}

/** Rows of a plant without sensor noise, attacked from row ONSET as the catalogue entry says. */
async function attacked(rows: number, entry: object | null): Promise<Views[]> {
  const { config, network } = loaded;
  const plant = await Plant.open({ config, network, variation: { seed: 5, sensorNoise: 0 } });
  if (entry !== null) {
    const catalogue: AttackCatalogue = attackCatalogueSchema.parse({ attacks: [{ name: 'a', ...entry }] });
    plant.schedule(attackAt(catalogue.attacks[0]!, Date.parse(config.start) + ONSET * config.interval));
  }
  const result = Array.from({ length: rows }, () => {
    const { plc, ...row } = plant.step();
    return { ...row, plc1: plc('PLC1'), plc2: plc('PLC2') };
  });
  plant.close();
  return result;
}

const tag = (name: string) => loaded.config.tags.findIndex((candidate) => candidate.name === name);
const series = (rows: readonly Views[], view: 'physical' | 'scada' | 'plc1' | 'plc2', name: string) =>
  rows.map((row) => row[view][tag(name)]!);
const during = <T>(rows: readonly T[], hours: number) => rows.slice(ONSET, ONSET + hours * HOUR);

describe('effects', () => {
  it('rewritten thresholds switch the pump until they are restored', async () => {
    const entry = { duration: '10h', effects: [{ kind: 'thresholds', actuator: 'PU5', on: 0.2, off: 0.4 }] };
    const rows = await attacked(ONSET + 12 * HOUR, entry);
    const level = series(rows, 'physical', 'L_T4');
    const high = during(rows, 10).filter(({ physical }) => physical[tag('L_T4')]! > 0.4);
    expect(high.length).toBeGreaterThan(4);
    expect(high.every(({ scada }) => scada[tag('S_PU5')] === 0)).toBe(true);
    expect(level[ONSET + 10 * HOUR - 1]).toBeLessThan(1.2);
    expect(Math.min(...level.slice(0, ONSET))).toBeGreaterThan(1.3);
    // The first scan with the old thresholds starts the pump at once, and the tank fills again.
    expect(rows[ONSET + 10 * HOUR]!.scada[tag('S_PU5')]).toBe(1);
    expect(level.at(-1)).toBeGreaterThan(level[ONSET + 10 * HOUR]!);
    expect(rows.map(({ attack }) => attack)).toEqual(
      rows.map((_, i) => (i >= ONSET && i < ONSET + 10 * HOUR ? 'a' : null)),
    );
  });

  it('thresholds next to each other make the pump chatter', async () => {
    const entry = { duration: '12h', effects: [{ kind: 'thresholds', actuator: 'PU5', on: 2.5, off: 2.55 }] };
    const [calm, busy] = [await attacked(ONSET + 12 * HOUR, null), await attacked(ONSET + 12 * HOUR, entry)];
    const changes = (rows: Views[]) =>
      during(series(rows, 'physical', 'S_PU5'), 12).filter((v, i, all) => i > 0 && v !== all[i - 1]).length;
    expect(changes(busy)).toBeGreaterThanOrEqual(changes(calm) + 4);
  });

  it.each([
    ['constant', { constant: 5.9 }, () => 5.9],
    ['offset', { offset: -1 }, (honest: number) => honest - 1],
    ['freeze', { freeze: true }, (_: number, first: number) => first],
  ] as const)(
    'a false reading on a PLC link (%s) is seen by the PLC it goes to and nobody else',
    async (_, reading, expected) => {
      const entry = { duration: '6h', effects: [{ kind: 'link', tag: 'L_T1', to: 'PLC1', ...reading }] };
      const rows = await attacked(ONSET + 7 * HOUR, entry);
      const first = rows[ONSET]!.physical[tag('L_T1')]!;
      for (const row of during(rows, 6)) {
        const level = row.physical[tag('L_T1')]!;
        expect(row.plc1[tag('L_T1')]).toBeCloseTo(expected(level, first), 9);
        expect(row.plc2[tag('L_T1')]).toBe(level);
        expect(row.scada[tag('L_T1')]).toBe(level);
      }
      expect(rows.at(-1)!.plc1[tag('L_T1')]).toBe(rows.at(-1)!.physical[tag('L_T1')]);
    },
  );

  it('a PLC that reads a full tank stops its pumps while the tank drains', async () => {
    const entry = { duration: '5h', effects: [{ kind: 'link', tag: 'L_T1', to: 'PLC1', constant: 5.9 }] };
    const rows = during(await attacked(ONSET + 6 * HOUR, entry), 5);
    expect(
      series(rows, 'scada', 'S_PU1')
        .concat(series(rows, 'scada', 'S_PU2'))
        .every((on) => on === 0),
    ).toBe(true);
    expect(series(rows, 'scada', 'F_PU1').every((flow) => flow === 0)).toBe(true);
    const level = series(rows, 'physical', 'L_T1');
    expect(level.every((v, i) => i === 0 || v <= level[i - 1]!)).toBe(true);
  });

  it.each([
    ['constant', { constant: 4.9 }],
    ['freeze', { freeze: true }],
  ])('a false sensor (%s) is seen by its PLC, by those it sends to, and by SCADA', async (_, reading) => {
    const entry = { duration: '4h', effects: [{ kind: 'sensor', tag: 'L_T1', ...reading }] };
    const rows = await attacked(ONSET + 5 * HOUR, entry);
    const shown = 'constant' in reading ? reading.constant : rows[ONSET]!.physical[tag('L_T1')]!;
    for (const row of during(rows, 4))
      expect([row.plc1, row.plc2, row.scada].map((view) => view[tag('L_T1')])).toEqual([shown, shown, shown]);
    expect(rows[ONSET + HOUR]!.physical[tag('L_T1')]).not.toBeCloseTo(shown!, 2);
    expect(rows.at(-1)!.scada[tag('L_T1')]).toBe(rows.at(-1)!.physical[tag('L_T1')]);
  });

  it('a sensor with an offset is off by it in every view but the physical one', async () => {
    const entry = { duration: '3h', effects: [{ kind: 'sensor', tag: 'L_T1', offset: 0.7 }] };
    for (const row of during(await attacked(ONSET + 4 * HOUR, entry), 3))
      for (const view of [row.plc1, row.plc2, row.scada])
        expect(view[tag('L_T1')]! - row.physical[tag('L_T1')]!).toBeCloseTo(0.7, 9);
  });

  it('a PLC that reads an empty tank fills it until it overflows, and never above its rim', async () => {
    const entry = { duration: '16h', effects: [{ kind: 'link', tag: 'L_T1', to: 'PLC1', constant: 1 }] };
    const rows = during(await attacked(ONSET + 17 * HOUR, entry), 16);
    const level = series(rows, 'physical', 'L_T1');
    expect(Math.max(...level)).toBeCloseTo(6.2, 6);
    expect(level.filter((value) => value > 6.19).length).toBeGreaterThan(4 * HOUR);
    expect(series(rows, 'scada', 'S_PU1').every((on) => on === 1)).toBe(true);
    // Nothing is hidden: SCADA shows the overflow.
    expect(series(rows, 'scada', 'L_T1')).toEqual(level);
  });

  it('a slowed pump still shows as running, and gives less', async () => {
    const entry = { duration: '4h', effects: [{ kind: 'speed', actuator: 'PU1', speed: 0.8 }] };
    const [calm, slow] = [await attacked(ONSET + HOUR, null), await attacked(ONSET + 5 * HOUR, entry)];
    expect(slow.slice(0, ONSET).map(({ scada }) => scada)).toEqual(calm.slice(0, ONSET).map(({ scada }) => scada));
    expect([calm, slow].map((rows) => rows[ONSET]!.scada[tag('S_PU1')])).toEqual([1, 1]);
    const [full, reduced] = [calm, slow].map((rows) => rows[ONSET]!.scada[tag('F_PU1')]!);
    expect(reduced! / full!).toBeLessThan(0.75);
    expect(slow.at(-1)!.scada[tag('F_PU1')]! / full!).toBeGreaterThan(0.9);
  });

  it.each([
    ['PU4', 'on', 1],
    ['PU1', 'off', 0],
    ['V1', 'on', 1],
    ['V1', 'off', 0],
  ] as const)('%s forced %s stays so for as long as the effect lasts', async (actuator, state, shown) => {
    const entry = { duration: '6h', effects: [{ kind: 'force', actuator, state, after: '1h', lasts: '4h' }] };
    const rows = await attacked(ONSET + 7 * HOUR, entry);
    const forced = rows.slice(ONSET + HOUR, ONSET + 5 * HOUR);
    expect(series(forced, 'scada', `S_${actuator}`).every((status) => status === shown)).toBe(true);
    expect(series(forced, 'physical', `F_${actuator}`).every((flow) => flow > 1 === (shown === 1))).toBe(true);
    expect(rows.filter(({ attack }) => attack === 'a')).toHaveLength(6 * HOUR);
  });
});

describe('concealment', () => {
  const force = { kind: 'force', actuator: 'V1', state: 'off' };

  it('an exact replay loops what SCADA had before, for its tags and its time, and again from the start', async () => {
    const replay = { kind: 'replay', tags: ['L_T2', 'S_V1'], period: '5h', after: '1h', lasts: '8h' };
    const rows = await attacked(ONSET + 10 * HOUR, { duration: '6h', effects: [force], concealment: [replay] });
    const from = ONSET + HOUR;
    for (let i = 0; i < 8 * HOUR; i++)
      for (const name of ['L_T2', 'S_V1'])
        expect(rows[from + i]!.scada[tag(name)]).toBe(rows[from - 5 * HOUR + (i % (5 * HOUR))]!.scada[tag(name)]);
    expect(rows[from + 2 * HOUR]!.scada[tag('F_V1')]).toBe(0);
    expect(rows[from + 3 * HOUR]!.plc2[tag('L_T2')]).toBe(rows[from + 3 * HOUR]!.physical[tag('L_T2')]);
    expect(rows[from - 1]!.scada[tag('L_T2')]).toBe(rows[from - 1]!.physical[tag('L_T2')]);
    // The concealment outlasts the effect, and with it the label.
    expect(rows.map(({ attack }) => attack).lastIndexOf('a')).toBe(from + 8 * HOUR - 1);
    expect(rows[from + 8 * HOUR]!.scada[tag('L_T2')]).toBe(rows[from + 8 * HOUR]!.physical[tag('L_T2')]);
  });

  it('a replay of 48 h repeats the day before the last one first', async () => {
    const replay = { kind: 'replay', tags: ['L_T2'], period: '48h' };
    const rows = await attacked(ONSET + 50 * HOUR, { duration: '50h', effects: [force], concealment: [replay] });
    const shown = (hour: number) => rows[ONSET + hour * HOUR]!.scada[tag('L_T2')];
    const before = (hour: number) => rows[ONSET - hour * HOUR]!.scada[tag('L_T2')];
    expect([shown(0), shown(24), shown(47), shown(48)]).toEqual([before(48), before(24), before(1), before(48)]);
  });

  it('a noisy replay stays near what it loops, and statuses stay statuses', async () => {
    const replay = { kind: 'replay', tags: ['L_T2', 'S_V1'], period: '24h', noise: 0.5 };
    const rows = await attacked(ONSET + 6 * HOUR, { duration: '6h', effects: [force], concealment: [replay] });
    const off = during(rows, 6).map((row, i) => row.scada[tag('L_T2')]! - rows[ONSET - 96 + i]!.scada[tag('L_T2')]!);
    expect(off.every((difference) => difference !== 0 && Math.abs(difference) < 5 * 0.5 * 0.05)).toBe(true);
    expect(series(during(rows, 6), 'scada', 'S_V1').every((status) => status === 0 || status === 1)).toBe(true);
  });

  it('a polyline adds to the true value along straight lines', async () => {
    const polyline = {
      kind: 'polyline',
      tags: ['L_T2'],
      points: [
        ['0s', 0],
        ['1h', -0.8],
        ['2h', -0.4],
      ],
    };
    const rows = during(await attacked(ONSET + 3 * HOUR, { duration: '3h', concealment: [polyline] }), 3);
    const added = rows.map(({ scada, physical }) => scada[tag('L_T2')]! - physical[tag('L_T2')]!);
    const expected = [0, -0.2, -0.4, -0.6, -0.8, -0.7, -0.6, -0.5, -0.4, -0.4, -0.4, -0.4];
    for (const [i, value] of expected.entries()) expect(added[i]).toBeCloseTo(value, 9);
  });

  it('a freeze repeats the last row before it', async () => {
    const freeze = { kind: 'freeze', tags: ['L_T2', 'P_J11'] };
    const rows = await attacked(ONSET + 2 * HOUR, { duration: '2h', effects: [force], concealment: [freeze] });
    for (const name of ['L_T2', 'P_J11'])
      expect(new Set(series(during(rows, 2), 'scada', name))).toEqual(new Set([rows[ONSET - 1]!.scada[tag(name)]]));
  });
});

describe('an attack', () => {
  it('is not visible before it makes a difference', async () => {
    const [calm, rows] = await Promise.all([
      attacked(ONSET + 12 * HOUR, null),
      attacked(ONSET + 12 * HOUR, { duration: '12h', effects: [{ kind: 'force', actuator: 'PU5', state: 'on' }] }),
    ]);
    const wouldRun = series(calm, 'physical', 'S_PU5').slice(ONSET);
    const firstDifference = wouldRun.indexOf(0);
    const firstVisible = rows.slice(ONSET).findIndex(({ visible }) => visible);
    // The scans between two rows may see the difference before the row does.
    expect([firstDifference - 1, firstDifference]).toContain(firstVisible);
    expect(rows.slice(ONSET + firstVisible).every(({ visible }) => visible)).toBe(true);
  });

  it('that names what the plant does not have, or is over, is refused with every reason', async () => {
    const { config, network } = loaded;
    const plant = await Plant.open({ config, network, variation: { seed: 1 } });
    plant.step();
    const at = Date.parse(config.start);
    const parse = (entry: object) =>
      attackCatalogueSchema.parse({ attacks: [{ name: 'a', duration: '1h', ...entry }] }).attacks[0]!;
    const wrong = parse({
      effects: [
        { kind: 'force', actuator: 'PU77', state: 'on' },
        { kind: 'link', tag: 'L_T2', to: 'PLC4', constant: 1 },
      ],
      concealment: [{ kind: 'freeze', tags: ['L_T9'] }],
    });
    expect(() => plant.schedule(attackAt(wrong, at))).toThrowError(/PU77.*L_T2 to PLC4.*L_T9/);
    const past = attackAt(parse({ effects: [{ kind: 'force', actuator: 'PU1', state: 'on' }] }), at - 7_200_000);
    expect(() => plant.schedule(past)).toThrowError(/past that/);
    plant.close();
  });
});
