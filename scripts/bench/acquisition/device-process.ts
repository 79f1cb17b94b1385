import { createServer, type Socket } from 'node:net';
import { crc16 } from '@twinwatch/edge-agent/sources/modbus/frames';
import { type ReadRequest, readFrame } from '../../plant/modbus-frames.js';
import { listenModbus } from '../../plant/modbus-server.js';
import type { DeviceCounts, DeviceSpec } from './messages.js';

/** A process of its own: the device at whose side the benchmark counts. Started with a DeviceSpec as JSON; answers 'count' with its counts. */

const CHANGE_EVERY_MS = 100;
const RTU_REQUEST_BYTES = 8;

const spec = JSON.parse(process.argv[2] ?? '{}') as DeviceSpec;
const registers = new Uint16Array(spec.floatsPerUnit * 2);
const view = new DataView(new ArrayBuffer(4));
const requests: Record<string, number> = {};
let answered = 0;

/** All registers change at once, to the time of the change: exact in a float32 for four hours. */
function change(): void {
  view.setFloat32(0, Math.round(Date.now() - spec.originMs));
  const [high, low] = [view.getUint16(0), view.getUint16(2)];
  for (let i = 0; i < registers.length; i += 2) {
    registers[i] = high;
    registers[i + 1] = low;
  }
}

function answer(unit: number, address: number, count: number): Uint16Array | null {
  requests[unit] = (requests[unit] ?? 0) + 1;
  if (unit === spec.deadUnit) return null;
  answered += count;
  return registers.subarray(address, address + count);
}

function speakRtu(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on('error', () => undefined);
  socket.on('data', (data: Buffer) => {
    pending = Buffer.concat([pending, data]);
    for (; pending.length >= RTU_REQUEST_BYTES; pending = pending.subarray(RTU_REQUEST_BYTES)) {
      const [unit, functionCode] = [pending[0]!, pending[1]!];
      const words = answer(unit, pending.readUInt16BE(2), pending.readUInt16BE(4));
      if (words === null) continue;
      const body = Buffer.alloc(3 + words.length * 2 + 2);
      body.set([unit, functionCode, words.length * 2]);
      for (const [i, word] of words.entries()) body.writeUInt16BE(word, 3 + i * 2);
      body.writeUInt16LE(crc16(body.subarray(0, -2)), body.length - 2);
      socket.write(body);
    }
  });
}

async function listen(): Promise<number> {
  if (spec.framing === 'rtu') {
    const server = createServer({ noDelay: true }, speakRtu);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as { port: number }).port;
  }
  const silence = Buffer.alloc(0);
  const server = await listenModbus({
    ...{ host: '127.0.0.1', port: 0, ifTaken: 'error', name: 'device' },
    answer: (request: ReadRequest) => {
      const words = answer(request.unit, request.address, request.count);
      return words === null ? silence : readFrame(request, words);
    },
    closed: () => undefined,
  });
  return server.port;
}

change();
setInterval(change, CHANGE_EVERY_MS);
process.on('message', () => {
  process.send?.({ kind: 'counts', registers: answered, requests } satisfies DeviceCounts);
});
process.on('disconnect', () => process.exit(0));
process.send?.({ kind: 'listening', port: await listen() });
