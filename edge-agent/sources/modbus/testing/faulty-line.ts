import net from 'node:net';
import fc from 'fast-check';
import { crc16, lrc } from '../frames.js';
import type { Protocol } from './versioned-device.js';

/** For tests: a proxy between a bus and a device that does to answers what lines, gateways and networks do to them. */

export type Fault =
  | { readonly kind: 'none' | 'dropped' | 'half-open' | 'hang-up' }
  | { readonly kind: 'late'; readonly timeouts: number }
  | { readonly kind: 'duplicate'; readonly afterMs: number }
  | { readonly kind: 'truncated'; readonly share: number }
  | { readonly kind: 'split'; readonly share: number; readonly pauseMs: number }
  /** A whole frame of another unit, or on TCP of another transaction, with other data; then the answer, or nothing. */
  | { readonly kind: 'foreign-unit' | 'wrong-transaction'; readonly by: number; readonly isFollowed: boolean }
  | { readonly kind: 'garbage'; readonly bytes: Uint8Array; readonly where: 'before' | 'after' | 'instead' }
  /** A burst that checksums see: at most 16 bits on RTU, one letter on ASCII. TCP has no checksum of its own and is spared. */
  | { readonly kind: 'flipped'; readonly share: number; readonly mask: number };

const share = fc.double({ min: 0, max: 1, noNaN: true });
const of = <K extends Fault['kind']>(kind: K) => fc.constant(kind);

/** 'rtu' is a serial port of the kernel; behind it, and on the others, the line is TCP. */
export type Line = Protocol | 'rtu';

/** @param longestTimeouts most timeouts that an answer is late by: the bound within which the bus promises to tell. */
export function anyFault(line: Line, longestTimeouts: number, longestGapMs: number): fc.Arbitrary<Fault> {
  const faults: (fc.Arbitrary<Fault> | { weight: number; arbitrary: fc.Arbitrary<Fault> })[] = [
    { weight: 3, arbitrary: fc.record({ kind: of('none') }) },
    fc.record({ kind: of('dropped') }),
    fc.record({ kind: of('hang-up') }),
    fc.record({ kind: of('late'), timeouts: fc.double({ min: 0.1, max: longestTimeouts, noNaN: true }) }),
    { weight: 3, arbitrary: fc.record({ kind: of('duplicate'), afterMs: fc.integer({ min: 0, max: longestGapMs }) }) },
    { weight: 2, arbitrary: fc.record({ kind: of('truncated'), share }) },
    { weight: 3, arbitrary: fc.record({ kind: of('split'), share, pauseMs: fc.integer({ min: 0, max: 3 }) }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: of('garbage'),
        bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
        where: fc.constantFrom('before', 'after', 'instead'),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: of('foreign-unit'),
        by: fc.integer({ min: 1, max: 200 }),
        isFollowed: fc.boolean(),
      }),
    },
  ];
  // A port that is opened anew has the same line behind it, so that such a fault would never be over there.
  if (line !== 'rtu') faults.push(fc.record({ kind: of('half-open') }));
  if (line === 'tcp')
    faults.push({
      weight: 3,
      arbitrary: fc.record({
        kind: of('wrong-transaction'),
        by: fc.constantFrom(-1, 1, 256, -256, 0x7fff),
        isFollowed: fc.boolean(),
      }),
    });
  else
    faults.push({
      weight: 3,
      arbitrary: fc.record({ kind: of('flipped'), share, mask: fc.integer({ min: 1, max: 0xffff }) }),
    });
  return fc.oneof(...faults);
}

export interface FaultyLine {
  readonly port: number;
  /** Answers that something was done to. */
  readonly injected: Map<Fault['kind'], number>;
  /** Of the answers from now on, in turn; empty for none. */
  faults: readonly Fault[];
  close(): Promise<unknown>;
}

