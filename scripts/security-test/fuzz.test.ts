import { expect, it } from 'vitest';
import { runFuzz } from './fuzz/run-fuzz.js';
import { targetNames } from './fuzz/targets.js';

/** What nobody has asked for must not crash, hang or fill the memory: a few hundred inputs a decoder here, tens of thousands in fuzz.long.test.ts. */
it.concurrent.for(await targetNames())('takes anything for $name', { timeout: 240_000 }, async (target) => {
  const { inputs, accepted, refused } = await runFuzz(target, 300, 1);
  expect(inputs).toBeGreaterThanOrEqual(300);
  expect(refused).toBeGreaterThan(0);
  expect(accepted + refused).toBe(inputs);
});
