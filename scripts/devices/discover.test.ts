import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteOrder, encodeValue } from '@twinwatch/core/scada/registers';
import { loadSite } from '@twinwatch/edge-agent/site-config';
import { exception, honest, tcpDevice } from '@twinwatch/edge-agent/sources/modbus/testing/scripted-device';
import { afterEach, describe, expect, it } from 'vitest';
import { fromRepository } from '../processes/repository.js';
import { discover } from './discover.js';
import { type RegisterRun, typedRun } from './register-types.js';

const PYTHON = '/usr/bin/python3';
const hasPymodbus = spawnSync(PYTHON, ['-c', 'import pymodbus.server']).status === 0;
if (!hasPymodbus) console.log('pymodbus is not installed: discover is not tested against it');
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function found(url: string, units: readonly number[], addresses = [{ from: 0, to: 99 }]) {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-discover-'));
  cleanUps.push(() => rmSync(directory, { recursive: true }));
  await discover({ url, units, addresses, timeoutMs: 2_000, out: directory });
  const site = await loadSite(join(directory, 'agent.yaml'));
  return site.buses.flatMap(({ devices }) =>
    devices.flatMap(({ unit, template }) =>
      template.tags.map((tag) => `${unit} ${tag.register} ${tag.address} ${tag.type} ${tag.byte_order}`),
    ),
  );
}

