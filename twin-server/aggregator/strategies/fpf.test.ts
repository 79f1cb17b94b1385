import { layers } from '@twinwatch/core/learning/network';
import { describe, expect, it } from 'vitest';
import { aggregateRound } from '../aggregation.js';
import { noAnswer, sines, strategyRound } from '../testing/strategy-round.js';
import { fpf } from './fpf.js';
import { rvCoefficient } from './rv-coefficient.js';
import type { ClientParameters } from './strategy.js';

/** Golden numbers: numpy 2.4, in double precision, from the definition with whole matrices. */
const CLOSE = 6;

describe('RV coefficient', () => {
  const { layers: slices } = strategyRound(0);

  it('is what the definition gives for two members of two layers, weighted by parameters', () => {
    const similarities = [0.3, 1.1, 2.3].map((s) => rvCoefficient(sines(s), sines(0.7), slices));
    for (const [k, r] of [0.25532969, 0.60960846, 0.60135791].entries()) expect(similarities[k]).toBeCloseTo(r, CLOSE);
  });

  it('is 1 for the same weights, whatever their scale, and does not tell X from −X', () => {
    const weights = sines(0.7);
    for (const factor of [1, 3, -1, -0.1]) {
      expect(rvCoefficient(weights.map((value) => factor * value) as Float32Array, weights, slices)).toBeCloseTo(
        1,
        CLOSE,
      );
    }
  });

  it('tells apart layers with one output, and calls zeros like nothing', () => {
    const one = layers({ inputs: 2, hidden: [], members: 1 });
    expect(rvCoefficient(Float32Array.of(1, 0, 5), Float32Array.of(0, 1, 5), one)).toBe(0);
    expect(rvCoefficient(Float32Array.of(1, 1, 0), Float32Array.of(1, 0, 9), one)).toBeCloseTo(0.5, CLOSE);
    expect(rvCoefficient(Float32Array.of(0, 0, 5), Float32Array.of(0, 1, 5), one)).toBe(0);
  });
});

describe('FPF', () => {
  it('weighs clients by the softmax of their similarity to the twin, not by their rows, and fuses the twin in', async () => {
    expect(fpf.plan({ t: 0, config: strategyRound(0, { twinEpochs: 4 }).config, layerCount: 2 })).toMatchObject({
      ...{ twinFit: { from: 'twin', epochs: 4 }, send: 'global' },
    });
    const weights = fpf.weights(strategyRound(0)) as Float64Array;
    for (const [k, w] of [0.26051199, 0.37126929, 0.36821872].entries()) expect(weights[k]).toBeCloseTo(w, CLOSE);
    const sharp = fpf.weights(strategyRound(0, { fpf: { temperature: 0.1 } })) as Float64Array;
    for (const [k, w] of [0.0148392, 0.51288917, 0.47227164].entries()) expect(sharp[k]).toBeCloseTo(w, 5);
    const round = strategyRound(0);
    const outcome = await aggregateRound(fpf, round, noAnswer);
    if ('failure' in outcome) throw new Error(outcome.detail);
    for (const [i, value] of [
      [0, 0.66906679],
      [5, 0.16090171],
      [10, 0.25048186],
      [21, 0.04357913],
    ] as const)
      expect(outcome.global[i]).toBeCloseTo(value, CLOSE);
    expect(outcome.twin).toBe(round.twin);
  });

  it('is the twin at γ = 1 and the clients alone at γ = 0', async () => {
    const [client] = strategyRound(0).clients;
    const fused = (gamma: number) =>
      aggregateRound(fpf, strategyRound(0, { fpf: { gamma } }, { clients: [client!] }), noAnswer);
    expect(await fused(1)).toMatchObject({ global: sines(0.7) });
    expect(await fused(0)).toMatchObject({ global: client!.parameters });
  });

  it('leaves a client that turns its parameters round the weight that it had', () => {
    const round = strategyRound(0);
    const honest = fpf.weights(round) as Float64Array;
    const clients = round.clients.map((client, k) => (k === 1 ? turned(client) : client));
    const attacked = fpf.weights({ ...round, clients }) as Float64Array;
    expect(attacked[1]).toBe(honest[1]);
  });

  it('fails in words without clients, and on shapes and numbers that are wrong', async () => {
    const client = strategyRound(0).clients[0]!;
    const fail = (clients: ClientParameters[]) => aggregateRound(fpf, strategyRound(0, {}, { clients }), noAnswer);
    expect(await fail([])).toMatchObject({ failure: 'zero-weight' });
    expect(await fail([client, { ...client, parameters: Float32Array.of(1) }])).toMatchObject({
      failure: 'wrong-shape',
    });
    const parameters = client.parameters.map(() => Number.NaN);
    expect(await fail([client, { ...client, parameters }])).toMatchObject({ failure: 'not-finite' });
  });
});

function turned(client: ClientParameters): ClientParameters {
  return { ...client, parameters: client.parameters.map((value) => -value) };
}
