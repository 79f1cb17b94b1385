import { hashOf } from './blobs.js';
import { CHUNK_DATA_BYTES } from './chunks.js';
import type { EvaluateTask, FitTask } from './messages.js';

/** Parameters of a small network go down within the task that names them, from protocol 2 on: one message for an agent and round instead of two. */

export const INLINE_PROTOCOL = 2;

/** About what one chunk holds, less what a task takes: what is urgent waits behind it no longer than behind a chunk. */
export const MAXIMUM_INLINE_BYTES = CHUNK_DATA_BYTES - 256;

/** @param bytes of the parameters that the task names. */
export function withParameters<T extends FitTask | EvaluateTask>(task: T, bytes: Uint8Array): T {
  return bytes.length <= MAXIMUM_INLINE_BYTES ? { ...task, inline: bytes } : task;
}

/** Null where the task holds none, or others than it names. */
export function inlineParameters({ inline, parameters }: FitTask | EvaluateTask): Uint8Array | null {
  return inline !== undefined && inline.length === parameters.bytes && hashOf(inline) === parameters.hash
    ? inline
    : null;
}
