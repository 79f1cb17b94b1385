import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import type { Logger } from '@twinwatch/core/runtime';
import { encodeValue } from '@twinwatch/core/scada/registers';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock, systemTimers } from '../../system-runtime.js';
import { DeviceReader } from './device-reader.js';
import { openBus } from './open-bus.js';

/** Every register type and order against pymodbus: its encoder, its server, its three framings. */

const PYTHON = '/usr/bin/python3';
const hasPymodbus = spawnSync(PYTHON, ['-c', 'import pymodbus.server']).status === 0;
const hasSocat = spawnSync('socat', ['-V']).status === 0;
if (!hasPymodbus)
  console.warn(
    'pymodbus is not installed: its tests are skipped (apt-get install python3-pymodbus python3-serial-asyncio)',
  );
const SERVER = fileURLToPath(import.meta.url).replace(
  /dist(.)sources.*$/,
  'sources$1modbus$1testing$1pymodbus-server.py',
);

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const runtime = { clock: systemClock, timers: systemTimers, random: () => 0, log: quiet };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

interface Served {
  readonly type: string;
  /** Method of pymodbus' payload builder. */
  readonly add: string;
  readonly raw: number | string | boolean;
  readonly value: number | string;
  readonly fields?: object;
}

/** Every type with values that show a wrong order, sign or width. */
const SERVED: readonly Served[] = [
  { type: 'INT16', add: 'add_16bit_int', raw: -12_345, value: -12_345 },
  { type: 'UINT16', add: 'add_16bit_uint', raw: 54_321, value: 5_422.1, fields: { scale: 0.1, offset: -10 } },
  { type: 'INT32', add: 'add_32bit_int', raw: -123_456_789, value: -123_456_789 },
  { type: 'UINT32', add: 'add_32bit_uint', raw: 4_023_456_789, value: 4_023_456_789 },
  { type: 'INT64', add: 'add_64bit_int', raw: '-1234567890123456', value: -1_234_567_890_123_456 },
  { type: 'UINT64', add: 'add_64bit_uint', raw: '9007199254740991', value: 9_007_199_254_740_991 },
  { type: 'FLOAT16', add: 'add_16bit_float', raw: -1.5, value: -1.5 },
  { type: 'FLOAT32', add: 'add_32bit_float', raw: 3.140625, value: 3.140625 },
  { type: 'FLOAT64', add: 'add_64bit_float', raw: Math.PI, value: Math.PI },
  { type: 'BCD16', add: 'add_16bit_uint', raw: '0x9081', value: 9_081 },
  { type: 'BCD32', add: 'add_32bit_uint', raw: '0x12345678', value: 12_345_678 },
  { type: 'BITS', add: 'add_16bit_uint', raw: '0x0a50', value: 5, fields: { bit: 4, bits: 4 } },
  { type: 'BIT', add: 'add_16bit_uint', raw: '0x8000', value: 1, fields: { bit: 15 } },
  { type: 'INT8L', add: 'add_16bit_uint', raw: '0x12fe', value: -2 },
  { type: 'UINT8H', add: 'add_16bit_uint', raw: '0xfe12', value: 254 },
];
const ORDERS = ['ABCD', 'CDAB', 'BADC', 'DCBA'] as const;

/** In both register tables and all orders, then letters, then single bits. */
function everything() {
  const served: (Served & { name: string; register: string; address: number; byte_order?: string })[] = [];
  for (const register of ['holding', 'input'])
    for (const byte_order of ORDERS)
      for (const one of SERVED) {
        const address = served.filter((other) => other.register === register).length * 4;
        served.push({ ...one, name: `${register}_${byte_order}_${one.type}`, register, address, byte_order });
      }
  const letters = { type: 'STRING', add: 'add_string', raw: 'Pump P7', value: 'Pump P7', fields: { length: 4 } };
  served.push({ ...letters, name: 'letters', register: 'holding', address: 900 });
  for (const register of ['coil', 'discrete'])
    for (const [address, raw] of [true, false, true].entries())
      served.push({
        ...{ type: 'BIT', add: 'bit', raw, value: Number(raw) },
        ...{ name: `${register}_${address}`, register, address: address * 9 },
      });
  return served;
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function pymodbus(kind: string, where: string, tags: object): Promise<void> {
  const server = spawn(PYTHON, [SERVER, kind, where], { stdio: ['pipe', 'pipe', 'ignore'] });
  cleanUps.push(() => server.kill('SIGKILL'));
  server.stdin.end(JSON.stringify(tags));
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve);
    server.once('exit', (code) => reject(new Error(`pymodbus ended with ${code}`)));
  });
}

async function pseudoTerminals(): Promise<{ near: string; far: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-pymodbus-'));
  const [near, far] = [join(directory, 'near'), join(directory, 'far')];
  const end = (path: string) => `pty,raw,echo=0,link=${path}`;
  const socat: ChildProcess = spawn('socat', [end(near), end(far)]);
  cleanUps.push(() => {
    socat.kill();
    rmSync(directory, { recursive: true });
  });
  while (!existsSync(near) || !existsSync(far)) await new Promise((resolve) => setTimeout(resolve, 10));
  return { near, far };
}

describe.skipIf(!hasPymodbus)('against pymodbus', () => {
  it.each(hasSocat ? ['tcp', 'rtu', 'ascii'] : ['tcp'])(
    'reads every type and order, and writes, over %s',
    async (kind) => {
      const served = everything();
      let url: string;
      if (kind === 'tcp') {
        const port = await freePort();
        await pymodbus(kind, String(port), served);
        url = `tcp://127.0.0.1:${port}`;
      } else {
        const { near, far } = await pseudoTerminals();
        await pymodbus(kind, far, served);
        url = `${kind}://${near}?baudRate=115200`;
      }
      const template = deviceTemplateSchema.parse({
        mergeGap: 4,
        tags: served.map(({ name, register, address, type, byte_order, fields }) => ({
          ...{ name, register, address, type, ...fields },
          ...(byte_order === undefined ? {} : { byte_order }),
        })),
      });
      const bus = openBus({ url, timeoutMs: 3_000, delayMs: 0 }, runtime);
      cleanUps.push(() => bus.close());
      const reader = new DeviceReader({ name: 'PY', unit: 7, template }, bus, systemClock);
      const reading = await reader.read();
      const got = Object.fromEntries(reading!.samples.map(({ tag, value, text }) => [tag, text ?? value]));
      expect(got).toEqual(Object.fromEntries(served.map(({ name, value }) => [name, closeTo(value)])));
      expect(reading!.samples.every(({ quality }) => quality === 'good')).toBe(true);

      const words = encodeValue(-2.5, { type: 'FLOAT32', byteOrder: 'CDAB', scale: 1, offset: 0, bit: 0 });
      await bus.write(7, { table: 'holding', address: 950, words });
      await bus.write(7, { table: 'holding', address: 960, words: [4_711] });
      await bus.write(7, { table: 'coil', address: 40, words: [1] });
      expect([...(await bus.read(7, { table: 'holding', address: 950, count: 2 }))]).toEqual(words);
      expect([...(await bus.read(7, { table: 'holding', address: 960, count: 1 }))]).toEqual([4_711]);
      expect([...(await bus.read(7, { table: 'coil', address: 39, count: 3 }))]).toEqual([0, 1, 0]);
      await expect(bus.write(7, { table: 'holding', address: 2_000, words: [1] })).rejects.toMatchObject({
        code: 'MODBUS_EXCEPTION',
      });
    },
  );
});

const closeTo = (value: number | string) => (typeof value === 'number' ? expect.closeTo(value, 9) : value);
