import { TwinwatchError } from '../errors.js';

/** The part of the protobuf wire format that ONNX files need (protobuf.dev/programming-guides/encoding). */

/** One field: its number and a value. Whole numbers go as varint, everything else length-delimited. */
export type ProtoField = readonly [field: number, value: number | string | Uint8Array | ProtoMessage];
export type ProtoMessage = readonly ProtoField[];

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

export function encodeMessage(message: ProtoMessage): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [field, value] of message) {
    if (typeof value === 'number') {
      parts.push(varint(field * 8 + VARINT), varint(value));
      continue;
    }
    const body =
      typeof value === 'string'
        ? new TextEncoder().encode(value)
        : value instanceof Uint8Array
          ? value
          : encodeMessage(value);
    parts.push(varint(field * 8 + LENGTH_DELIMITED), varint(body.length), body);
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Length-delimited fields of a message, in their order; numbers are skipped. @throws TwinwatchError ONNX_MALFORMED. */
export function* readFields(bytes: Uint8Array): Generator<{ field: number; value: Uint8Array }> {
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw malformed('a number does not end');
  };
  while (at < bytes.length) {
    const key = number();
    const field = Math.floor(key / 8);
    switch (key % 8) {
      case VARINT:
        number();
        break;
      case FIXED64:
        at += 8;
        break;
      case FIXED32:
        at += 4;
        break;
      case LENGTH_DELIMITED: {
        const length = number();
        if (length > bytes.length - at) throw malformed('a field is longer than the file');
        yield { field, value: bytes.subarray(at, at + length) };
        at += length;
        break;
      }
      default:
        throw malformed(`field ${field} is of an unknown kind`);
    }
  }
}

function malformed(what: string): TwinwatchError {
  return new TwinwatchError('ONNX_MALFORMED', `These bytes are no ONNX file: ${what}; fetch the model again`);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
