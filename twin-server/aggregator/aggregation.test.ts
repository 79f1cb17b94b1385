import { describe, expect, it } from 'vitest';
import { type AggregatedOutcome, aggregateRound } from './aggregation.js';
import { weightedMean } from './combine/weighted-mean.js';
import { cwa } from './strategies/cwa.js';
import { fedavg } from './strategies/fedavg.js';
import { fpf } from './strategies/fpf.js';
import type { CollectedRound, Strategy } from './strategies/strategy.js';
import { noAnswer, sines, strategyRound } from './testing/strategy-round.js';

async function outcome(
  strategy: Strategy,
  round: CollectedRound,
  sent?: Parameters<typeof aggregateRound>[3],
): Promise<AggregatedOutcome> {
  const made = await aggregateRound(strategy, round, noAnswer, sent);
  if ('failure' in made) throw new Error(made.detail);
  return made;
}

/** Clients that moved from the base by multiples of one direction. */
function along(multiples: readonly number[], base: Float32Array) {
  return multiples.map((multiple, k) => ({
    ...{ agent: `site-${k}`, rows: 100 },
    parameters: base.map((value, i) => value + multiple * sines(1.9)[i]!),
  }));
}

describe('the course from updates to parameters', () => {
  it('filters first, so that the strategy weighs those that are left', async () => {
    const base = sines(0.2);
    const clients = along([1, 1.2, 0.8, -3], base);
    const round = strategyRound(0, { filter: { cosine: 'median' }, fpf: { gamma: 0 } }, { clients });
    const made = await outcome(fpf, round);
    expect(made.leftOut).toEqual([{ agent: 'site-3', detail: expect.stringContaining('-1.000') }]);
    const without = await outcome(fpf, { ...round, clients: clients.slice(0, 3) });
    expect(made.global).toEqual(without.global);
    expect(fpf.weights({ ...round, clients })).toHaveLength(4);
  });

  it('measures updates from what was sent down, which need not be Θ', async () => {
    const base = sines(0.7);
    const clients = along([1, 1.2, 0.8, 50], base);
    const round = strategyRound(
      1,
      { method: 'fpf', filter: { cosine: 'twin', normMultiple: 1 } },
      { clients, twin: base },
    );
    const made = await outcome(cwa, round, { base, momenta: null });
    expect(made.remarks).toEqual([expect.stringContaining('compared with their median instead')]);
    const bound = 1.1;
    const [expected] = along([(1 + bound + 0.8 + bound) / 4], base);
    for (const [i, value] of made.global.entries()) expect(value).toBeCloseTo(expected!.parameters[i]!, 5);
  });

  it('hands the twin’s step only those whom the combiner took', async () => {
    const heard: string[] = [];
    const listening: Strategy = {
      ...fedavg,
      integrate(given) {
        heard.push(...given.clients.map(({ agent }) => agent));
        return fedavg.integrate(given);
      },
    };
    const clients = along([1, 1.1, 0.9, 1.05, 500], sines(0.2));
    const combiner = { type: 'multiKrum', byzantine: 1, weights: 'equal' };
    const made = await outcome(listening, strategyRound(0, { quorum: 5, combiner }, { clients }));
    expect(made.leftOut.map(({ agent }) => agent)).toContain('site-4');
    expect(heard).not.toContain('site-4');
    expect(heard.length).toBeGreaterThan(0);
  });

  it('compares with the twin’s direction only in what clients send', async () => {
    // The first client moves half-way to the twin in all that it sends; what it does not send, the twin moved far more.
    const base = sines(0.2).fill(0);
    const twin = base.map((_, i) => (i < 11 ? 1 : 100));
    const clients = [{ agent: 'site-0', rows: 1, parameters: base.map((_, i) => (i < 11 ? 0.5 : 0)) }];
    const filter = { cosine: 'twin', minimumCosine: 0.9 };
    const made = await outcome(fpf, strategyRound(0, { method: 'lpe', filter }, { clients, twin }), {
      base,
      momenta: null,
    });
    expect(made.leftOut).toEqual([]);
  });

  it('steps from what was sent down before the strategy integrates the twin, and hands the momenta on', async () => {
    const serverOptimizer = { type: 'fedavgm', learningRate: 0.5, momentum: 0.9 };
    const base = sines(0.2);
    const round = strategyRound(0, { serverOptimizer, fpf: { gamma: 0.25 } }, { clients: along([1, 1], base) });
    const first = await outcome(fpf, round, { base, momenta: null });
    const second = await outcome(fpf, round, { base, momenta: first.momenta });
    for (const [i, value] of second.global.entries()) {
      const stepped = base[i]! + 0.5 * 1.9 * sines(1.9)[i]!;
      expect(value).toBeCloseTo(0.25 * round.twin[i]! + 0.75 * stepped, 5);
    }
    expect((await outcome(fpf, strategyRound(0))).momenta).toBeNull();
  });

  it('says whom Krum passed over, and what it did where too few were left', async () => {
    const clients = along([1, 1.01, 1.02, 0.99, -20], sines(0.2));
    const config = { quorum: 5, combiner: { type: 'multiKrum', byzantine: 1 } };
    const made = await outcome(fedavg, strategyRound(0, config, { clients }));
    expect(made.leftOut.map(({ agent }) => agent)).toContain('site-4');
    expect(made.leftOut).toHaveLength(3);
    const few = await outcome(fedavg, strategyRound(0, { ...config, filter: { cosine: 'median' } }, { clients }));
    expect(few.leftOut.map(({ agent }) => agent)).toEqual(['site-4']);
    expect(few.remarks).toEqual([expect.stringContaining('4 updates are too few for multiKrum, which needs 5')]);
  });

  it('fails in words where nobody is left', async () => {
    const base = sines(0.2);
    const twin = base.map((value, i) => value - sines(1.9)[i]!);
    const round = strategyRound(
      0,
      { method: 'fpf', filter: { cosine: 'twin' } },
      { clients: along([1, 2], base), twin },
    );
    expect(await aggregateRound(fpf, round, noAnswer)).toEqual({
      failure: 'nobody-left',
      detail: expect.stringContaining('all of 2 updates: its cosine to the twin model is -1.000, below 0; lower'),
    });
  });

  it('is the weighted mean where nothing is configured', async () => {
    const round = strategyRound(0);
    const vectors = round.clients.map(({ parameters }) => parameters);
    const made = await outcome(fedavg, round);
    expect(made).toEqual({
      ...{ global: weightedMean(vectors, [1 / 6, 2 / 6, 3 / 6]), twin: round.twin, momenta: null },
      ...{ leftOut: [], remarks: [] },
    });
  });
});
