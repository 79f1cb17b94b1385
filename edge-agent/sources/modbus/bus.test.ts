import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@twinwatch/core/runtime';
import ModbusRTU from 'modbus-serial';
import { SerialPort } from 'serialport';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock, systemTimers } from '../../system-runtime.js';
import type { ModbusBus } from './bus.js';
import { openBus } from './open-bus.js';
import { type DeviceScript, exception, honest, registerAt, rtuDevice, tcpDevice } from './testing/scripted-device.js';

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const runtime = { clock: systemClock, timers: systemTimers, random: () => 0, log: quiet };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function connect(url: string, timeoutMs = 60): ModbusBus {
  const bus = openBus({ url, timeoutMs, delayMs: 0 }, runtime);
  cleanUps.push(() => bus.close());
  return bus;
}

async function scripted(script: DeviceScript, timeoutMs = 60) {
  const device = await tcpDevice(script);
  cleanUps.push(device.close);
  return { device, bus: connect(`tcp://127.0.0.1:${device.port}`, timeoutMs) };
}

const holding = (address: number, count = 1) => ({ table: 'holding' as const, address, count });
const expected = (address: number, count = 1) => Array.from({ length: count }, (_, i) => registerAt(address + i));
const code = (text: string) => expect.objectContaining({ code: text });

describe('ModbusBus over TCP', () => {
  it('reads every table of an independent server', async () => {
    const server = new ModbusRTU.ServerTCP(
      {
        getCoil: (address: number) => address % 3 === 0,
        getDiscreteInput: (address: number) => address % 2 === 0,
        getHoldingRegister: (address: number, unit: number) => address + unit,
        getInputRegister: (address: number) => address * 2,
      },
      { host: '127.0.0.1', port: 0, unitID: 255 },
    );
    await new Promise((resolve) => server.on('initialized', resolve));
    cleanUps.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const { port } = (server as unknown as { _server: { address(): { port: number } } })._server.address();
    const bus = connect(`tcp://127.0.0.1:${port}`, 2_000);
    const answers = await Promise.all([
      bus.read(7, holding(10, 3)),
      bus.read(1, { table: 'input', address: 5, count: 2 }),
      bus.read(1, { table: 'coil', address: 0, count: 10 }),
      bus.read(1, { table: 'discrete', address: 1, count: 3 }),
      bus.read(9, holding(0, 125)),
    ]);
    expect(answers.slice(0, 4).map((words) => [...words])).toEqual([
      [17, 18, 19],
      [10, 12],
      [1, 0, 0, 1, 0, 0, 1, 0, 0, 1],
      [0, 1, 0],
    ]);
    expect(answers[4]).toHaveLength(125);
  });

  it('has one request in flight, and the unit id travels with the request', async () => {
    let open = 0;
    const { bus, device } = await scripted((request) => {
      expect(++open).toBe(1);
      setTimeout(() => open--, 5);
      return { pdu: honest(request), delayMs: 5 };
    }, 1_000);
    const answers = await Promise.all([1, 2, 3, 4].map((unit) => bus.read(unit, holding(unit * 10))));
    expect(answers.map(([word]) => word)).toEqual([10, 20, 30, 40].map(registerAt));
    expect(device.requests.map(({ unit, address }) => [unit, address])).toEqual([
      [1, 10],
      [2, 20],
      [3, 30],
      [4, 40],
    ]);
  });

  it('never takes a late answer for the next one: it hangs up and dials again', async () => {
    const { bus, device } = await scripted((request) => ({
      pdu: honest(request),
      ...(request.index === 0 ? { delayMs: 90 } : {}),
    }));
    await expect(bus.read(1, holding(10))).rejects.toEqual(code('MODBUS_TIMEOUT'));
    for (const address of [20, 30, 40]) expect([...(await bus.read(1, holding(address)))]).toEqual(expected(address));
    expect(device.connections()).toBe(1);
  });

  it('settles when the peer closes, refuses a truncated or foreign answer, and goes on after each', async () => {
    const { bus } = await scripted((request) => {
      const pdu = honest(request);
      switch (request.index) {
        case 0:
          return 'hang-up';
        case 1:
          return { pdu: pdu.subarray(0, 4) };
        case 2:
          return { pdu, cutTo: 9 };
        case 3:
          return { pdu: honest({ ...request, functionCode: 4 }) };
        case 4:
          return { pdu: exception(3, 2) };
        default:
          return { pdu };
      }
    }, 300);
    await expect(bus.read(1, holding(1, 2))).rejects.toEqual(code('MODBUS_DISCONNECTED'));
    await expect(bus.read(1, holding(2, 2))).rejects.toEqual(code('MODBUS_MALFORMED'));
    await expect(bus.read(1, holding(3, 2))).rejects.toEqual(code('MODBUS_TIMEOUT'));
    await expect(bus.read(1, holding(4, 2))).rejects.toEqual(code('MODBUS_MALFORMED'));
    await expect(bus.read(1, holding(5, 2))).rejects.toMatchObject({
      code: 'MODBUS_EXCEPTION',
      context: { exception: 2 },
    });
    expect([...(await bus.read(1, holding(6, 2)))]).toEqual(expected(6, 2));
  });

  it('rejects what is in flight and queued when it is closed, and what is not reachable', async () => {
    const { bus } = await scripted(() => 'silence', 60_000);
    const reads = [1, 2, 3].map((address) => bus.read(1, holding(address)));
    const settled = Promise.allSettled(reads);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await bus.close();
    expect((await settled).map((outcome) => outcome.status)).toEqual(['rejected', 'rejected', 'rejected']);
    const nobody = connect('tcp://127.0.0.1:1');
    await expect(nobody.read(1, holding(1))).rejects.toEqual(code('MODBUS_UNREACHABLE'));
    await expect(nobody.read(1, holding(1))).rejects.toEqual(code('MODBUS_DISCONNECTED'));
  });

  it('keeps working over a wrap of the transaction id', async () => {
    const { bus } = await scripted((request) => ({ pdu: honest(request) }), 1_000);
    for (let i = 0; i < 300; i++) expect((await bus.read(1, holding(i)))[0]).toBe(registerAt(i));
  });
});