describe('discover', () => {
  it('finds tables, holes and units behind a gateway, and sends nothing but reads', async () => {
    const device = await tcpDevice(({ unit, functionCode, address, count }) => {
      if (unit !== 3) return { pdu: exception(functionCode, 11) };
      if (functionCode === 2 || functionCode === 4) return { pdu: exception(functionCode, 1) };
      const isThere = (at: number) => (functionCode === 1 ? at < 4 : (at >= 10 && at < 14) || at === 50);
      if (!Array.from({ length: count }, (_, i) => address + i).every(isThere))
        return { pdu: exception(functionCode, 2) };
      return { pdu: honest({ unit, functionCode, address, count }) };
    });
    cleanUps.push(device.close);
    expect(await found(`tcp://127.0.0.1:${device.port}`, [1, 2, 3])).toEqual([
      ...[10, 11, 12, 13, 50].map((address) => `3 holding ${address} UINT16 ABCD`),
      ...[0, 1, 2, 3].map((address) => `3 coil ${address} BIT ABCD`),
    ]);
    expect(new Set(device.requests.map(({ functionCode }) => functionCode))).toEqual(new Set([1, 2, 3, 4]));
  });

  it('names the unit in every tag where several answer, not only in those whose name was taken', async () => {
    const device = await tcpDevice((request) => {
      const { unit, functionCode, address, count } = request;
      // The second unit holds an address that the first does not.
      if (functionCode !== 3) return { pdu: exception(functionCode, 1) };
      return address + count > unit ? { pdu: exception(functionCode, 2) } : { pdu: honest(request) };
    });
    cleanUps.push(device.close);
    const directory = mkdtempSync(join(tmpdir(), 'twinwatch-discover-'));
    cleanUps.push(() => rmSync(directory, { recursive: true }));
    const url = `tcp://127.0.0.1:${device.port}`;
    await discover({ url, units: [1, 2], addresses: [{ from: 0, to: 1 }], timeoutMs: 2_000, out: directory });
    const site = await loadSite(join(directory, 'agent.yaml'));
    expect(site.tags).toEqual(['unit-1_holding_0', 'unit-2_holding_0', 'unit-2_holding_1']);
  });

  it('says what each bit was seen to be', async () => {
    let reads = 0;
    const device = await tcpDevice(({ functionCode }) =>
      functionCode === 1 ? { pdu: Buffer.of(1, 1, ++reads > 3 ? 0b10 : 0b11) } : { pdu: exception(functionCode, 1) },
    );
    cleanUps.push(device.close);
    const directory = mkdtempSync(join(tmpdir(), 'twinwatch-discover-'));
    cleanUps.push(() => rmSync(directory, { recursive: true }));
    const url = `tcp://127.0.0.1:${device.port}`;
    await discover({ url, units: [1], addresses: [{ from: 0, to: 2 }], timeoutMs: 2_000, out: directory });
    const seen = readFileSync(join(directory, 'unit-1.yaml'), 'utf8').match(/coil_\d|seen .*/g);
    expect(seen?.slice(-6)).toEqual(['coil_0', 'seen 1, 0', 'coil_1', 'seen 1', 'coil_2', 'seen 0']);
  });

  it('asks nothing of unit 0 on a serial line, where it is broadcast', async () => {
    let bytes = 0;
    const line = createServer((socket) => {
      socket
        .on('error', () => undefined)
        .on('data', (data) => {
          bytes += data.length;
        });
    });
    await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve));
    cleanUps.push(() => new Promise((resolve) => line.close(resolve)));
    const { port } = line.address() as { port: number };
    const directory = mkdtempSync(join(tmpdir(), 'twinwatch-discover-'));
    cleanUps.push(() => rmSync(directory, { recursive: true }));
    const options = { url: `rtu+tcp://127.0.0.1:${port}`, addresses: [{ from: 0, to: 9 }], timeoutMs: 100 };
    await discover({ ...options, units: [0], out: join(directory, 'zero') });
    expect(bytes).toBe(0);
    await discover({ ...options, units: [0, 1], out: join(directory, 'one') });
    expect(bytes).toBeGreaterThan(0);
  });

  it.skipIf(!hasPymodbus)('(with pymodbus) guesses floats in their order, small and negative numbers', async () => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const { port } = free.address() as { port: number };
    await new Promise((resolve) => free.close(resolve));
    const script = fromRepository('edge-agent/sources/modbus/testing/pymodbus-server.py');
    const server = spawn(PYTHON, [script, 'tcp', String(port)], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => server.once('exit', resolve));
    cleanUps.push(() => {
      server.kill();
      return ended;
    });
    const float = (register: string, address: number, raw: number, byte_order: string) => ({
      ...{ register, address, raw, byte_order, add: 'add_32bit_float' },
    });
    server.stdin.end(
      JSON.stringify([
        ...[20.5, 3.25, -117.125].map((raw, i) => float('holding', 2 * i, raw, 'CDAB')),
        ...[1.5, 1000.25].map((raw, i) => float('input', 31 + 2 * i, raw, 'ABCD')),
        { register: 'holding', address: 60, add: 'add_16bit_int', raw: -5 },
        { register: 'holding', address: 61, add: 'add_16bit_uint', raw: 1234 },
      ]),
    );
    await new Promise((resolve) => server.stdout.once('data', resolve));
    const tags = await found(`tcp://127.0.0.1:${port}`, [6, 7]);
    expect(tags.filter((tag) => !tag.includes('coil') && !tag.includes('discrete'))).toEqual([
      ...[0, 2, 4].map((address) => `7 holding ${address} FLOAT32 CDAB`),
      '7 holding 60 INT16 ABCD',
      '7 holding 61 UINT16 ABCD',
      ...[31, 33].map((address) => `7 input ${address} FLOAT32 ABCD`),
    ]);
  });
});

it('takes registers for floats only where most of them look so, and shows what was seen', () => {
  const words = (...list: number[]) => ({
    address: 5,
    passes: [Uint16Array.from(list), Uint16Array.from(list, (word) => word + 1)],
  });
  expect(typedRun(words(7, 1_000, 12, 30_000), 'input')).toEqual({
    alwaysZero: 0,
    tags: [
      { name: 'input_5', register: 'input', address: 5, type: 'UINT16', comment: 'seen 7, 8' },
      { name: 'input_6', register: 'input', address: 6, type: 'UINT16', comment: 'seen 1000, 1001' },
      { name: 'input_7', register: 'input', address: 7, type: 'UINT16', comment: 'seen 12, 13' },
      { name: 'input_8', register: 'input', address: 8, type: 'UINT16', comment: 'seen 30000, 30001' },
    ],
  });
  expect(typedRun({ address: 0, passes: [Uint16Array.of(0, 0)] }, 'holding')).toEqual({ alwaysZero: 2, tags: [] });
});

