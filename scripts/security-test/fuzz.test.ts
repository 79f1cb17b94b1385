import { expect, it } from 'vitest';
import { runFuzz } from './fuzz/run-fuzz.js';
import { targets } from './fuzz/targets.js';

/** What nobody has asked for must not crash, hang or fill the memory: a few hundred inputs a decoder here, tens of thousands in fuzz.long.test.ts. */
it.each(targets.map(({ name }) => name))(
  'takes anything for %s',
  async (name) => {
    const { inputs, accepted, refused } = await runFuzz(name, 300, 1);
    expect(inputs).toBeGreaterThanOrEqual(300);
    expect(refused).toBeGreaterThan(0);
    expect(accepted + refused).toBe(inputs);
  },
  120_000,
);