const hasSocat = spawnSync('socat', ['-V']).status === 0;
if (!hasSocat) console.warn('socat is not installed: the tests on serial lines are skipped (apt-get install socat)');

describe.skipIf(!hasSocat)('ModbusBus over a serial line', () => {
  let socat: ChildProcess;
  let directory: string;
  let far: SerialPort;
  let script: DeviceScript = () => 'silence';
  let requests: ReturnType<typeof rtuDevice>['requests'];

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'twinwatch-pty-'));
    const end = (name: string) => `pty,raw,echo=0,link=${join(directory, name)}`;
    socat = spawn('socat', [end('near'), end('far')]);
    while (!existsSync(join(directory, 'near')) || !existsSync(join(directory, 'far')))
      await new Promise((resolve) => setTimeout(resolve, 10));
    far = new SerialPort({ path: join(directory, 'far'), baudRate: 115_200 });
    ({ requests } = rtuDevice(far, (request) => script(request)));
  });
  afterAll(async () => {
    await new Promise<void>((resolve) => far.close(() => resolve()));
    socat.kill();
    rmSync(directory, { recursive: true });
  });

  const line = (play: DeviceScript, timeoutMs = 60) => {
    script = play;
    requests.length = 0;
    return connect(`rtu://${join(directory, 'near')}?baudRate=115200&parity=even`, timeoutMs);
  };

  it('reads registers and bits, and frees the port when closed', async () => {
    const bus = line((request) => ({ pdu: honest(request) }), 1_000);
    expect([...(await bus.read(3, holding(100, 50)))]).toEqual(expected(100, 50));
    expect([...(await bus.read(3, { table: 'coil', address: 0, count: 4 }))]).toEqual([0, 1, 0, 1]);
    await bus.close();
    const again = line((request) => ({ pdu: honest(request) }), 1_000);
    expect([...(await again.read(4, holding(1)))]).toEqual(expected(1));
  });

  /** What a read gives, or the code of its refusal. */
  const outcome = (read: Promise<Uint16Array>) =>
    read.then(
      (words) => [...words],
      (error: { code: string }) => error.code,
    );

  it.each([
    ['out of its order', 90],
    ['out of its order', 150],
    ['and in order', 400],
  ])('never takes an answer that comes late %s for the next one (%i ms)', async (how, delayMs) => {
    let busyUntilMs = 0;
    const bus = line((request) => {
      if (request.index === 0) busyUntilMs = performance.now() + delayMs;
      const waitMs = how === 'and in order' || request.index === 0 ? busyUntilMs - performance.now() : 0;
      return { pdu: honest(request), delayMs: Math.max(0, waitMs) };
    });
    expect(await outcome(bus.read(1, holding(10, 2)))).toBe('MODBUS_TIMEOUT');
    let good = 0;
    for (let address = 20; good < 5; address += 10) {
      const read = await outcome(bus.read(1, holding(address, 2)));
      expect([expected(address, 2), 'MODBUS_OUT_OF_STEP', 'MODBUS_TIMEOUT']).toContainEqual(read);
      if (Array.isArray(read)) good++;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });

  it('believes nothing of a unit that answers every request too late, and all of its neighbour', async () => {
    const bus = line((request) => ({ pdu: honest(request), ...(request.unit === 1 ? { delayMs: 500 } : {}) }), 200);
    for (let address = 10; address < 100; address += 10) {
      const refused = await outcome(bus.read(1, holding(address, 2)));
      expect(['MODBUS_OUT_OF_STEP', 'MODBUS_TIMEOUT']).toContain(refused);
      expect(await outcome(bus.read(2, holding(address, 2)))).toEqual(expected(address, 2));
    }
  });

  it('skips noise and damaged frames', async () => {
    const bus = line((request) => {
      far.write(Buffer.from([0, 0xff, request.unit, request.functionCode, 4, 1, 2, 3, 4, 5, 6]));
      return { pdu: honest(request) };
    }, 2_000);
    expect([...(await bus.read(1, holding(8, 2)))]).toEqual(expected(8, 2));
  });
});