export async function faultyLine(protocol: Protocol, devicePort: number, timeoutMs: number): Promise<FaultyLine> {
  const sockets = new Set<net.Socket>();
  const injected = new Map<Fault['kind'], number>();
  let answers = 0;
  const track = (socket: net.Socket, ...others: net.Socket[]) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      for (const other of others) other.destroy();
    });
  };
  const server = net.createServer((client) => {
    const device = net.connect({ host: '127.0.0.1', port: devicePort });
    track(client, device);
    track(device);
    client.on('data', (bytes) => device.write(bytes));
    let isDeaf = false;
    const send = inOrder(client);
    device.on('data', (frame) => {
      if (isDeaf) return;
      const fault = line.faults[answers++ % Math.max(1, line.faults.length)] ?? { kind: 'none' };
      injected.set(fault.kind, (injected.get(fault.kind) ?? 0) + 1);
      isDeaf = fault.kind === 'half-open';
      play(fault, frame, protocol, timeoutMs, client, send);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const line: FaultyLine = {
    port: (server.address() as net.AddressInfo).port,
    injected,
    faults: [],
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
  return line;
}

type Send = (bytes: Uint8Array, afterMs?: number, restAfterMs?: { rest: Uint8Array; ms: number }) => void;

/** Whole frames one after the other: what is sent while the second part of another is on its way comes after it. */
function inOrder(client: net.Socket): Send {
  let isHalfway = false;
  const held: Uint8Array[] = [];
  const write = (bytes: Uint8Array) => {
    if (isHalfway) held.push(bytes);
    else if (client.writable) client.write(bytes);
  };
  const split = (bytes: Uint8Array, rest: Uint8Array, ms: number) => {
    if (isHalfway) return write(Buffer.concat([bytes, rest]));
    write(bytes);
    isHalfway = true;
    setTimeout(() => {
      isHalfway = false;
      for (const next of [rest, ...held.splice(0)]) write(next);
    }, ms);
  };
  return (bytes, afterMs = 0, parts) => {
    const go = () => (parts === undefined ? write(bytes) : split(bytes, parts.rest, parts.ms));
    if (afterMs === 0) go();
    else setTimeout(go, afterMs);
  };
}

function play(
  fault: Fault,
  frame: Buffer,
  protocol: Protocol,
  timeoutMs: number,
  client: net.Socket,
  send: Send,
): void {
  const cut = (part: number) => Math.max(1, Math.min(frame.length - 1, Math.floor(part * frame.length)));
  switch (fault.kind) {
    case 'none':
      send(frame);
      break;
    case 'dropped':
    case 'half-open':
      break;
    case 'hang-up':
      client.destroy();
      break;
    case 'late':
      send(frame, fault.timeouts * timeoutMs);
      break;
    case 'duplicate':
      send(frame);
      send(frame, fault.afterMs);
      break;
    case 'truncated':
      send(frame.subarray(0, cut(fault.share)));
      break;
    case 'split':
      send(frame.subarray(0, cut(fault.share)), 0, { rest: frame.subarray(cut(fault.share)), ms: fault.pauseMs });
      break;
    case 'garbage':
      if (fault.where === 'before') send(fault.bytes);
      if (fault.where !== 'instead') send(frame);
      if (fault.where !== 'before') send(fault.bytes);
      break;
    case 'foreign-unit':
    case 'wrong-transaction':
      send(foreign(frame, protocol, fault));
      if (fault.isFollowed) send(frame);
      break;
    case 'flipped':
      send(flipped(frame, protocol, fault));
      break;
  }
}

/** A whole, valid frame that is not the answer: another unit or transaction, and other data. */
function foreign(frame: Buffer, protocol: Protocol, { kind, by }: { kind: string; by: number }): Buffer {
  const other = Buffer.from(frame);
  const last = protocol === 'ascii+tcp' ? Buffer.from(frame.toString('latin1', 1, frame.length - 2), 'hex') : other;
  const at = protocol === 'tcp' ? 6 : 0;
  if (kind === 'wrong-transaction') last.writeUInt16BE((last.readUInt16BE(0) + by) & 0xffff, 0);
  else last[at] = (last[at]! + by) & 0xff;
  // A byte of data, the last that is not a checksum.
  const dataAt = last.length - (protocol === 'tcp' ? 1 : protocol === 'rtu+tcp' ? 3 : 2);
  last[dataAt] = last[dataAt]! ^ 0x55;
  if (protocol === 'rtu+tcp') last.writeUInt16LE(crc16(last.subarray(0, -2)), last.length - 2);
  if (protocol !== 'ascii+tcp') return last;
  last[last.length - 1] = lrc(last.subarray(0, -1));
  return Buffer.from(`:${last.toString('hex').toUpperCase()}\r\n`);
}

function flipped(frame: Buffer, protocol: Protocol, { share: part, mask }: { share: number; mask: number }): Buffer {
  const hurt = Buffer.from(frame);
  const at = Math.min(frame.length - 2, Math.floor(part * (frame.length - 1)));
  if (protocol === 'rtu+tcp') hurt.writeUInt16BE(hurt.readUInt16BE(at) ^ mask, at);
  else hurt[at] = hurt[at]! ^ (mask & 0x7f || 1);
  return hurt;
}
