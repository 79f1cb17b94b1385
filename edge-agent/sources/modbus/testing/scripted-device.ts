import net from 'node:net';
import type { Duplex } from 'node:stream';
import { crc16, lrc } from '../frames.js';

/** For tests: a device on a real socket or serial port, byte for byte as the script says. */

export interface DeviceRequest {
  readonly unit: number;
  readonly functionCode: number;
  readonly address: number;
  readonly count: number;
  /** Counts requests from 0. */
  readonly index: number;
}

export type DeviceAnswer =
  | 'silence'
  | 'hang-up'
  | { readonly pdu: Buffer; readonly delayMs?: number /** Only the first bytes are sent. */; readonly cutTo?: number };

export type DeviceScript = (request: DeviceRequest) => DeviceAnswer;

/** Register or bit at an address: its value tells where it came from. */
export const registerAt = (address: number) => (address * 7 + 1_000) & 0xffff;

/** The honest answer: registerAt for registers, odd addresses set for bits. */
export function honest({ functionCode, address, count }: Omit<DeviceRequest, 'index'>): Buffer {
  if (functionCode <= 2) {
    const bytes = Buffer.alloc(Math.ceil(count / 8));
    for (let i = 0; i < count; i++) if ((address + i) % 2 === 1) bytes[i >> 3]! |= 1 << (i & 7);
    return Buffer.concat([Buffer.from([functionCode, bytes.length]), bytes]);
  }
  const pdu = Buffer.alloc(2 + count * 2);
  pdu.writeUInt8(functionCode, 0);
  pdu.writeUInt8(count * 2, 1);
  for (let i = 0; i < count; i++) pdu.writeUInt16BE(registerAt(address + i), 2 + i * 2);
  return pdu;
}

export const exception = (functionCode: number, code: number) => Buffer.from([functionCode | 0x80, code]);

/** A controller whose next scan begins once the last was read whole: its clock at holding 0, read before and after the values, and the scan's number anywhere else. */
export function scanningDevice(): DeviceScript {
  let clockReads = 0;
  return ({ address, count }) => {
    const scan = Math.floor((address === 0 ? clockReads++ : clockReads - 1) / 2);
    const seconds = 1_700_000_000 + scan;
    const clock = [scan >>> 16, scan & 0xffff, seconds >>> 16, seconds & 0xffff];
    const pdu = Buffer.alloc(2 + count * 2);
    pdu.writeUInt8(3, 0);
    pdu.writeUInt8(count * 2, 1);
    for (let i = 0; i < count; i++) pdu.writeUInt16BE(address === 0 ? clock[i]! : scan & 0xffff, 2 + i * 2);
    return { pdu };
  };
}

/** A Modbus TCP device on a free port of the loopback. */
export async function tcpDevice(script: DeviceScript) {
  let index = 0;
  const requests: DeviceRequest[] = [];
  const sockets = new Set<net.Socket>();
  let accepted = 0;
  const server = net.createServer((socket) => {
    sockets.add(socket);
    accepted++;
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (frame) => {
      const request = parse(frame.subarray(6), index++);
      requests.push(request);
      answer(socket, script(request), (pdu) => {
        const head = Buffer.from(frame.subarray(0, 7));
        head.writeUInt16BE(pdu.length + 1, 4);
        return Buffer.concat([head, pdu]);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    port,
    requests,
    connections: () => sockets.size,
    /** Connections since the start. */
    accepted: () => accepted,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A Modbus RTU device on an open stream. */
export function rtuDevice(stream: Duplex, script: DeviceScript): { readonly requests: DeviceRequest[] } {
  const requests: DeviceRequest[] = [];
  let pending = Buffer.alloc(0);
  stream.on('data', (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes]);
    for (; pending.length >= 8; pending = pending.subarray(8)) {
      const request = parse(pending, requests.length);
      requests.push(request);
      answer(stream, script(request), (pdu) => {
        const body = Buffer.concat([Buffer.from([request.unit]), pdu]);
        const crc = Buffer.alloc(2);
        crc.writeUInt16LE(crc16(body));
        return Buffer.concat([body, crc]);
      });
    }
  });
  return { requests };
}

/** A Modbus ASCII device on an open stream. */
export function asciiDevice(stream: Duplex, script: DeviceScript): { readonly requests: DeviceRequest[] } {
  const requests: DeviceRequest[] = [];
  let pending = '';
  stream.on('data', (bytes: Buffer) => {
    const lines = (pending + bytes.toString('latin1')).split('\r\n');
    pending = lines.pop() ?? '';
    for (const line of lines) {
      const request = parse(Buffer.from(line.slice(1), 'hex'), requests.length);
      requests.push(request);
      answer(stream, script(request), (pdu) => {
        const body = Buffer.concat([Buffer.from([request.unit]), pdu]);
        return Buffer.from(
          `:${Buffer.concat([body, Buffer.from([lrc(body)])])
            .toString('hex')
            .toUpperCase()}\r\n`,
        );
      });
    }
  });
  return { requests };
}

/** A device on a line behind a gateway: what `speak` answers, on a free port of the loopback. */
export async function gatewayTo(speak: typeof rtuDevice, script: DeviceScript) {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    speak(socket, script);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

function parse(unitAndPdu: Buffer, index: number): DeviceRequest {
  return {
    unit: unitAndPdu[0]!,
    functionCode: unitAndPdu[1]!,
    address: unitAndPdu.readUInt16BE(2),
    count: unitAndPdu.readUInt16BE(4),
    index,
  };
}

function answer(stream: Duplex, scripted: DeviceAnswer, frame: (pdu: Buffer) => Buffer): void {
  if (scripted === 'silence') return;
  if (scripted === 'hang-up') {
    stream.destroy();
    return;
  }
  const bytes = frame(scripted.pdu);
  const send = () => {
    if (!stream.destroyed) stream.write(bytes.subarray(0, scripted.cutTo ?? bytes.length));
  };
  if (scripted.delayMs === undefined) send();
  else setTimeout(send, scripted.delayMs);
}
