import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { buildSchema, mergedScaler, twinScaler } from './lineage.js';
import { plantRows, syntheticConfig, syntheticTwin, TAGS } from './testing/synthetic-plant.js';
import { readTwinCache, writeTwinCache } from './twin-cache.js';
import { balancedDataset, classBalancedSample, splitEpisodes, twinFeatures } from './twin-rows.js';

const schema = buildSchema(syntheticConfig({}).detector, { tags: TAGS, intervalMs: 900_000 }, []);
const split = { validationShare: 0.25, seed: 3 };
const twin = twinFeatures(schema, splitEpisodes(syntheticTwin(1).episodes, split));
const attacks = (labels: Float32Array) => labels.reduce((sum, label) => sum + label, 0);

describe('twin rows', () => {
  it('are split by whole episodes, with attacks and normal running on both sides', () => {
    expect([twin.training.labels.length, attacks(twin.training.labels)]).toEqual([6 * 288, 3 * 50]);
    expect([twin.validation.labels.length, attacks(twin.validation.labels)]).toEqual([2 * 288, 50]);
    const levels = new Set(twin.training.features.filter((_, i) => i % 3 === 0));
    expect(twin.validation.features.some((value, i) => i % 3 === 0 && levels.has(value))).toBe(false);
    expect(twin.moments.count).toBe(6 * 288 - 150);
  });

  it('leave out what should be neither learned nor scored', () => {
    const episode = plantRows('x', 3, 0, [10, 60]);
    const excluded = episode.excluded.fill(1, 60, 100);
    const { episodes } = syntheticTwin(1);
    const kept = twinFeatures(schema, splitEpisodes([...episodes, { ...episode, excluded }], split));
    const rows = (of: typeof twin) => of.training.labels.length + of.validation.labels.length;
    expect(rows(kept) - rows(twin)).toBe(288 - 40);
  });

  it('weigh the same in both classes, and are shared half and half', () => {
    const scaler = mergedScaler([], twin.moments, schema, 8);
    const data = balancedDataset(twin.training, scaler);
    const weight = (label: number) =>
      data.weights!.reduce((sum, w, i) => (data.labels[i] === label ? sum + w : sum), 0);
    expect(weight(0)).toBeCloseTo(weight(1), 1);
    const sample = classBalancedSample(data, 3, 200, 5);
    expect([sample.labels.length, attacks(sample.labels)]).toEqual([200, 100]);
    const most = classBalancedSample(data, 3, 1_000, 5);
    expect([most.labels.length, attacks(most.labels)]).toEqual([1_000, 150]);
    expect(classBalancedSample(data, 3, 1e6, 5).labels.length).toBe(6 * 288);
  });
});

describe('scaler of a lineage', () => {
  it('comes from the clients’ moments alone, floored by what a tag can resolve', () => {
    const moments = [
      { count: 2, mean: [1, 10, 1], m2: [0, 2, 0] },
      { count: 0, mean: [9, 99, 9], m2: [9, 9, 9] },
      { count: 2, mean: [3, 10, 1], m2: [0, 2, 0] },
    ];
    const scaler = mergedScaler(moments, twin.moments, schema, 8);
    expect(scaler).toEqual({ mean: [2, 10, 1], scale: [1, 1, 1], clip: 8 });
    expect(mergedScaler([], twin.moments, schema, 8).mean[0]).toBeCloseTo(3, 1);
  });
});

describe('scaler of the twin', () => {
  it('makes its normal rows look like any normal rows, or is that of the sites', () => {
    const sites = { mean: [5, 20, 1], scale: [2, 3, 1], clip: 8 };
    expect(twinScaler(twin.moments, sites, schema, 'sites')).toEqual(sites);
    const own = twinScaler(twin.moments, sites, schema, 'own');
    const { features, labels } = balancedDataset(twin.training, own);
    const levels = [...labels.keys()].filter((i) => labels[i] === 0).map((i) => features[i * 3]!);
    const mean = levels.reduce((sum, each) => sum + each, 0) / levels.length;
    const variance = levels.reduce((sum, each) => sum + (each - mean) ** 2, 0) / levels.length;
    expect([mean, variance]).toEqual([expect.closeTo(0, 3), expect.closeTo(1, 3)]);
    expect(own.clip).toBe(8);
  });
});

describe('twin cache', () => {
  const folder = mkdtempSync(join(tmpdir(), 'twinwatch-cache-'));
  const file = join(folder, 'twin.cbor');
  afterAll(() => rmSync(folder, { recursive: true }));

  it('gives back what was written, for the same key only, and nothing from a damaged file', async () => {
    expect(await readTwinCache(file, 'k')).toBeNull();
    await writeTwinCache(file, 'k', { schema, features: twin });
    expect(await readTwinCache(file, 'k')).toEqual({ schema, features: twin });
    expect(await readTwinCache(file, 'other')).toBeNull();
    writeFileSync(file, 'nonsense');
    expect(await readTwinCache(file, 'k')).toBeNull();
  });
});
