import { describe, expect, it } from 'vitest';
import { judged, type ShadowNumbers } from './shadow-numbers.js';

const BOUNDS = { maximumFalseRate: 0.01, falseRateMargin: 0.01 };
const told = (rows: number, above: number, rest: Partial<ShadowNumbers> = {}): ShadowNumbers => ({
  ...{ rows, above, currentAbove: 0, errors: 0, failed: false, detail: '' },
  ...rest,
});
const of = (...numbers: ShadowNumbers[]) => Object.fromEntries(numbers.map((one, i) => [`site-${i + 1}`, one]));

describe('what agents tell of a model', () => {
  it('counts row by row where there are one or two, and nothing is above all of its rows', () => {
    expect(judged(of(told(100, 2), told(100, 4)), 2, BOUNDS)).toMatchObject({ rows: 200, rate: 0.03, bound: 0.02 });
    expect(judged(of(told(100, 500, { currentAbove: 500 })), 1, BOUNDS)).toMatchObject({ rate: 1, currentRate: 1 });
    expect(judged({}, 3, BOUNDS)).toMatchObject({ rows: 0, rate: 0, isBad: false, isBroken: false });
  });

  it('leaves out best and worst from three agents on, of ten two each, and says so', () => {
    const three = judged(of(told(100, 0), told(100, 1), told(100, 100)), 3, BOUNDS);
    expect(three).toMatchObject({ rows: 300, rate: 0.01, isBad: false });
    expect(three.words).toMatch(
      /^1.00 % of 300 rows are above its threshold \(without the 1 best and worst of 3 agents\)/,
    );
    const ten = (liars: number) =>
      judged(of(...Array.from({ length: 10 }, (_, i) => (i < liars ? told(100, 100) : told(100, 1)))), 10, BOUNDS);
    expect(ten(2)).toMatchObject({ rate: 0.01, isBad: false });
    expect(ten(3).rate).toBeCloseTo((1 + 5 * 0.01) / 6);
    expect(ten(3).isBad).toBe(true);
  });

  it('gives no agent more weight than the one in the middle has', () => {
    const numbers = of(told(1e15, 0), told(100, 1), told(100, 9), told(100, 100), told(100, 9));
    expect(judged(numbers, 5, BOUNDS)).toMatchObject({ rows: 500, rate: expect.closeTo(0.19 / 3) });
    const early = of(told(1e15, 1e15), told(10, 10));
    expect(judged(early, 10, BOUNDS)).toMatchObject({ rows: 20, isBad: false });
  });

  it('takes one that says that its current model alarms all the time for the best', () => {
    const lie = told(100, 90, { currentAbove: 100 });
    expect(judged(of(lie, told(100, 10), told(100, 10)), 3, BOUNDS)).toMatchObject({ rate: 0.1, currentRate: 0 });
  });

  it.each([
    [2, 1],
    [3, 2],
    [9, 2],
    [20, 3],
  ])('calls it broken, of %d agents, once %d say that it does not run', (asked, least) => {
    const failing = (count: number) =>
      judged(of(...Array.from({ length: count }, () => told(0, 0, { failed: true }))), asked, BOUNDS);
    expect(failing(least - 1).isBroken).toBe(false);
    expect(failing(least).isBroken).toBe(true);
  });
});
