import { isBitTable, type RegisterTable } from '@twinwatch/core/config/template-tag';

/** What is asked of a unit and what counts as its answer, below any framing. Modbus Application Protocol 1.1b3 §6.1–6.6, §6.12. */

export interface ReadRequest {
  readonly table: RegisterTable;
  readonly address: number;
  /** Registers, or bits in a coil or discrete table. */
  readonly count: number;
}

export interface WriteRequest {
  readonly table: 'coil' | 'holding';
  readonly address: number;
  /** One bit for a coil; one or more registers. */
  readonly words: readonly number[];
}

export type ModbusRequest = ReadRequest | WriteRequest;

export type Reply =
  /** One number per register or bit asked for; for a write, what was written. */
  | { readonly kind: 'words'; readonly words: Uint16Array }
  | { readonly kind: 'exception'; readonly exception: number }
  | { readonly kind: 'malformed'; readonly detail: string };

const READ_CODE: Readonly<Record<RegisterTable, number>> = { coil: 1, discrete: 2, holding: 3, input: 4 };
const WRITE_COIL = 5;
const WRITE_REGISTER = 6;
const WRITE_REGISTERS = 16;
const COIL_ON = 0xff00;
/** Function, address and value, or address and count: what a unit echoes of a write. */
const ECHO_BYTES = 5;

export function isWrite(request: ModbusRequest): request is WriteRequest {
  return 'words' in request;
}

export function functionOf(request: ModbusRequest): number {
  if (!isWrite(request)) return READ_CODE[request.table];
  if (request.table === 'coil') return WRITE_COIL;
  return request.words.length === 1 ? WRITE_REGISTER : WRITE_REGISTERS;
}

/** Bytes of a good answer's PDU, function code included. */
export function replyBytes(request: ModbusRequest): number {
  if (isWrite(request)) return ECHO_BYTES;
  return 2 + (isBitTable(request.table) ? Math.ceil(request.count / 8) : request.count * 2);
}

export function requestPdu(request: ModbusRequest): Buffer {
  const code = functionOf(request);
  const many = isWrite(request) && code === WRITE_REGISTERS;
  const pdu = Buffer.allocUnsafe(many ? ECHO_BYTES + 1 + 2 * request.words.length : ECHO_BYTES);
  pdu[0] = code;
  pdu.writeUInt16BE(request.address, 1);
  if (!isWrite(request)) pdu.writeUInt16BE(request.count, 3);
  else if (!many) pdu.writeUInt16BE(singleValue(request), 3);
  else {
    pdu.writeUInt16BE(request.words.length, 3);
    pdu[5] = 2 * request.words.length;
    for (const [i, word] of request.words.entries()) pdu.writeUInt16BE(word, 6 + 2 * i);
  }
  return pdu;
}

function singleValue({ table, words }: WriteRequest): number {
  const word = words[0] ?? 0;
  return table === 'holding' ? word : word === 0 ? 0 : COIL_ON;
}

/** What a reply's PDU (function code onwards) says about this request. */
export function parsePdu(pdu: Buffer, request: ModbusRequest): Reply {
  const code = functionOf(request);
  if (pdu.length === 2 && pdu[0] === (code | 0x80)) return { kind: 'exception', exception: pdu[1]! };
  if (pdu[0] !== code) return { kind: 'malformed', detail: `function ${pdu[0] ?? 'missing'} instead of ${code}` };
  if (isWrite(request)) {
    const asked = requestPdu(request);
    return pdu.length === ECHO_BYTES && pdu.compare(asked, 0, ECHO_BYTES) === 0
      ? { kind: 'words', words: Uint16Array.from(request.words) }
      : { kind: 'malformed', detail: `echo ${pdu.toString('hex')} of write ${asked.toString('hex')}` };
  }
  const bytes = replyBytes(request) - 2;
  if (pdu[1] !== bytes || pdu.length !== bytes + 2)
    return { kind: 'malformed', detail: `${pdu.length - 2} data bytes (says ${pdu[1] ?? 0}) instead of ${bytes}` };
  const words = new Uint16Array(request.count);
  if (isBitTable(request.table)) for (let i = 0; i < request.count; i++) words[i] = (pdu[2 + (i >> 3)]! >> (i & 7)) & 1;
  else for (let i = 0, at = 2; i < words.length; i++, at += 2) words[i] = (pdu[at]! << 8) | pdu[at + 1]!;
  return { kind: 'words', words };
}
