import { describe, expect, it } from 'vitest';
import { aggregateRound } from '../aggregation.js';
import { noAnswer, strategyRound } from '../testing/strategy-round.js';
import { dtkd } from './dtkd.js';
import { PLAIN_PLAN } from './strategy.js';

describe('DTKD', () => {
  it('asks for a teacher, of five epochs unless told otherwise, and averages what the students learned', async () => {
    const planOf = (rounds: object) => dtkd.plan({ t: 3, layerCount: 2, config: strategyRound(3, rounds).config });
    expect(planOf({})).toEqual({ ...PLAIN_PLAN, teacher: { epochs: 5 } });
    expect(planOf({ dtkd: { teacherEpochs: 9 } }).teacher).toEqual({ epochs: 9 });
    const round = strategyRound(3);
    const outcome = await aggregateRound(dtkd, round, noAnswer);
    if ('failure' in outcome) throw new Error(outcome.detail);
    const [a, b, c] = round.clients.map(({ parameters }) => parameters);
    const mean = a!.map((value, i) => value / 6 + b![i]! / 3 + c![i]! / 2);
    for (const [i, value] of mean.entries()) expect(outcome.global[i]).toBeCloseTo(value, 6);
    expect(outcome.twin).toBe(round.twin);
  });
});
