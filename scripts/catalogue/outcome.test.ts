import { expect, it } from 'vitest';
import { judge, summarise } from './outcome.js';

const window = { startMs: 100, endMs: 200, recoveredMs: 250 };
const run = (seed: number) => ({ attack: 'a', seed, fromMs: 0, toMs: 400 });

it('tells alarms of the attack from those that nothing explains', () => {
  const hit = judge(run(1), window, [
    { raisedAtMs: 120, clearedAtMs: 210 },
    { raisedAtMs: 230, clearedAtMs: 240 },
  ]);
  expect(hit).toMatchObject({ detected: true, delayMs: 20, falseAlarms: 0, cleared: true, quietMs: 250 });
  const early = judge(run(2), window, [
    { raisedAtMs: 90, clearedAtMs: 150 },
    { raisedAtMs: 300, clearedAtMs: null },
  ]);
  expect(early).toMatchObject({ detected: false, delayMs: null, falseAlarms: 2, cleared: false });
  const late = judge(run(3), window, [{ raisedAtMs: 199, clearedAtMs: 200 }]);
  expect(summarise([hit, early, late])).toEqual([
    { attack: 'a', runs: 3, detected: 2, medianDelayMs: 20, longestDelayMs: 99, falseAlarms: 2 },
  ]);
});
