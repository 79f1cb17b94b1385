import type { RegisterTable } from '@twinwatch/core/config/template-tag';

/**
 * Modbus TCP, the reading half (Modbus Messaging on TCP/IP 1.0b, §3.1; Application Protocol 1.1b3, §6.1–6.4): bytes to
 * requests, answers to bytes. Pure. modbus-serial's own server waits a timer tick per request, about 800 answers a second on one connection.
 */

/** A read of `count` bits or registers from zero-based `address`. */
export interface ReadRequest {
  readonly transaction: number;
  readonly unit: number;
  readonly functionCode: number;
  /** Null where the function is not one of the four reads. */
  readonly table: RegisterTable | null;
  readonly address: number;
  readonly count: number;
}

const HEADER_BYTES = 7;
const LONGEST_PDU_BYTES = 253;
const MAXIMUM_REGISTERS = 125;
const MAXIMUM_BITS = 2000;
const TABLE_OF: Readonly<Record<number, RegisterTable>> = { 1: 'coil', 2: 'discrete', 3: 'holding', 4: 'input' };

export const EXCEPTION = { illegalFunction: 1, illegalAddress: 2, illegalValue: 3 } as const;

/** Whole requests at the start of `bytes`, and what is left; null where the bytes are not Modbus, and the connection is of no more use. */
export function takeRequests(bytes: Buffer): { requests: ReadRequest[]; rest: Buffer } | null {
  const requests: ReadRequest[] = [];
  let at = 0;
  while (bytes.length - at >= HEADER_BYTES + 1) {
    const length = bytes.readUInt16BE(at + 4);
    if (bytes.readUInt16BE(at + 2) !== 0 || length < 2 || length > LONGEST_PDU_BYTES + 1) return null;
    if (bytes.length - at < 6 + length) break;
    const functionCode = bytes[at + 7]!;
    const isRead = length >= 6;
    requests.push({
      transaction: bytes.readUInt16BE(at),
      unit: bytes[at + 6]!,
      functionCode,
      table: TABLE_OF[functionCode] ?? null,
      address: isRead ? bytes.readUInt16BE(at + 8) : 0,
      count: isRead ? bytes.readUInt16BE(at + 10) : 0,
    });
    at += 6 + length;
  }
  return { requests, rest: bytes.subarray(at) };
}

/** True where the standard allows that many in one read. */
export function isAllowedCount(request: ReadRequest): boolean {
  const maximum = request.table === 'coil' || request.table === 'discrete' ? MAXIMUM_BITS : MAXIMUM_REGISTERS;
  return request.count >= 1 && request.count <= maximum;
}

function frame(request: ReadRequest, functionCode: number, dataBytes: number): Buffer {
  const out = Buffer.alloc(HEADER_BYTES + 1 + dataBytes);
  out.writeUInt16BE(request.transaction, 0);
  out.writeUInt16BE(2 + dataBytes, 4);
  out[6] = request.unit;
  out[7] = functionCode;
  return out;
}

/** The answer that says why not. */
export function exceptionFrame(request: ReadRequest, exception: number): Buffer {
  const out = frame(request, request.functionCode | 0x80, 1);
  out[8] = exception;
  return out;
}

/** The answer with `words` [count]: registers as they are, bits packed eight to a byte with the first in the lowest. */
export function readFrame(request: ReadRequest, words: Uint16Array): Buffer {
  const bits = request.table === 'coil' || request.table === 'discrete';
  const bytes = bits ? Math.ceil(words.length / 8) : words.length * 2;
  const out = frame(request, request.functionCode, 1 + bytes);
  out[8] = bytes;
  for (const [i, word] of words.entries()) {
    if (!bits) out.writeUInt16BE(word, 9 + i * 2);
    else if (word !== 0) out[9 + (i >> 3)]! |= 1 << (i & 7);
  }
  return out;
}
