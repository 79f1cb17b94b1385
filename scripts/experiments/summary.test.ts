import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { familyTable, type Judgement } from './leave-family-out.js';
import { ResultFile } from './result-file.js';
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

it('keeps the seeds of an interrupted run, but not those of a run with other options', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'experiment-')), 'out', 'result.json');
  const first = new ResultFile<{ seed: number; value: number }>(path, { rounds: 2 });
  await first.goOn();
  await first.add([{ seed: 1, value: 7 }]);
  const second = new ResultFile<{ seed: number; value: number }>(path, { rounds: 2 });
  await second.goOn();
  expect([second.has(1), second.has(2), second.results]).toEqual([true, false, [{ seed: 1, value: 7 }]]);
  const other = new ResultFile(path, { rounds: 3 });
  await other.goOn();
  expect(other.has(1)).toBe(false);
});
