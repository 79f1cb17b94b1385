import { roundsConfig } from '@twinwatch/core/config/server';
import { layers } from '@twinwatch/core/learning/network';
import { describe, expect, it } from 'vitest';
import { aggregateRound } from '../aggregation.js';
import { strategyNamed } from './by-name.js';
import { PLAIN_PLAN, type Strategy, validationLoss } from './strategy.js';

const config = roundsConfig.parse({ proximalMu: 0.05, twinEpochs: 3 });
const round = (t: number, clients: { parameters: Float32Array; rows: number }[]) => ({
  ...{ t, config, layers: layers({ inputs: 1, hidden: [], members: 1 }) },
  clients: clients.map((client, k) => ({ agent: `site-${k}`, ...client })),
  global: Float32Array.of(0, 0),
  twin: Float32Array.of(9, 9),
});
const names: Strategy['name'][] = ['fedavg', 'fedprox', 'cwa'];
const aggregate = (name: Strategy['name'], of: ReturnType<typeof round>) =>
  aggregateRound(strategyNamed(name), of, () => Promise.reject(new Error('nobody asks')));

describe('strategies', () => {
  it('averages by the clients’ rows', async () => {
    const clients = [
      { parameters: Float32Array.of(1, 2), rows: 100 },
      { parameters: Float32Array.of(5, -2), rows: 300 },
    ];
    for (const name of names) {
      const outcome = await aggregate(name, round(1, clients));
      expect(outcome).toMatchObject({ global: Float32Array.of(4, -1), twin: Float32Array.of(9, 9) });
    }
  });

  it('hands the aggregate to the twin in even rounds of CWA, and trains the twin before odd ones', async () => {
    const cwa = strategyNamed('cwa');
    expect(cwa.plan({ t: 0, config, layerCount: 1 })).toEqual(PLAIN_PLAN);
    expect(cwa.plan({ t: 1, config, layerCount: 1 })).toEqual({
      ...PLAIN_PLAN,
      twinFit: { from: 'twin', epochs: 3 },
      send: 'twin',
    });
    const even = await aggregate('cwa', round(2, [{ parameters: Float32Array.of(1, 2), rows: 5 }]));
    expect(even).toMatchObject({ global: Float32Array.of(1, 2), twin: Float32Array.of(1, 2) });
  });

  it('leaves the twin out of FedAvg and FedProx, and gives only FedProx a proximal term', () => {
    expect(strategyNamed('fedavg').plan({ t: 1, config, layerCount: 1 })).toEqual(PLAIN_PLAN);
    expect(strategyNamed('fedprox').plan({ t: 1, config, layerCount: 1 })).toEqual({ ...PLAIN_PLAN, proximalMu: 0.05 });
  });

  it('fails in words instead of averaging nothing, shapes that differ, or NaN', async () => {
    const fine = { parameters: Float32Array.of(1, 2), rows: 5 };
    for (const name of names) {
      const fail = (clients: (typeof fine)[]) => aggregate(name, round(0, clients));
      expect(await fail([])).toMatchObject({ failure: 'zero-weight' });
      expect(await fail([{ ...fine, rows: 0 }])).toMatchObject({ failure: 'zero-weight' });
      expect(await fail([{ ...fine, rows: Number.POSITIVE_INFINITY }])).toMatchObject({ failure: 'zero-weight' });
      expect(await fail([fine, { parameters: Float32Array.of(1), rows: 5 }])).toMatchObject({ failure: 'wrong-shape' });
      expect(await fail([fine, { parameters: Float32Array.of(1, Number.NaN), rows: 5 }])).toMatchObject({
        failure: 'not-finite',
        detail: expect.stringContaining('parameter 1'),
      });
    }
  });

  it('asks the server, and goes on with its answer', async () => {
    const asking: Strategy = {
      ...strategyNamed('fedavg'),
      *integrate({ aggregated, twin }) {
        const [own, twins] = [yield* validationLoss(aggregated), yield* validationLoss(twin)];
        return { global: own < twins ? aggregated : twin, twin };
      },
    };
    const of = round(0, [{ parameters: Float32Array.of(1, 2), rows: 5 }]);
    const nearOne = await aggregateRound(asking, of, async ({ at }) => Math.abs(at[0]! - 1));
    expect(nearOne).toMatchObject({ global: Float32Array.of(1, 2) });
    expect(await aggregateRound(asking, of, async ({ at }) => Math.abs(at[0]! - 9))).toMatchObject({ global: of.twin });
    const broken: Strategy = { ...asking, integrate: ({ twin }) => ({ global: Float32Array.of(0, Number.NaN), twin }) };
    expect(await aggregateRound(broken, of, async () => 0)).toMatchObject({ failure: 'not-finite' });
  });
});
