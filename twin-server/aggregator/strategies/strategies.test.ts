import { describe, expect, it } from 'vitest';
import { strategyNamed } from './by-name.js';
import type { Strategy } from './strategy.js';

const config = { proximalMu: 0.05, twinEpochs: 3 };
const round = (t: number, updates: { parameters: Float32Array; rows: number }[]) => ({
  ...{ t, config, updates },
  global: Float32Array.of(0, 0),
  twin: Float32Array.of(9, 9),
});
const names: Strategy['name'][] = ['fedavg', 'fedprox', 'cwa'];

describe('strategies', () => {
  it('averages by the clients’ rows', () => {
    const updates = [
      { parameters: Float32Array.of(1, 2), rows: 100 },
      { parameters: Float32Array.of(5, -2), rows: 300 },
    ];
    for (const name of names) {
      const outcome = strategyNamed(name).aggregate(round(1, updates));
      expect(outcome).toEqual({ global: Float32Array.of(4, -1), twin: Float32Array.of(9, 9) });
    }
  });

  it('hands the aggregate to the twin in even rounds of CWA, and trains the twin before odd ones', () => {
    const cwa = strategyNamed('cwa');
    expect(cwa.plan({ t: 0, config })).toEqual({ twinFit: null, send: 'global', proximalMu: 0 });
    expect(cwa.plan({ t: 1, config })).toEqual({ twinFit: { from: 'twin', epochs: 3 }, send: 'twin', proximalMu: 0 });
    const even = cwa.aggregate(round(2, [{ parameters: Float32Array.of(1, 2), rows: 5 }]));
    expect(even).toEqual({ global: Float32Array.of(1, 2), twin: Float32Array.of(1, 2) });
  });

  it('leaves the twin out of FedAvg and FedProx, and gives only FedProx a proximal term', () => {
    expect(strategyNamed('fedavg').plan({ t: 1, config })).toEqual({ twinFit: null, send: 'global', proximalMu: 0 });
    expect(strategyNamed('fedprox').plan({ t: 1, config })).toEqual({
      twinFit: null,
      send: 'global',
      proximalMu: 0.05,
    });
  });

  it('fails in words instead of averaging nothing, shapes that differ, or NaN', () => {
    const fine = { parameters: Float32Array.of(1, 2), rows: 5 };
    for (const name of names) {
      const fail = (updates: (typeof fine)[]) => strategyNamed(name).aggregate(round(0, updates));
      expect(fail([])).toMatchObject({ failure: 'zero-weight' });
      expect(fail([{ ...fine, rows: 0 }])).toMatchObject({ failure: 'zero-weight' });
      expect(fail([{ ...fine, rows: Number.POSITIVE_INFINITY }])).toMatchObject({ failure: 'zero-weight' });
      expect(fail([fine, { parameters: Float32Array.of(1), rows: 5 }])).toMatchObject({ failure: 'wrong-shape' });
      expect(fail([fine, { parameters: Float32Array.of(1, Number.NaN), rows: 5 }])).toMatchObject({
        failure: 'not-finite',
        detail: expect.stringContaining('parameter 1'),
      });
    }
  });
});
