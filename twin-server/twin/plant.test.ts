import { beforeAll, describe, expect, it } from 'vitest';
import { Plant, type PlantRow, type Variation } from './plant.js';
import type { LoadedPlant } from './plant-config.js';
import { loadTestPlant } from './testing/load-test-plant.js';

const ROWS_PER_DAY = 96;
let loaded: LoadedPlant;
beforeAll(async () => {
  loaded = await loadTestPlant();
});

async function run(rows: number, variation: Variation): Promise<PlantRow[]> {
  const { config, network } = loaded;
  const plant = await Plant.open({ config, network, variation });
  const result = Array.from({ length: rows }, () => plant.step());
  plant.close();
  return result;
}

function columns(rows: readonly PlantRow[], pattern: RegExp): { name: string; values: number[] }[] {
  return loaded.config.tags.flatMap(({ name }, i) =>
    pattern.test(name) ? [{ name, values: rows.map(({ physical }) => physical[i]!) }] : [],
  );
}

describe('the reference plant in normal running', () => {
  it.each([1, 2, 3])('keeps its tanks in their bands, and works every pump and valve (seed %i)', async (seed) => {
    const rows = (await run(9 * ROWS_PER_DAY, { seed })).slice(2 * ROWS_PER_DAY);
    const bands = { L_T1: [0.6, 5.8], L_T2: [1.6, 4.4], L_T3: [1.8, 5.5], L_T4: [1.2, 3.9] } as Record<
      string,
      [number, number]
    >;
    for (const { name, values } of columns(rows, /^L_/)) {
      expect([name, Math.min(...values) >= bands[name]![0], Math.max(...values) <= bands[name]![1]]).toEqual([
        name,
        true,
        true,
      ]);
      const turns = values.filter(
        (v, i) => i > 1 && (v - values[i - 1]!) * (values[i - 1]! - values[i - 2]!) < 0,
      ).length;
      expect([name, turns / 7 >= 4]).toEqual([name, true]);
    }
    for (const { name, values } of columns(rows, /^S_/)) {
      const starts = values.filter((v, i) => i > 0 && v > values[i - 1]!).length;
      expect([name, starts >= 3]).toEqual([name, true]);
    }
    for (const { name, values } of columns(rows, /^P_/)) expect([name, Math.min(...values) > 5]).toEqual([name, true]);
  });

  it('shows the same to PLCs and SCADA, and what is so within the sensors’ noise', async () => {
    const { config, network } = loaded;
    const plant = await Plant.open({ config, network, variation: { seed: 4, sensorNoise: 1 } });
    for (let i = 0; i < 200; i++) {
      const { scada, physical, plc, attack } = plant.step();
      expect(attack).toBeNull();
      for (const [t, { name, noise, quantum, plc: owner }] of config.tags.entries()) {
        expect(Math.abs(scada[t]! - physical[t]!)).toBeLessThanOrEqual(6 * noise + quantum);
        expect(plc(owner)[t]).toBe(scada[t]);
        const other = plc(owner === 'PLC1' ? 'PLC2' : 'PLC1')[t]!;
        if (name === 'L_T1') expect(other).toBe(scada[t]);
        else expect(other).toBeNaN();
      }
    }
    plant.close();
  });

  it('is the same for the same variation and another for another', async () => {
    const [first, again, other] = await Promise.all([run(50, { seed: 7 }), run(50, { seed: 7 }), run(50, { seed: 8 })]);
    expect(again.map(({ scada }) => scada)).toEqual(first.map(({ scada }) => scada));
    expect(other.at(-1)!.scada).not.toEqual(first.at(-1)!.scada);
  });

  it('takes demand, roughness and noise from the variation where it says so', async () => {
    const outflow = async (variation: Variation) => {
      const rows = await run(4 * ROWS_PER_DAY, variation);
      const total = columns(rows, /^F_PU[12]$/).reduce((sum, { values }) => sum + values.reduce((a, b) => a + b), 0);
      return total / rows.length;
    };
    const [low, high] = [await outflow({ seed: 1, demandScale: 0.8 }), await outflow({ seed: 1, demandScale: 1.1 })];
    expect(high / low).toBeGreaterThan(1.25);
    const quiet = await run(20, { seed: 1, sensorNoise: 0 });
    expect(quiet.every(({ scada, physical }) => Math.abs(scada[6]! - physical[6]!) < 1e-12)).toBe(true);
    const [smooth, rough] = [
      await run(2, { seed: 1, roughnessScale: 1.2 }),
      await run(2, { seed: 1, roughnessScale: 0.8 }),
    ];
    expect(columns(smooth, /^P_J16$/)[0]!.values[0]).toBeGreaterThan(columns(rough, /^P_J16$/)[0]!.values[0]!);
  });
});
