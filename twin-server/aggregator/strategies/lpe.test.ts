import { serverConfig } from '@twinwatch/core/config/server';
import { layers } from '@twinwatch/core/learning/network';
import { describe, expect, it } from 'vitest';
import { aggregateRound } from '../aggregation.js';
import { noAnswer, strategyRound } from '../testing/strategy-round.js';
import { lpe } from './lpe.js';
import type { CollectedRound, Integrated, ServerQuestion } from './strategy.js';

/** Three layers of one weight and one bias each, in two members: Θ^t is 0, the twin's are 1 … 12, the client's 101 … 112. */
const LAYERS = layers({ inputs: 1, hidden: [1, 1], members: 2 });
const counting = (from: number) => Float32Array.from({ length: 12 }, (_, i) => from + i);

function roundOf(settings: object, change: Partial<CollectedRound> = {}): CollectedRound {
  const clients = [{ agent: 'site', parameters: counting(101), rows: 10 }];
  const arrays = { layers: LAYERS, global: new Float32Array(12), twin: counting(1), clients };
  return strategyRound(0, { lpe: settings }, { ...arrays, ...change });
}

async function exchange(
  round: CollectedRound,
  answer: (question: ServerQuestion) => Promise<number> = noAnswer,
): Promise<Integrated> {
  const outcome = await aggregateRound(lpe, round, answer);
  if ('failure' in outcome) throw new Error(outcome.detail);
  return outcome;
}

/** 't' or 'c' per layer, where both members agree. */
function sources({ global, twin }: Integrated): string {
  expect(twin).toBe(global);
  const of = [...global].map((value) => (value > 100 ? 'c' : 't')).join('');
  expect(of.slice(0, 6)).toBe(of.slice(6));
  return `${of[0]}${of[2]}${of[4]}`;
}

const planOf = (settings: object, layerCount = 3) =>
  lpe.plan({ t: 0, layerCount, config: roundOf(settings, {}).config });

describe('LPE', () => {
  it.each([
    [{}, 'ttc', [false, false, true]],
    [{ lowerLayers: 1 }, 'tcc', [false, true, true]],
    [{ lowerLayers: 0 }, 'ccc', null],
    [{ policy: 'reversed' }, 'cct', [true, true, false]],
    [{ policy: 'custom', map: ['clients', 'twin', 'clients'] }, 'ctc', [true, false, true]],
  ])(
    '%j takes %s, weights and biases of both members, and asks for those layers only',
    async (settings, taken, mask) => {
      const outcome = await exchange(roundOf(settings));
      expect(sources(outcome)).toBe(taken);
      const expected = [...counting(1)].map((value, i) =>
        taken[Math.floor((i % 6) / 2)] === 't' ? value : value + 100,
      );
      expect([...outcome.global]).toEqual(expected);
      expect(planOf(settings)).toMatchObject({ twinFit: { from: 'twin', epochs: 2 }, send: 'global', layerMask: mask });
    },
  );

  it('never takes all layers of a small network from the twin by itself', () => {
    expect(planOf({}, 2).layerMask).toEqual([false, true]);
    expect(planOf({}, 1).layerMask).toBeNull();
    expect(planOf({}, 4).layerMask).toEqual([false, false, true, true]);
  });

  it('adapts by the loss: from the baseline, layer by layer, whichever direction is better', async () => {
    const best = 'ctt';
    const asked: string[] = [];
    const answer = async ({ at }: ServerQuestion) => {
      const taken = sources({ global: at, twin: at });
      asked.push(taken);
      return [...taken].filter((from, layer) => from !== best[layer]).length;
    };
    const outcome = await exchange(roundOf({ policy: 'adaptive', adaptBy: 'loss' }), answer);
    expect(sources(outcome)).toBe(best);
    expect(asked).toEqual(['ttc', 'ctc', 'ccc', 'ctt']);
    expect(planOf({ policy: 'adaptive' }).layerMask).toBeNull();
  });

  it('adapts by alignment: the twin’s layers where clients moved the same way', async () => {
    const parameters = counting(101).map((value, i) => (Math.floor((i % 6) / 2) === 1 ? -value : value));
    const clients = [{ agent: 'site', parameters, rows: 10 }];
    const aligned = await exchange(roundOf({ policy: 'adaptive', adaptBy: 'alignment' }, { clients }));
    expect([...aligned.global.slice(0, 6)]).toEqual([1, 2, -103, -104, 5, 6]);
    // Both: the twin alone would be best, but not against the clients' movement.
    const twins = async ({ at }: ServerQuestion) => at.reduce((sum, value) => sum + Math.abs(value), 0);
    const both = await exchange(roundOf({ policy: 'adaptive' }, { clients }), twins);
    expect(both.global).toEqual(aligned.global);
  });

  it('keeps the loss that it had where nothing is better', async () => {
    expect(sources(await exchange(roundOf({ policy: 'adaptive', adaptBy: 'loss' }), async () => 1))).toBe('ttc');
  });

  it('refuses maps that cannot be', () => {
    const problems = (settings: object) => {
      const rounds = { lpe: settings };
      const file = { federation: 'a', broker: { url: 'mqtt://a' }, dataDir: '.', twin: { plant: 'a' }, rounds };
      return serverConfig.safeParse(file).error?.issues.map(({ message }) => message);
    };
    expect(problems({ policy: 'custom', map: ['twin', 'clients', 'clients'] })).toBeUndefined();
    expect(problems({ policy: 'custom' })?.[0]).toContain('has to have a map');
    expect(problems({ map: ['twin', 'clients', 'clients'] })?.[0]).toContain('has to have a map');
    expect(problems({ policy: 'custom', map: ['twin', 'twin', 'twin'] })?.[0]).toContain('no layer from the clients');
    expect(problems({ policy: 'custom', map: ['twin', 'clients'] })?.[0]).toContain('2 entries for a network of 3');
  });
});
