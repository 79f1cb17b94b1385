import type { UnfittedResidual } from '@twinwatch/core/features/patterns';
import type { ResidualSpec } from '@twinwatch/core/features/spec';
import { createRandom } from '@twinwatch/core/learning/random';
import { describe, expect, it } from 'vitest';
import { fitExpectations } from './expectations.js';
import { chooseTerms } from './ridge.js';

/** A tank of area 50 m² fed by a pump and drawn by a demand with a daily swing; a second pump never runs; pressure falls with flow². */

const HOUR_MS = 3_600_000;
const facts = {
  intervalMs: HOUR_MS,
  tags: [
    { name: 'LEVEL', unit: 'm', kind: 'analog', resolution: 0.01 },
    { name: 'FLOW', unit: 'm³/h', kind: 'analog', resolution: 0.1 },
    { name: 'SPARE', unit: 'm³/h', kind: 'analog', resolution: 0.1 },
    { name: 'PRESSURE', unit: 'm', kind: 'analog', resolution: 0.1 },
    { name: 'NOISE', unit: '', kind: 'analog', resolution: 0.1 },
    { name: 'PUMP', unit: '', kind: 'status', resolution: 1 },
  ],
} as const;

function tankEpisode(seed: string, count: number) {
  const random = createRandom(seed);
  let level = 3;
  const rows = Array.from({ length: count }, (_, i) => {
    const flow = random.next() < 0.5 ? 0 : 20 + 10 * random.next();
    const demand = 12 + 5 * Math.sin((2 * Math.PI * i) / 24) + random.normal();
    level += (flow - demand) / 50;
    const pressure = 40 - 0.02 * flow ** 2;
    const noise = random.normal();
    const values = Float64Array.of(level, flow, 0.01 * noise, pressure, noise, flow > 0 ? 1 : 0);
    return { timeMs: i * HOUR_MS, sequence: i, values };
  });
  return { rows, labels: new Uint8Array(count), excluded: new Uint8Array(count), attackNames: [] };
}

const term = (tag: string, rowsAgo: 0 | 1, power: 1 | 2 = 1) => ({ tag, rowsAgo, power });
const balance: UnfittedResidual = {
  ...{ type: 'residual', tag: 'LEVEL', of: 'change', harmonics: 2, windows: [1, 24] },
  candidates: ['FLOW', 'SPARE', 'PRESSURE', 'NOISE', 'PUMP'].flatMap((tag) => [term(tag, 0), term(tag, 1)]),
};
const curve: UnfittedResidual = {
  ...{ type: 'residual', tag: 'PRESSURE', of: 'value', harmonics: 0, windows: [1] },
  candidates: [term('FLOW', 0), term('FLOW', 0, 2), term('NOISE', 0), term('LEVEL', 0)],
};

const fit = (features: readonly UnfittedResidual[], episodes: readonly ReturnType<typeof tankEpisode>[]) =>
  fitExpectations(features, facts, episodes) as ResidualSpec[];

describe('fitExpectations', () => {
  it('finds the mass balance and the pump curve, and leaves out what they do not need', () => {
    const [level, pressure] = fit([balance, curve], [tankEpisode('a', 1_000), tankEpisode('b', 1_000)]);
    expect(level!.terms.map(({ tag, rowsAgo, power }) => [tag, rowsAgo, power])).toEqual([['FLOW', 0, 1]]);
    expect(level!.terms[0]!.weight).toBeCloseTo(1 / 50, 3);
    expect(level!.hours).toHaveLength(1);
    expect(level!.hours[0]).toBeCloseTo(-5 / 50, 2);
    expect(level!.offset).toBeCloseTo(-12 / 50, 2);
    expect(level).toMatchObject({ type: 'residual', tag: 'LEVEL', of: 'change', windows: [1, 24] });
    const square = pressure!.terms.find(({ power }) => power === 2)!;
    expect(square.weight).toBeCloseTo(-0.02, 2);
    expect(pressure!.terms.every(({ tag }) => tag === 'FLOW')).toBe(true);
  });

  it('looks at normal rows alone, and gives the same digits every time', () => {
    const episode = tankEpisode('a', 600);
    const [clean] = fit([balance], [episode]);
    const spoilt = tankEpisode('a', 900);
    for (let i = 600; i < 900; i++) {
      spoilt.rows[i]!.values[0] = 1e6 * (i % 7);
      (i < 700 ? spoilt.labels : spoilt.excluded)[i] = 1;
    }
    expect(fit([balance], [spoilt])).toEqual([clean]);
    const gap = tankEpisode('a', 600);
    const [first, ...others] = gap.rows;
    expect(fit([balance], [{ ...gap, rows: [{ ...first!, timeMs: -9 * HOUR_MS }, ...others] }])).not.toEqual([clean]);
  });

  it('expects the mean where nothing moved, and refuses to expect anything of no rows', () => {
    const spare: UnfittedResidual = { ...curve, tag: 'PUMP', candidates: [term('SPARE', 0), term('SPARE', 0, 2)] };
    const still = tankEpisode('a', 100);
    for (const { values } of still.rows) values[5] = 1;
    expect(fit([spare], [still])[0]).toMatchObject({ terms: [], hours: [], offset: 1 });
    const attacked = { ...still, labels: still.labels.slice().fill(1) };
    expect(() => fit([spare], [attacked])).toThrow(expect.objectContaining({ code: 'LEARNER_NO_ATTACKS' }));
    expect(fitExpectations([{ type: 'raw', tag: 'PUMP' }], facts, [])).toEqual([{ type: 'raw', tag: 'PUMP' }]);
  });
});

describe('chooseTerms', () => {
  it('solves, and leaves the solution of what is kept', () => {
    const matrix = [
      [2, 1, 0.5],
      [1, 3, 0.2],
      [0.5, 0.2, 1],
    ].map((row) => Float64Array.from(row));
    const answer = Float64Array.of(0.4, 0.8, 0.1);
    const all = chooseTerms(matrix, answer, 0.5, () => false);
    for (const [i, row] of matrix.entries()) {
      const left = row.reduce((sum, value, j) => sum + value * all.get(j)!, 0.5 * all.get(i)!);
      expect(left).toBeCloseTo(answer[i]!, 12);
    }
    const errors: number[] = [];
    const two = chooseTerms(matrix, answer, 0.5, ({ terms, unexplained }) => {
      errors.push(unexplained);
      return terms === 2;
    });
    expect(errors[0]).toBe(1);
    const [a, b] = [...two.keys()] as [number, number];
    const [aa, ab, bb] = [matrix[a]![a]! + 0.5, matrix[a]![b]!, matrix[b]![b]! + 0.5];
    const [wa, wb] = [two.get(a)!, two.get(b)!];
    expect(aa * wa + ab * wb).toBeCloseTo(answer[a]!, 12);
    expect(ab * wa + bb * wb).toBeCloseTo(answer[b]!, 12);
    const explained = 2 * (wa * answer[a]! + wb * answer[b]!);
    const variance = matrix[a]![a]! * wa ** 2 + 2 * ab * wa * wb + matrix[b]![b]! * wb ** 2;
    expect(errors[2]).toBeCloseTo(1 - explained + variance, 12);
  });
});
