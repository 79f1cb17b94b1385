import { execFile, spawn, spawnSync } from 'node:child_process';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Logger } from '@twinwatch/core/runtime';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { model } from './detection/testing/hand-made-model.js';
import { Store } from './store/store.js';
import { systemTimers } from './system-runtime.js';
import { startAgent } from './testing/agent-process.js';

/** From a value at a pymodbus server through detector and alarm to a coil and registers of that server, and nothing else written to it. */

const PYTHON = '/usr/bin/python3';
const hasPymodbus = spawnSync(PYTHON, ['-c', 'import pymodbus.server']).status === 0;
if (!hasPymodbus)
  console.warn('alarm-outputs.test: skipped, pymodbus is not installed (apt-get install python3-pymodbus)');
const SERVER = fileURLToPath(import.meta.url).replace(
  /dist(.)[^/\\]*$/,
  'sources$1modbus$1testing$1pymodbus-server.py',
);
const UNIT = 7;
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const within = { timeout: 25_000, interval: 50 };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function pymodbusServer(port: number): Promise<void> {
  const server = spawn(PYTHON, [SERVER, 'tcp', String(port)], { stdio: ['pipe', 'pipe', 'ignore'] });
  cleanUps.push(() => server.kill('SIGKILL'));
  const register = (address: number, raw: number) => ({ register: 'holding', address, add: 'add_16bit_uint', raw });
  const values = [register(0, 50), register(1, 200), register(31, 4_711), register(40, 4_712)];
  server.stdin.end(JSON.stringify(values));
  await new Promise((resolve, reject) => {
    server.stdout.once('data', resolve);
    server.once('exit', (code) => reject(new Error(`pymodbus ended with ${code}`)));
  });
}

/** Between agent and server; tells what was asked for. Takes nobody while it is shut. */
async function tap(target: number) {
  const asked: { functionCode: number; address: number }[] = [];
  const sockets = new Set<net.Socket>();
  let isShut = false;
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    if (isShut) {
      socket.destroy();
      return;
    }
    const far = net.connect(target, '127.0.0.1');
    far.on('error', () => socket.destroy());
    for (const end of [socket, far]) sockets.add(end);
    socket.on('data', (frame) => asked.push({ functionCode: frame[7]!, address: frame.readUInt16BE(8) }));
    socket.pipe(far).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  cleanUps.push(() => {
    cut();
    return new Promise((resolve) => server.close(resolve));
  });
  const shut = (now: boolean) => {
    isShut = now;
    if (now) cut();
  };
  return { port: (server.address() as net.AddressInfo).port, asked, shut };
}

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** pymodbus' own client, past the tap: what its server holds, and another value for the level. */
function outside(port: number) {
  const python = async (body: string) => {
    const code = `from pymodbus.client import ModbusTcpClient
import json
c = ModbusTcpClient('127.0.0.1', port=${port}); c.connect()
${body}
c.close()`;
    return (await promisify(execFile)(PYTHON, ['-c', code])).stdout;
  };
  return {
    level: (value: number) => python(`c.write_register(0, ${value}, slave=${UNIT})`),
    held: async () =>
      JSON.parse(
        await python(`r = lambda a: c.read_holding_registers(a, count=1, slave=${UNIT}).registers[0]
print(json.dumps([c.read_coils(12, count=1, slave=${UNIT}).bits[0], r(30), r(31), r(40)]))`),
      ) as [coil: boolean, register: number, communication: number, dry: number],
  };
}

/** The detector of an earlier life: alarms where the level is 8 or more. */
async function detectorIn(directory: string): Promise<void> {
  const limits = { maximumRows: 1e4, maximumBytes: 1e9, maximumOutboxEvents: 99, maximumBlobBytes: 1e6 };
  const store = await Store.open({ directory, ...limits }, { timers: systemTimers, log: quiet, maximumQueuedRows: 9 });
  const bytes = model();
  await store.call('putBlob', 'h', bytes);
  const ref = { hash: 'h', bytes: bytes.length };
  const manifest = { kind: 'manifest', modelVersion: 'm1', round: 1, model: ref, lineage: ref };
  store.write({
    op: 'state',
    key: 'manifest',
    value: JSON.stringify({ ...manifest, threshold: 0.5, releasedAtMs: 1 }),
  });
  await store.close();
}

describe.skipIf(!hasPymodbus)('alarm outputs', () => {
  it('follow a detector at a device that is not ours, try again until it confirms, and write nothing in a dry run', async () => {
    const port = await freePort();
    await pymodbusServer(port);
    const line = await tap(port);
    const { level, held } = outside(port);
    const agent = await startAgent({
      agent: `interval: 200ms
poll: { every: 50ms, lateAfter: 3s }
training: { enabled: false }
buses: [{ url: 'tcp://127.0.0.1:${line.port}', timeoutMs: 5000, devices: [{ name: PLC, unit: ${UNIT}, template: PLC.yaml }] }]
alarmOutputs:
  - { device: PLC, register: coil, address: 12, dryRun: false }
  - { device: PLC, register: holding, address: 30, raised: 700, cleared: 3, dryRun: false }
  - { device: PLC, register: holding, address: 31, on: communication, dryRun: false }
  - { device: PLC, register: holding, address: 40, on: any, raised: 9 }
`,
      files: {
        'PLC.yaml': `tags:
  - { name: level, unit: m, register: holding, address: 0, type: UINT16, scale: 0.1 }
  - { name: flow, unit: L/s, register: holding, address: 1, type: UINT16, scale: 0.1 }
`,
      },
      prepare: detectorIn,
    });
    cleanUps.push(() => agent.stop());
    const written = () => line.asked.filter(({ functionCode }) => functionCode > 4);
    const happened = (...transitions: string[]) =>
      vi.waitFor(() => expect(agent.server.alarms.map(({ transition }) => transition)).toEqual(transitions), within);
    await vi.waitFor(() => expect(agent.server.status?.health?.sensorToAlarmCount).toBeGreaterThan(5), within);
    // Nothing is written before the first alarm.
    expect(written()).toEqual([]);
    expect(await held()).toEqual([false, 0, 4_711, 4_712]);

    await level(90);
    await happened('raised');
    await vi.waitFor(async () => expect(await held()).toEqual([true, 700, 4_711, 4_712]), within);
    await level(50);
    await happened('raised', 'cleared');
    await vi.waitFor(async () => expect(await held()).toEqual([false, 3, 4_711, 4_712]), within);
    const [coil, register] = [
      { functionCode: 5, address: 12 },
      { functionCode: 6, address: 30 },
    ];
    const order = (a: { functionCode: number }, b: { functionCode: number }) => a.functionCode - b.functionCode;
    expect(written().sort(order)).toEqual([coil, coil, register, register]);

    // The line is away: an alarm that values do not come, which its output can be told of only once they do.
    line.shut(true);
    await happened('raised', 'cleared', 'raised');
    await vi.waitFor(() => expect(agent.log()).toContain('alarm output not written; it is tried again'), within);
    line.shut(false);
    await happened('raised', 'cleared', 'raised', 'cleared');
    await vi.waitFor(async () => expect(await held()).toEqual([false, 3, 0, 4_712]), within);
    expect(agent.log().match(/alarm output \(dry run\): this would be written/g)).toHaveLength(4);
    expect(written().every(({ address }) => [12, 30, 31].includes(address))).toBe(true);
  }, 90_000);
});
