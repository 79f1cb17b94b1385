import { TwinwatchError } from '@twinwatch/core/errors';
import { decodeCbor, encodeCbor } from '@twinwatch/core/wire/cbor';
import type { Feedback } from '@twinwatch/core/wire/error-feedback';
import type { Update } from '@twinwatch/core/wire/messages';

/** An update that waits for its receipt, and what codecs left out, as they lie on the agent's disk: CBOR, numbers as float32 in the machine's order. */
export interface StoredUpdate extends Pick<Update, 'round' | 'attempt' | 'baseHash'> {
  /** The whole message, as it is sent. */
  readonly bytes: Uint8Array;
  /** What will be owed once it counts; null of an evaluation. */
  readonly feedback: Feedback | null;
  /** Wall clock, after which nobody waits for it; looked at after a restart only. */
  readonly untilMs: number;
}

const MAXIMUM_BYTES = 64 * 1024 * 1024;

export function encodeStoredUpdate({ feedback, ...rest }: StoredUpdate): Uint8Array {
  return encodeCbor({ ...rest, feedback: feedback === null ? null : plain(feedback) });
}

/** @throws TwinwatchError WIRE_* */
export function decodeStoredUpdate(stored: Uint8Array): StoredUpdate {
  const { round, attempt, baseHash, bytes, feedback, untilMs } = decodeCbor(
    stored,
    MAXIMUM_BYTES,
  ) as Unchecked<StoredUpdate>;
  if (typeof baseHash !== 'string' || !(bytes instanceof Uint8Array)) throw unreadable('update');
  if (!isNumber(round) || !isNumber(attempt) || !isNumber(untilMs)) throw unreadable('update');
  const owed = feedback === null ? null : feedbackOf(feedback);
  return { round, attempt, baseHash, bytes: Uint8Array.from(bytes), feedback: owed, untilMs };
}

export function encodeFeedback(feedback: Feedback): Uint8Array {
  return encodeCbor(plain(feedback));
}

/** @throws TwinwatchError WIRE_* */
export function decodeFeedback(stored: Uint8Array): Feedback {
  return feedbackOf(decodeCbor(stored, MAXIMUM_BYTES));
}

type Unchecked<T> = { readonly [K in keyof T]?: unknown };

function feedbackOf(value: unknown): Feedback {
  const { lineageHash, round, before, after } = (value ?? {}) as Unchecked<Feedback>;
  if (typeof lineageHash !== 'string' || !isNumber(round) || !(after instanceof Uint8Array))
    throw unreadable('residual');
  if (before === null) return { lineageHash, round, before, after: numbersOf(after) };
  if (!(before instanceof Uint8Array)) throw unreadable('residual');
  return { lineageHash, round, before: numbersOf(before), after: numbersOf(after) };
}

const isNumber = (value: unknown): value is number => typeof value === 'number';

function unreadable(what: string): TwinwatchError {
  return new TwinwatchError('WIRE_INVALID', `the ${what} in the store was not written by this release`);
}

function plain({ before, after, ...rest }: Feedback): object {
  return { ...rest, before: before === null ? null : bytesOf(before), after: bytesOf(after) };
}

function bytesOf(numbers: Float32Array): Uint8Array {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Copied, since what is cut out of a message starts anywhere. Bytes over are left out: the length is checked where the numbers are used. */
function numbersOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer, 0, bytes.length >> 2);
}
