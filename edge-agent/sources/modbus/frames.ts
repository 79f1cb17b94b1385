import { isBitTable, type RegisterTable } from '@twinwatch/core/config/template-tag';

/**
 * Bytes of Modbus reads: requests, and what counts as the answer to one. Modbus Application Protocol 1.1b3 §6.1–6.4, MBAP of the
 * Messaging on TCP/IP Implementation Guide 1.0b §3.1.3, CRC of the Serial Line Specification 1.02 §2.5.1.2.
 */

export interface ReadRequest {
  readonly table: RegisterTable;
  readonly address: number;
  /** Registers, or bits in a coil or discrete table. */
  readonly count: number;
}

export type Reply =
  /** One number per register or bit asked for. */
  | { readonly kind: 'words'; readonly words: Uint16Array }
  | { readonly kind: 'exception'; readonly exception: number }
  | { readonly kind: 'malformed'; readonly detail: string };

const FUNCTION_CODE: Readonly<Record<RegisterTable, number>> = { coil: 1, discrete: 2, holding: 3, input: 4 };
const MBAP_BYTES = 7;
const PDU_MAXIMUM_BYTES = 253;

/** Data bytes of a good reply. */
export function dataBytes(request: ReadRequest): number {
  return isBitTable(request.table) ? Math.ceil(request.count / 8) : request.count * 2;
}

function requestPdu({ table, address, count }: ReadRequest): Buffer {
  const pdu = Buffer.alloc(5);
  pdu.writeUInt8(FUNCTION_CODE[table], 0);
  pdu.writeUInt16BE(address, 1);
  pdu.writeUInt16BE(count, 3);
  return pdu;
}

/** What a reply's PDU (function code onwards) says about this request. */
function parsePdu(pdu: Buffer, request: ReadRequest): Reply {
  const code = FUNCTION_CODE[request.table];
  if (pdu.length >= 2 && pdu[0] === (code | 0x80)) return { kind: 'exception', exception: pdu[1] ?? 0 };
  if (pdu[0] !== code) return { kind: 'malformed', detail: `function ${pdu[0] ?? 'missing'} instead of ${code}` };
  const bytes = dataBytes(request);
  if (pdu[1] !== bytes || pdu.length !== bytes + 2)
    return { kind: 'malformed', detail: `${pdu.length - 2} data bytes (says ${pdu[1] ?? 0}) instead of ${bytes}` };
  const words = new Uint16Array(request.count);
  for (let i = 0; i < request.count; i++)
    words[i] = isBitTable(request.table) ? ((pdu[2 + (i >> 3)] ?? 0) >> (i & 7)) & 1 : pdu.readUInt16BE(2 + i * 2);
  return { kind: 'words', words };
}

export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return crc;
}

/** How requests and replies are framed on one kind of bus. */
export interface Framing {
  readonly name: 'tcp' | 'rtu';
  encode(unit: number, request: ReadRequest, transaction: number): Buffer;
  /**
   * The answer to exactly this request among the bytes received since it was sent, null while there is none. Frames of other
   * transactions, units, functions or lengths are late answers to somebody else: skipped.
   */
  findReply(received: Buffer, unit: number, request: ReadRequest, transaction: number): Reply | null;
}

export const tcpFraming: Framing = {
  name: 'tcp',
  encode(unit, request, transaction) {
    const pdu = requestPdu(request);
    const header = Buffer.alloc(MBAP_BYTES);
    header.writeUInt16BE(transaction, 0);
    header.writeUInt16BE(pdu.length + 1, 4);
    header.writeUInt8(unit, 6);
    return Buffer.concat([header, pdu]);
  },
  findReply(received, unit, request, transaction) {
    let at = 0;
    while (at + MBAP_BYTES <= received.length) {
      const length = received.readUInt16BE(at + 4);
      if (received.readUInt16BE(at + 2) !== 0 || length < 3 || length > PDU_MAXIMUM_BYTES + 1)
        return {
          kind: 'malformed',
          detail: `not a Modbus TCP header: ${received.toString('hex', at, at + MBAP_BYTES)}`,
        };
      const end = at + 6 + length;
      if (end > received.length) return null;
      if (received.readUInt16BE(at) === transaction && received[at + 6] === unit)
        return parsePdu(received.subarray(at + MBAP_BYTES, end), request);
      at = end;
    }
    return null;
  },
};

export const rtuFraming: Framing = {
  name: 'rtu',
  encode(unit, request) {
    const body = Buffer.concat([Buffer.from([unit]), requestPdu(request)]);
    const crc = Buffer.alloc(2);
    crc.writeUInt16LE(crc16(body));
    return Buffer.concat([body, crc]);
  },
  /** Silence between frames is not visible through USB adapters and gateways, so a reply is known by its head and its CRC. */
  findReply(received, unit, request) {
    const code = FUNCTION_CODE[request.table];
    const bytes = dataBytes(request);
    for (let at = 0; at + 5 <= received.length; at++) {
      if (received[at] !== unit) continue;
      const exception = received[at + 1] === (code | 0x80);
      if (!exception && (received[at + 1] !== code || received[at + 2] !== bytes)) continue;
      const end = at + (exception ? 3 : 3 + bytes);
      if (end + 2 > received.length || crc16(received.subarray(at, end)) !== received.readUInt16LE(end)) continue;
      return parsePdu(received.subarray(at + 1, end), request);
    }
    return null;
  },
};
