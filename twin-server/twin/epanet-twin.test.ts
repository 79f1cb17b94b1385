import { beforeAll, describe, expect, it } from 'vitest';
import { EpanetTwin } from './epanet-twin.js';
import type { LoadedPlant } from './plant-config.js';
import { loadTestPlant } from './testing/load-test-plant.js';
import type { TwinProgress, TwinRequest } from './twin-source.js';

const REQUEST: TwinRequest = { seed: 3, episodes: 4, hoursPerEpisode: 72, attackShare: 0.5 };
let plant: LoadedPlant;
beforeAll(async () => {
  plant = await loadTestPlant();
});

describe('the EPANET twin', () => {
  it('makes labelled episodes, half of them attacked, the same on however many threads', async () => {
    const progress: TwinProgress[] = [];
    const one = await new EpanetTwin({ plant }).generate(REQUEST, (step) => progress.push(step));
    const two = await new EpanetTwin({ plant, threads: 2 }).generate(REQUEST, () => {});
    expect(two).toEqual(one);
    expect(progress.map(({ episodesDone }) => episodesDone)).toEqual([1, 2, 3, 4]);
    expect(one.tags.map(({ name }) => name)).toEqual(plant.config.tags.map(({ name }) => name));
    expect(one.episodes.map(({ labels }) => labels.includes(1))).toEqual([false, true, false, true]);
    for (const { rows, labels, excluded, attackNames } of one.episodes) {
      expect(rows).toHaveLength(72 * 4);
      expect(
        rows.every(
          ({ timeMs, values }, i) => timeMs === rows[0]!.timeMs + i * one.intervalMs && values.every(Number.isFinite),
        ),
      ).toBe(true);
      expect(attackNames.map((name) => (name === null ? 0 : 1))).toEqual([...labels]);
      // The rows right after an attack are recovery.
      for (let i = 1; i < labels.length; i++) if (labels[i - 1] === 1 && labels[i] === 0) expect(excluded[i]).toBe(1);
      if (!labels.includes(1)) expect(excluded.includes(1)).toBe(false);
    }
    const attacked = one.episodes[1]!;
    expect(attacked.labels.some((label, i) => label === 1 && attacked.excluded[i] === 0)).toBe(true);
  });

  it('goes on in the seed’s sequence where it is told to', async () => {
    const all = await new EpanetTwin({ plant }).generate({ ...REQUEST, hoursPerEpisode: 6 }, () => {});
    const tail = await new EpanetTwin({ plant }).generate(
      { ...REQUEST, hoursPerEpisode: 6, episodes: 2, firstEpisode: 2 },
      () => {},
    );
    expect(tail.episodes).toEqual(all.episodes.slice(2));
    const other = await new EpanetTwin({ plant }).generate(
      { ...REQUEST, hoursPerEpisode: 6, episodes: 1, seed: 4 },
      () => {},
    );
    expect(other.episodes[0]!.rows[0]).not.toEqual(all.episodes[0]!.rows[0]);
  });

  it('stops when it is aborted, with the reason', async () => {
    const stop = new AbortController();
    const running = new EpanetTwin({ plant }).generate(
      { ...REQUEST, episodes: 1_000 },
      () => stop.abort(new Error('enough')),
      stop.signal,
    );
    await expect(running).rejects.toThrow('enough');
    await expect(new EpanetTwin({ plant }).generate(REQUEST, () => {}, stop.signal)).rejects.toThrow('enough');
  });

  it('fails with the error of the thread', async () => {
    const broken = new EpanetTwin({ plant: { ...plant, network: '[JUNCTIONS]' } });
    await expect(broken.generate(REQUEST, () => {})).rejects.toMatchObject({ code: 'PLANT_NETWORK_INVALID' });
  });
});
