import { afterEach, describe, expect, it, vi } from 'vitest';
import { Hydraulics } from './hydraulics.js';
import { Plant } from './plant.js';
import { loadTestPlant } from './testing/load-test-plant.js';

describe('a network file', () => {
  it.each([
    ['', 'finds 0 nodes, 0 links and 0 tanks'],
    ['this is not a network', 'finds 0 nodes'],
    ['[JUNCTIONS]\n J1 10 many\n[END]', 'illegal numeric value many'],
    ['[JUNCTIONS]\n J1 10\n[RESERVOIRS]\n R 20\n[PIPES]\n P R J9 10 100 100\n[END]', 'J9'],
  ])('that EPANET rejects or finds nothing in is an error: %j', async (text, words) => {
    await expect(Hydraulics.open(text, 'some.inp')).rejects.toMatchObject({
      code: 'PLANT_NETWORK_INVALID',
      message: expect.stringMatching(new RegExp(`some\\.inp.*${words}`)),
    });
  });

  it('whose elements are not those of the plant file is an error that names them all', async () => {
    const { config, network } = await loadTestPlant();
    const renamed = network
      .replaceAll(/\bT4\b/g, 'T9')
      .replaceAll(/\bPU5\b/g, 'PU9')
      .replaceAll('DISTRICT_B', 'DISTRICT_X');
    const opening = Plant.open({ config, network: renamed, variation: { seed: 1 } });
    await expect(opening).rejects.toMatchObject({
      code: 'PLANT_MISMATCH',
      message: expect.stringMatching(/tank|'T4'[\s\S]*'PU5'[\s\S]*'DISTRICT_B'/),
    });
  });
});

describe("EPANET's warnings", () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('are counted and never written to the console', async () => {
    const written = (['log', 'info', 'warn', 'error'] as const).map((method) => vi.spyOn(console, method));
    const { config, network } = await loadTestPlant();
    const plant = await Plant.open({ config, network, variation: { seed: 1, demandScale: 3 } });
    for (let i = 0; i < 96; i++) plant.step();
    const counts = [...plant.warnings()];
    plant.close();
    expect(counts.map(([words]) => words)).toContainEqual(expect.stringContaining('negative pressures'));
    expect(counts.every(([, count]) => count > 0)).toBe(true);
    for (const method of written) expect(method).not.toHaveBeenCalled();
  });
});
