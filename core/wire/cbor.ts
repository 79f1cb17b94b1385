import { Encoder } from 'cbor-x';
import { TwinwatchError } from '../errors.js';

/**
 * CBOR (RFC 8949) restricted to what the messages need: no tags, no indefinite lengths, no classes. A decoder that
 * honours tags builds objects the sender chooses; here the bytes are walked first and anything else is refused.
 */

const MAXIMUM_DEPTH = 16;

const codec = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false });

/** Plain objects, arrays, strings, numbers, booleans, null and Uint8Array. */
export function encodeCbor(value: unknown): Uint8Array {
  return codec.encode(value);
}

/**
 * Byte strings in the result are views of `bytes`.
 * @throws TwinwatchError WIRE_TOO_LARGE above `maximumBytes`; WIRE_MALFORMED when not exactly one item of the subset.
 */
export function decodeCbor(bytes: Uint8Array, maximumBytes: number): unknown {
  if (bytes.length > maximumBytes)
    throw new TwinwatchError(
      'WIRE_TOO_LARGE',
      `message of ${bytes.length} bytes is above the limit of ${maximumBytes}; large things go as chunks`,
      { context: { bytes: bytes.length, maximumBytes } },
    );
  const fault = findFault(bytes);
  if (fault !== null) throw new TwinwatchError('WIRE_MALFORMED', `not a CBOR message of this protocol: ${fault}`);
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw new TwinwatchError('WIRE_MALFORMED', 'not a CBOR message of this protocol', { cause });
  }
}

/** Null when `bytes` is one well-formed item of the subset, else what is wrong with it. */
function findFault(bytes: Uint8Array): string | null {
  /** Items still to come at each open array or map. */
  const open: number[] = [1];
  let at = 0;
  while (open.length > 0) {
    const remaining = open[open.length - 1]!;
    if (remaining === 0) {
      open.pop();
      continue;
    }
    open[open.length - 1] = remaining - 1;
    const head = readHead(bytes, at);
    if (typeof head === 'string') return head;
    at = head.next;
    switch (head.major) {
      case 2:
      case 3:
        at += head.argument;
        if (at > bytes.length) return 'truncated string';
        break;
      case 4:
      case 5: {
        const items = head.major === 4 ? head.argument : head.argument * 2;
        if (items > bytes.length - at) return 'truncated list';
        if (open.length > MAXIMUM_DEPTH) return `nested deeper than ${MAXIMUM_DEPTH}`;
        open.push(items);
        break;
      }
      case 6:
        return `tag ${head.argument}`;
      default:
        break;
    }
  }
  return at === bytes.length ? null : `${bytes.length - at} bytes after the end`;
}

function readHead(bytes: Uint8Array, at: number): { major: number; argument: number; next: number } | string {
  const first = bytes[at];
  if (first === undefined) return 'truncated';
  const major = first >> 5;
  const info = first & 0x1f;
  if (info < 24) {
    if (major === 7 && (info < 20 || info > 23)) return `simple value ${info}`;
    return { major, argument: info, next: at + 1 };
  }
  if (info > 27) return 'indefinite length or reserved byte';
  if (major === 7 && info === 24) return 'simple value';
  const width = 1 << (info - 24);
  if (at + 1 + width > bytes.length) return 'truncated number';
  let argument = 0;
  for (let i = 1; i <= width; i++) argument = argument * 256 + bytes[at + i]!;
  return { major, argument, next: at + 1 + width };
}
