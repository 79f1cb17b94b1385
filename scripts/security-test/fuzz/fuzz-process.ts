import { TwinwatchError } from '@twinwatch/core/errors';
import fc from 'fast-check';
import { hostileBytes } from './mutation.js';
import { REFUSED } from './target.js';
import { targetOf } from './targets.js';

/** For tests, a process of its own: throws inputs at one decoder, so that a crash, a hang or an exhausted heap ends it and not the test. */

/** What is said to the test: progress, so that a hang is noticed, and the end. */
export interface FuzzReport {
  readonly inputs: number;
  readonly accepted: number;
  readonly refused: number;
  /** Held after a collection, at the end against after a tenth of the inputs. */
  readonly heapGrowthBytes: number;
}

const PROGRESS_INPUTS = 50;

const [group = '', name = '', inputs = '0', seed = '0'] = process.argv.slice(2);
const target = await targetOf(group, name);
const { decode, release } = target;
const wanted = Number(inputs);

let accepted = 0;
let refused = 0;
let heapAtFirst = 0;
const held = () => {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};
const one = async (bytes: Uint8Array) => {
  try {
    if ((await decode(bytes)) === REFUSED) refused++;
    else accepted++;
  } catch (error) {
    if (!(error instanceof TwinwatchError)) throw error;
    refused++;
  }
  const done = accepted + refused;
  if (done % PROGRESS_INPUTS === 0) process.send?.({ done });
  if (done === Math.ceil(wanted / 10)) heapAtFirst = held();
};

for (const bytes of target.hostile) await one(bytes);
const samples = await target.samples();
// A sample that is refused teaches the fuzzer nothing about what lies behind the first check.
for (const sample of samples)
  if ((await decode(sample)) === REFUSED)
    throw new Error(`a sound sample is refused: ${Buffer.from(sample).toString('hex')}`);
await fc.assert(fc.asyncProperty(hostileBytes(samples), one), {
  numRuns: wanted,
  seed: Number(seed),
  endOnFailure: true,
});
await release?.();
const report: FuzzReport = { inputs: accepted + refused, accepted, refused, heapGrowthBytes: held() - heapAtFirst };
process.send?.({ report });
process.disconnect?.();
