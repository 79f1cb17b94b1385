import { functionOf, isWrite, type ModbusRequest, parsePdu, type Reply, replyBytes, requestPdu } from './requests.js';

/**
 * How requests and replies are framed on a bus. MBAP of the Messaging on TCP/IP Implementation Guide 1.0b §3.1.3; RTU and ASCII of
 * the Serial Line Specification 1.02 §2.5.1 and §2.5.2.
 */

const MBAP_BYTES = 7;
const PDU_MAXIMUM_BYTES = 253;
const NOTHING = Buffer.alloc(0);

/** Who is asked what; the transaction counts on TCP only. */
export interface Asked {
  readonly unit: number;
  readonly request: ModbusRequest;
  readonly transaction: number;
}

export interface Scanned {
  /** The answer to what was asked, null where it is not there yet. */
  readonly reply: Reply | null;
  /** Bytes that belong to nothing yet; after an answer, those behind it. */
  readonly rest: Buffer;
}

export interface Framing {
  readonly name: 'tcp' | 'rtu' | 'ascii';
  /** Whether an answer names its request. Where it does not, a late one looks like the next one's. */
  readonly numbersRequests: boolean;
  encode(asked: Asked): Buffer;
  /**
   * Looks for the answer among the bytes received. Frames of other transactions, units, functions or lengths answer somebody else: skipped.
   * `asked` null: nobody waits, and only what a frame goes on with is kept.
   */
  scan(received: Buffer, asked: Asked | null): Scanned;
}

export const tcpFraming: Framing = {
  name: 'tcp',
  numbersRequests: true,
  encode({ unit, request, transaction }) {
    const pdu = requestPdu(request);
    const frame = Buffer.allocUnsafe(MBAP_BYTES + pdu.length);
    frame.writeUInt16BE(transaction, 0);
    frame.writeUInt16BE(0, 2);
    frame.writeUInt16BE(pdu.length + 1, 4);
    frame[6] = unit;
    frame.set(pdu, MBAP_BYTES);
    return frame;
  },
  scan(received, asked) {
    let reply: Reply | null = null;
    let at = 0;
    // To the end of what is there: bytes behind an answer that begin no frame mean that it was put together from pieces of several.
    while (at < received.length) {
      const head = received.subarray(at, at + MBAP_BYTES);
      if (!beginsFrame(head)) {
        const detail = `not a Modbus TCP header: ${head.toString('hex')}`;
        return { reply: { kind: 'malformed', detail }, rest: NOTHING };
      }
      if (head.length < MBAP_BYTES) break;
      const end = at + 6 + head.readUInt16BE(4);
      if (end > received.length) break;
      if (reply === null && asked !== null && head.readUInt16BE(0) === asked.transaction && head[6] === asked.unit)
        reply = parsePdu(received.subarray(at + MBAP_BYTES, end), asked.request);
      at = end;
    }
    return { reply, rest: received.subarray(at) };
  },
};

/** Of as many bytes as there are: protocol 0, and a length that a frame can have. */
function beginsFrame(head: Buffer): boolean {
  if ((head[2] ?? 0) !== 0 || (head[3] ?? 0) !== 0 || (head[4] ?? 0) !== 0) return false;
  const length = head[5];
  return length === undefined || (length >= 3 && length <= PDU_MAXIMUM_BYTES + 1);
}

const CRC_TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  return crc;
});

export function crc16(bytes: Uint8Array): number {
  let crc = 0xffff;
  for (const byte of bytes) crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xff]!;
  return crc;
}

/** Whether a frame's head, unit onwards, can be that of an answer; and how long unit and PDU then are. */
function answerBytes(head: Uint8Array, at: number, { unit, request }: Asked): number | null {
  const code = functionOf(request);
  if (head[at] !== unit) return null;
  if (head[at + 1] === (code | 0x80)) return 3;
  if (head[at + 1] !== code) return null;
  const bytes = replyBytes(request);
  return isWrite(request) || head[at + 2] === bytes - 2 ? 1 + bytes : null;
}

export const rtuFraming: Framing = {
  name: 'rtu',
  numbersRequests: false,
  encode({ unit, request }) {
    const body = Buffer.concat([Buffer.from([unit]), requestPdu(request)]);
    const crc = Buffer.alloc(2);
    crc.writeUInt16LE(crc16(body));
    return Buffer.concat([body, crc]);
  },
  /** Silence between frames is not visible through USB adapters and gateways, so a reply is known by its head and its CRC. */
  scan(received, asked) {
    if (asked === null) return { reply: null, rest: NOTHING };
    for (let at = 0; at + 5 <= received.length; at++) {
      const bytes = answerBytes(received, at, asked);
      if (bytes === null) continue;
      const end = at + bytes;
      if (end + 2 > received.length || crc16(received.subarray(at, end)) !== received.readUInt16LE(end)) continue;
      return { reply: parsePdu(received.subarray(at + 1, end), asked.request), rest: received.subarray(end + 2) };
    }
    return { reply: null, rest: received };
  },
};

const COLON = 0x3a;

/** Two's complement of the sum of all bytes: a frame's bytes and its LRC add up to 0. */
export function lrc(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}

export const asciiFraming: Framing = {
  name: 'ascii',
  numbersRequests: false,
  encode({ unit, request }) {
    const body = Buffer.concat([Buffer.from([unit]), requestPdu(request)]);
    const sum = Buffer.from([lrc(body)]);
    return Buffer.from(`:${body.toString('hex')}${sum.toString('hex')}\r\n`.replace(/[a-f]/g, (c) => c.toUpperCase()));
  },
  scan(received, asked) {
    if (asked === null) return { reply: null, rest: NOTHING };
    for (let start = received.indexOf(COLON); start >= 0; start = received.indexOf(COLON, start + 1)) {
      const end = received.indexOf('\r\n', start, 'latin1');
      if (end < 0) return { reply: null, rest: received.subarray(start) };
      const text = received.toString('latin1', start + 1, end);
      if (!/^(?:[0-9A-F]{2}){4,}$/.test(text)) continue;
      const frame = Buffer.from(text, 'hex');
      const bytes = answerBytes(frame, 0, asked);
      if (bytes === null || frame.length !== bytes + 1 || lrc(frame) !== 0) continue;
      return { reply: parsePdu(frame.subarray(1, bytes), asked.request), rest: received.subarray(end + 2) };
    }
    return { reply: null, rest: NOTHING };
  },
};
