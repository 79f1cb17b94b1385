import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';
import { writePlantFromNetwork } from './plant-from-network.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-plant-'));
  vi.spyOn(console, 'log').mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true });
});

it('writes files that the twin loads, finds the network from where they lie, and overwrites only when told to', async () => {
  const network = join(directory, '2 towns.inp');
  writeFileSync(network, readFileSync(fromRepository('configs/reference-plant/network.inp')));
  const out = join(directory, 'plants', 'plant.yaml');
  await writePlantFromNetwork(network, { out });
  const { config, attacks } = await loadPlant(out, readTextFile);
  expect([config.name, config.network]).toEqual(['plant-2-towns', '../2 towns.inp']);
  expect(attacks.attacks.length).toBeGreaterThan(10);
  writeFileSync(out, 'mine');
  await expect(writePlantFromNetwork(network, { out })).rejects.toMatchObject({ code: 'CLI_USAGE' });
  expect(readFileSync(out, 'utf8')).toBe('mine');
  await writePlantFromNetwork(network, { out, force: true });
  expect(readFileSync(out, 'utf8')).toContain('name: plant-2-towns');
});

it('writes nothing where the network cannot be read or simulated', async () => {
  const out = join(directory, 'plant.yaml');
  const missing = join(directory, 'none.inp');
  await expect(writePlantFromNetwork(missing, { out })).rejects.toMatchObject({ code: 'CONFIG_UNREADABLE' });
  writeFileSync(missing, '[JUNCTIONS]\n A 1\n B\n');
  await expect(writePlantFromNetwork(missing, { out })).rejects.toMatchObject({
    code: 'PLANT_NETWORK_INVALID',
    message: expect.stringContaining('none.inp'),
  });
  expect(() => readFileSync(out)).toThrow();
});
