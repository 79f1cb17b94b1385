import { expect, it } from 'vitest';
import { faultedReads } from './testing/faulted-reads.js';

/** A few thousand answers with faults; faults.long.test.ts has a hundred thousand. */
it.each([
  ['tcp', 1_200],
  ['rtu+tcp', 500],
  ['ascii+tcp', 300],
] as const)('calls no wrong value good over a faulty %s line', async (protocol, injections) => {
  const { good, injected } = await faultedReads(protocol, injections, 32, 1);
  expect(injected.size).toBe(11);
  expect(good).toBeGreaterThan(injections / 10);
});
