import { expect, it } from 'vitest';
import { blobRef } from './blobs.js';
import { inlineParameters, MAXIMUM_INLINE_BYTES, withParameters } from './inline-parameters.js';
import type { EvaluateTask } from './messages.js';

const taskOf = (bytes: Uint8Array): EvaluateTask => ({
  ...{ kind: 'evaluate', round: 1, attempt: 1, lineage: blobRef(Uint8Array.of(1)), deadlineMs: 1 },
  parameters: blobRef(bytes),
});

it('puts few parameters into their task, and takes out only those that it names', () => {
  const most = new Uint8Array(MAXIMUM_INLINE_BYTES).fill(7);
  expect(inlineParameters(withParameters(taskOf(most), most))).toEqual(most);
  const more = new Uint8Array(MAXIMUM_INLINE_BYTES + 1);
  expect(withParameters(taskOf(more), more)).not.toHaveProperty('inline');
  expect(inlineParameters(taskOf(most))).toBeNull();
  expect(inlineParameters({ ...taskOf(most), inline: most.map(() => 8) })).toBeNull();
  expect(inlineParameters({ ...taskOf(most), inline: most.subarray(1) })).toBeNull();
});