describe('typedRun', () => {
  const ORDERS = ['ABCD', 'CDAB', 'BADC', 'DCBA'] as const;
  const run = (type: 'FLOAT32' | 'FLOAT64', byteOrder: ByteOrder, ...values: number[]) => ({
    address: 0,
    passes: [1, 1.0001, 1.0003].map((drift) =>
      Uint16Array.from(
        values.flatMap((value) => encodeValue(value * drift, { type, byteOrder, scale: 1, offset: 0, bit: 0 })),
      ),
    ),
  });
  const typesOf = (one: RegisterRun) =>
    typedRun(one, 'input').tags.map(({ address, type, byte_order = 'ABCD' }) => `${address} ${type} ${byte_order}`);

  it.each(ORDERS)('tells doubles from floats in order %s', (order) => {
    const values = [20.5, 0.31, -117.1, 14.7, 2.9, 53_017.3, 8.8];
    expect(typesOf(run('FLOAT64', order, ...values))).toEqual(values.map((_, i) => `${4 * i} FLOAT64 ${order}`));
    expect(typesOf(run('FLOAT32', order, ...values))).toEqual(values.map((_, i) => `${2 * i} FLOAT32 ${order}`));
    // Of these, pairs look like doubles as well.
    const small = [1.5, 3.3, 9.7, 2.2, 6.1, 4.4];
    expect(typesOf(run('FLOAT32', order, ...small))).toEqual(small.map((_, i) => `${2 * i} FLOAT32 ${order}`));
  });

  it('takes whole numbers for no doubles, and says what may be half of a counter', () => {
    const words = (...lists: number[][]) => ({ address: 100, passes: lists.map((list) => Uint16Array.from(list)) });
    const wholes = Array.from({ length: 60 }, (_, i) => (i * 7_919) % 1_000);
    expect(new Set(typedRun(words(wholes, wholes), 'holding').tags.map(({ type }) => type))).toEqual(
      new Set(['UINT16']),
    );
    // As a double that would be 20.5: four registers alone prove nothing.
    expect(typesOf(words([0x4034, 0x8001, 7, 9]))).not.toContain('100 FLOAT64 ABCD');
    const comments = (...lists: number[][]) => typedRun(words(...lists), 'holding').tags.map(({ comment }) => comment);
    expect(comments([18, 2_697], [18, 2_699], [18, 2_702])).toEqual([
      'seen 18',
      'seen 2697, 2699, 2702; perhaps UINT32 at 100: 1182345, 1182347, 1182350',
    ]);
    expect(comments([2_697, 18], [2_699, 18])[0]).toBe('seen 2697, 2699; perhaps UINT32 CDAB at 100: 1182345, 1182347');
    expect(comments([18, 2_699], [18, 2_697])).toEqual(['seen 18', 'seen 2699, 2697']);
  });

  it('calls two registers a counter where one was seen to carry into the other, and only there', () => {
    const taken = (...lists: number[][]) =>
      typedRun({ address: 100, passes: lists.map((list) => Uint16Array.from(list)) }, 'holding').tags.map(
        ({ address, type, byte_order = 'ABCD', comment }) => `${address} ${type} ${byte_order}: ${comment}`,
      );
    const counted = '1245180, 1245190, 1245195, carried from one register to the other';
    expect(taken([7, 18, 65_532, 9], [7, 19, 6, 9], [7, 19, 11, 9])).toEqual([
      '100 UINT16 ABCD: seen 7',
      `101 UINT32 ABCD: seen ${counted}`,
      '103 UINT16 ABCD: seen 9',
    ]);
    expect(taken([65_532, 18], [6, 19], [11, 19])).toEqual([`100 UINT32 CDAB: seen ${counted}`]);
    // Seconds beside a level that falls.
    expect(taken([18, 5_000], [19, 4_990], [19, 4_985])).toHaveLength(2);
    expect(taken([18, 65_000], [19, 100], [19, 50])).toHaveLength(2);
  });
});
