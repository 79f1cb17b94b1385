import { expect, it } from 'vitest';
import { familyTable, type Judgement } from './leave-family-out.js';
import { markdownTable, spreadOf, spreadWords } from './summary.js';

it('brings seeds together, over the values that exist', () => {
  expect(spreadOf([1, 2, 3, null, Number.NaN])).toEqual({ mean: 2, deviation: 1, count: 3 });
  expect(spreadOf([0.5])).toEqual({ mean: 0.5, deviation: 0, count: 1 });
  expect(spreadWords([0.9, 0.92], 2)).toBe('0.91 ± 0.01');
  expect(spreadWords([null])).toBe('—');
  expect(markdownTable(['a', 'b'], [['x', '1']])).toBe('| a | b |\n| --- | ---: |\n| x | 1 |');
});

it('puts what saw a family beside what did not', () => {
  const judged = (rocAuc: number): Judgement => ({ rocAuc, prAuc: 0.5, detected: 1, falseAlarmsPerDay: 0.1 });
  const result = (seed: number) =>
    ({ family: 'speed', seed, attacks: 10, seen: judged(0.9), leftOut: judged(0.7 + seed / 10) }) as const;
  const [, , row] = familyTable([result(0), result(1)]).split('\n');
  expect(row).toMatch(/^\| speed \| 20 \| 0\.900 ± 0\.000 \| 0\.750 ± 0\.071 \|/);
});
