import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deviceTemplateSchema, templateTags } from '@twinwatch/core/config/device-template';
import { parseConfig } from '@twinwatch/core/config/load';
import { describe, expect, it } from 'vitest';
import { attackAt, attackCatalogueSchema, checkAttack } from './attacks.js';
import { Plant } from './plant.js';
import { plantSchema, plantTags } from './plant-config.js';
import { configPath, loadTestPlant } from './testing/load-test-plant.js';

async function readPlant(folder: string) {
  const read = async (file: string) => readFile(configPath(`${folder}/${file}`), 'utf8');
  const config = parseConfig(plantSchema, await read('plant.yaml'), 'plant.yaml');
  const attacks = parseConfig(attackCatalogueSchema, await read('attacks.yaml'), 'attacks.yaml');
  return { config, attacks, read };
}

describe.each(['reference-plant', 'ctown'])('configs/%s', (folder) => {
  it('has a register map for each PLC, with that PLC’s tags as the plant file describes them', async () => {
    const { config, read } = await readPlant(folder);
    for (const plc of new Set(config.tags.map((tag) => tag.plc))) {
      const template = parseConfig(deviceTemplateSchema, await read(`${plc.toLowerCase()}.yaml`), plc);
      const expected = plantTags(config).filter((_, i) => config.tags[i]!.plc === plc);
      expect(templateTags(template)).toEqual(expected);
      expect(template.clock).toBeDefined();
    }
  });

  it('has attacks that fit it', async () => {
    const { config, attacks } = await readPlant(folder);
    expect(attacks.attacks.length).toBeGreaterThanOrEqual(6);
    for (const attack of attacks.attacks) expect(() => checkAttack(config, attackAt(attack, 0))).not.toThrow();
  });
});

it('a plant file with contradictions gets every one of them named', async () => {
  const text = (await readFile(configPath('reference-plant/plant.yaml'), 'utf8'))
    .replace('hydraulicStep: 5m', 'hydraulicStep: 7m')
    .replace('on: { tag: L_T4', 'on: { tag: L_T9')
    .replace('name: L_T2, ', 'name: L_T1, ');
  expect(() => parseConfig(plantSchema, text, 'plant.yaml')).toThrowError(
    /hydraulicStep[\s\S]*'?L_T1'? is there twice[\s\S]*L_T9/,
  );
});

it('the reference network has what a plant needs to be worth watching', async () => {
  const { config, network } = await loadTestPlant();
  const section = (name: string) =>
    network
      .split(`[${name}]`)[1]!
      .split('\n[')[0]!
      .split('\n')
      .filter((line) => /^\s+\S/.test(line)).length;
  expect(section('RESERVOIRS')).toBeGreaterThanOrEqual(1);
  expect(section('TANKS')).toBeGreaterThanOrEqual(3);
  expect(section('PUMPS')).toBeGreaterThanOrEqual(5);
  expect(section('VALVES')).toBeGreaterThanOrEqual(1);
  expect(section('JUNCTIONS')).toBeGreaterThanOrEqual(30);
  expect(new Set(config.tags.map(({ plc }) => plc)).size).toBe(4);
});

const data = process.env.TWINWATCH_DATA;
const ctown = data === undefined ? null : join(data, 'ctown.inp');
it.skipIf(ctown === null || !existsSync(ctown))(
  'C-Town runs in its published ranges (needs TWINWATCH_DATA, a folder with ctown.inp)',
  async () => {
    const { config } = await readPlant('ctown');
    const plant = await Plant.open({
      config,
      network: await readFile(ctown!, 'utf8'),
      variation: { seed: 1, demandScale: 1.02 },
    });
    const rows = Array.from({ length: 24 * 16 }, () => plant.step()).slice(48);
    plant.close();
    const mean = (tag: string) => {
      const column = config.tags.findIndex(({ name }) => name === tag);
      return rows.reduce((sum, { scada }) => sum + scada[column]!, 0) / rows.length;
    };
    expect(config.tags).toHaveLength(43);
    // Duty cycles and flows of the competition's attack-free year, ± 15 %: two weeks are few.
    for (const [tag, expected] of [
      ['S_PU1', 1],
      ['S_PU2', 0.73],
      ['S_PU7', 0.85],
      ['S_PU10', 0.81],
      ['F_V2', 56.5],
      ['L_T3', 4.2],
    ] as const)
      expect([tag, Math.abs(mean(tag) / expected - 1) < 0.15]).toEqual([tag, true]);
    expect([mean('S_PU3'), mean('S_PU5'), mean('S_PU9')]).toEqual([0, 0, 0]);
  },
);
