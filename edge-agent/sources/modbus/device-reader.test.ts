import { deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import type { Logger } from '@twinwatch/core/runtime';
import type { DeviceReading } from '@twinwatch/core/scada/row-assembler';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock, systemTimers } from '../../system-runtime.js';
import { answered, backoffMs, CLOSED_BREAKER, failed, mayAsk, probeNow } from './breaker.js';
import { DeviceReader } from './device-reader.js';
import { ModbusSource, stillAfterMs } from './modbus-source.js';
import { openBus } from './open-bus.js';
import { planReads } from './read-plan.js';
import {
  type DeviceRequest,
  type DeviceScript,
  exception,
  honest,
  registerAt,
  tcpDevice,
} from './testing/scripted-device.js';

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const runtime = { clock: systemClock, timers: systemTimers, random: () => 0, log: quiet };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const tag = (name: string, address: number, rest: object = {}) => ({
  name,
  register: 'holding',
  address,
  type: 'UINT16',
  ...rest,
});
const template = (tags: object[], rest: object = {}) => deviceTemplateSchema.parse({ tags, ...rest });

async function reader(script: DeviceScript, of: ReturnType<typeof template>) {
  const device = await tcpDevice(script);
  const bus = openBus({ url: `tcp://127.0.0.1:${device.port}`, timeoutMs: 500, delayMs: 0 }, runtime);
  cleanUps.push(device.close, () => bus.close());
  return { device, reader: new DeviceReader({ name: 'PLC', unit: 1, template: of }, bus, systemClock) };
}
const byTag = (reading: Pick<DeviceReading, 'samples'> | null) =>
  Object.fromEntries(
    (reading?.samples ?? []).map((sample) => [sample.tag, sample.quality === 'good' ? sample.value : sample.reason]),
  );

describe('planReads', () => {
  const spans = (tags: object[], rest = {}) =>
    planReads(template(tags, rest)).map(({ request }) => `${request.table} ${request.address}+${request.count}`);

  it('reads neighbours together, over holes only where that is asked for, table by table', () => {
    const scattered = [
      tag('c', 30),
      tag('a', 0, { type: 'FLOAT32' }),
      tag('b', 10),
      tag('d', 3, { register: 'coil', type: 'BIT' }),
    ];
    expect(spans(scattered, { mergeGap: 8 })).toEqual(['holding 0+11', 'holding 30+1', 'coil 3+1']);
    expect(spans(scattered)).toEqual(['holding 0+2', 'holding 10+1', 'holding 30+1', 'coil 3+1']);
  });

  it('keeps within 125 registers, 2000 bits, and what the device allows, and splits no value', () => {
    const floats = Array.from({ length: 100 }, (_, i) => tag(`t${i}`, i * 2, { type: 'FLOAT32' }));
    expect(spans(floats)).toEqual(['holding 0+124', 'holding 124+76']);
    expect(spans(floats.slice(0, 6), { maximumRegisters: 5 })).toEqual(['holding 0+4', 'holding 4+4', 'holding 8+4']);
    const coils = Array.from({ length: 2_100 }, (_, i) => tag(`c${i}`, i, { register: 'coil', type: 'BIT' }));
    expect(spans(coils)).toEqual(['coil 0+2000', 'coil 2000+100']);
  });
});

describe('DeviceReader', () => {
  it('goes around a hole in the register map, and remembers it', async () => {
    const hole = ({ address, count }: DeviceRequest) => address <= 4 && address + count > 4;
    const of = template([tag('a', 0), tag('b', 2), tag('c', 6), tag('d', 7)], { mergeGap: 4 });
    const { reader: read, device } = await reader(
      (request) => ({ pdu: hole(request) ? exception(3, 2) : honest(request) }),
      of,
    );
    const first = byTag(await read.read());
    expect(first).toEqual({ a: registerAt(0), b: registerAt(2), c: registerAt(6), d: registerAt(7) });
    const asked = device.requests.length;
    expect(byTag(await read.read())).toEqual(first);
    expect(device.requests.slice(asked).map(({ address, count }) => [address, count])).toEqual([
      [0, 3],
      [6, 2],
    ]);
  });

  it('looks from time to time whether what the device refused is still refused', async () => {
    let isStarting = true;
    const all = template([tag('a', 0), tag('b', 1), tag('c', 2, { interval: '1h' }), tag('d', 3)]);
    const device = await tcpDevice(({ functionCode, ...request }) =>
      isStarting ? { pdu: exception(functionCode, 2) } : { pdu: honest({ functionCode, ...request }) },
    );
    const bus = openBus({ url: `tcp://127.0.0.1:${device.port}`, timeoutMs: 500, delayMs: 0 }, runtime);
    cleanUps.push(device.close, () => bus.close());
    let nowMs = 0;
    const clock = { now: () => Date.now(), monotonic: () => nowMs };
    const one = new DeviceReader({ name: 'PLC', unit: 1, template: all }, bus, clock);
    const asked = async () => {
      const before = device.requests.length;
      await one.read();
      return device.requests.slice(before).map(({ address, count }) => `${address}+${count}`);
    };
    await one.read();
    isStarting = false;
    expect(await asked()).toEqual(['0+1', '1+1', '3+1']);
    nowMs = 10 * 60_000;
    expect(await asked()).toEqual(['0+2', '3+1']);
  });

  it('takes it for silence that a gateway has no answer of a unit', async () => {
    const { reader: one } = await reader(
      ({ functionCode }) => ({ pdu: exception(functionCode, 11) }),
      template([tag('a', 0)]),
    );
    await expect(one.read()).rejects.toMatchObject({ code: 'MODBUS_EXCEPTION', context: { exception: 11 } });
  });

  it('gives a refused tag, NaN and values out of range their reasons, and the rest their values', async () => {
    const of = template([
      tag('good', 0),
      tag('refused', 1),
      tag('range', 2, { maximum: 5 }),
      tag('nan', 20, { type: 'FLOAT32' }),
    ]);
    const { reader: read } = await reader((request) => {
      if (request.address <= 1 && request.address + request.count > 1) return { pdu: exception(3, 2) };
      return { pdu: request.address === 20 ? Buffer.from([3, 4, 0x7f, 0xc0, 0, 0]) : honest(request) };
    }, of);
    expect(byTag(await read.read())).toEqual({
      good: registerAt(0),
      refused: 'MODBUS_EXCEPTION 2',
      range: 'OUT_OF_RANGE',
      nan: 'NOT_A_NUMBER',
    });
  });

  it('reads what has an interval of its own when it is due, and goes on telling what it was', async () => {
    let now = 0;
    const of = template([tag('fast', 0), tag('slow', 1, { group: 'slow' }), tag('own', 9, { interval: '20s' })], {
      groups: { slow: '10s' },
    });
    const device = await tcpDevice((request) => ({ pdu: honest(request) }));
    const clock = { now: () => Date.UTC(1970, 0, 1), monotonic: () => now };
    const bus = openBus(
      { url: `tcp://127.0.0.1:${device.port}`, timeoutMs: 500, delayMs: 0 },
      { ...runtime, clock: { ...clock, monotonic: systemClock.monotonic } },
    );
    cleanUps.push(device.close, () => bus.close());
    const read = new DeviceReader({ name: 'PLC', unit: 1, template: of }, bus, clock);
    const all = { fast: registerAt(0), slow: registerAt(1), own: registerAt(9) };
    const addresses: number[][] = [];
    for (const atMs of [0, 9_999, 10_000, 20_000]) {
      now = atMs;
      const reading = await read.read();
      expect(byTag(reading)).toEqual(all);
      // This clock has not been set since the machine started.
      expect(reading!.samples.every(({ isTimeKnown }) => !isTimeKnown)).toBe(true);
      expect(reading!.samples.map(({ receivedMonotonicMs }) => receivedMonotonicMs)[0]).toBe(atMs);
      addresses.push(device.requests.splice(0).map(({ address }) => address));
      expect(read.nextMs(atMs, 60_000)).toBe([10_000, 10_000, 20_000, 30_000][addresses.length - 1]);
    }
    expect(addresses).toEqual([[0, 1, 9], [0], [0, 1], [0, 1, 9]]);
  });

  /** A device with a clock at 100 and one register at 0 that holds the scan's number. */
  function scanning(scanAt: (request: DeviceRequest) => number): DeviceScript {
    return (request) => {
      const scan = scanAt(request);
      const pdu = Buffer.alloc(2 + request.count * 2);
      pdu[0] = request.functionCode;
      pdu[1] = request.count * 2;
      if (request.address === 100) {
        pdu.writeUInt32BE(scan, 2);
        pdu.writeUInt32BE(1_500_000_000 + scan, 6);
      } else pdu.writeUInt16BE(scan, 2);
      return { pdu };
    };
  }
  const clocked = template([tag('scan', 0)], { clock: { register: 'input', address: 100 } });

  it('reads a scan once, and its values are of that scan even where it changes in between', async () => {
    let scan = 7;
    const { reader: read, device } = await reader(
      scanning(({ address, index }) => {
        if (address === 0 && index === 1) scan = 8;
        return scan;
      }),
      clocked,
    );
    expect(await read.read()).toMatchObject({
      sequence: 8,
      timeMs: 1_500_000_008_000,
      samples: [{ tag: 'scan', value: 8 }],
    });
    const asked = device.requests.length;
    expect(await read.read()).toBeNull();
    expect(device.requests.length).toBe(asked + 1);
  });

  it('reads a scan again behind a line that was opened anew, where the device may have started anew', async () => {
    let hangsUp = false;
    const same = scanning(() => 7);
    const { reader: read } = await reader((request) => (hangsUp ? 'hang-up' : same(request)), clocked);
    expect(await read.read()).toMatchObject({ sequence: 7 });
    expect(await read.read()).toBeNull();
    hangsUp = true;
    await expect(read.read()).rejects.toMatchObject({ code: 'MODBUS_DISCONNECTED' });
    hangsUp = false;
    expect(await read.read()).toMatchObject({ sequence: 7, samples: [{ tag: 'scan', value: 7 }] });
    expect(await read.read()).toBeNull();
  });

  it('gives a device up for this poll that scans faster than it can be read', async () => {
    const { reader: read } = await reader(
      scanning(({ index }) => index),
      clocked,
    );
    await expect(read.read()).rejects.toMatchObject({ code: 'MODBUS_UNSTEADY' });
  });
});

describe('breaker', () => {
  it('opens after three failures, probes once per pause, doubles it, and closes on an answer', () => {
    const fail = (nowMs: number, isAlone = false) => failed(breaker, { nowMs, random: 0.5, retries: 2, isAlone });
    let breaker = CLOSED_BREAKER;
    for (const now of [0, 1]) breaker = fail(now);
    expect(mayAsk(breaker, 1)).toBe(true);
    breaker = fail(2);
    expect([mayAsk(breaker, 3), mayAsk(breaker, 502)]).toEqual([false, true]);
    breaker = fail(502);
    expect([mayAsk(breaker, 1_501), mayAsk(breaker, 1_502)]).toEqual([false, true]);
    for (let i = 0; i < 40; i++) breaker = fail(0);
    expect(breaker.retryAtMs).toBe(30_000);
    expect(fail(0, true).retryAtMs).toBe(5_000);
    expect(mayAsk(probeNow(breaker, 7), 7)).toBe(true);
    expect(answered()).toEqual(CLOSED_BREAKER);
    expect([1, 2, 3].map((failures) => backoffMs(failures, 0))).toEqual([10, 20, 40]);
    expect(backoffMs(1, 0.999)).toBeLessThan(20);
  });
});

describe('ModbusSource', () => {
  it('polls the living while one unit is dead, tells the fault, and tells when it is over', async () => {
    let dead = true;
    const device = await tcpDevice((request) => (request.unit === 2 && dead ? 'silence' : { pdu: honest(request) }));
    cleanUps.push(device.close);
    const stop = new AbortController();
    const of = template([tag('a', 0)]);
    const devices = [
      { name: 'ALIVE', unit: 1, template: of },
      { name: 'DEAD', unit: 2, template: template([tag('b', 0)]) },
    ];
    const config = { url: `tcp://127.0.0.1:${device.port}`, timeoutMs: 20, retries: 2, delayMs: 0, devices: [] };
    const readings = { ALIVE: 0, DEAD: 0 } as Record<string, number>;
    const faults: (string | null)[] = [];
    const done = new ModbusSource(config, devices, 0, 1e9, runtime).start(stop.signal, {
      reading: ({ device: name }) => {
        readings[name]!++;
        if (name === 'DEAD') stop.abort();
      },
      fault: (name, fault) => {
        expect(name).toBe('DEAD');
        faults.push(fault);
        expect(readings.ALIVE).toBeGreaterThan(0);
        dead = false;
      },
    });
    await done;
    expect(faults[0]).toContain('MODBUS_TIMEOUT');
    expect(faults[1]).toBeNull();
    const asked = device.requests.filter(({ unit }) => unit === 2).length;
    expect(asked).toBeLessThanOrEqual(5);
    expect(readings.ALIVE).toBeGreaterThan(asked);
  });

  it('names a PLC that answers and no longer scans, and takes that back when it goes on', async () => {
    let scan = 7;
    const device = await tcpDevice((request) => {
      const pdu = honest(request);
      if (request.address === 100) pdu.writeUInt32BE(scan, 2);
      return { pdu };
    });
    cleanUps.push(device.close);
    const stop = new AbortController();
    const of = template([tag('a', 0)], { clock: { register: 'holding', address: 100 } });
    const config = { url: `tcp://127.0.0.1:${device.port}`, timeoutMs: 500, retries: 2, delayMs: 0, devices: [] };
    const told: unknown[] = [];
    await new ModbusSource(config, [{ name: 'PLC', unit: 1, template: of }], 0, 30, runtime).start(stop.signal, {
      reading: ({ sequence }) => {
        told.push(sequence);
        if (sequence === 8) stop.abort();
      },
      fault: (_name, fault) => {
        told.push(fault);
        if (fault !== null) scan = 8;
      },
    });
    expect(told).toEqual([7, expect.stringContaining('scan counter stands still'), null, 8]);
    expect(stillAfterMs(1_000, 5_000)).toBe(60_000);
    expect(stillAfterMs(60_000, 5_000)).toBe(300_000);
  });

  it('takes up other devices on an open line, and tells nothing that one of before still answers', async () => {
    let held = () => {};
    const asked = new Promise<void>((resolve) => {
      held = resolve;
    });
    const device = await tcpDevice((request) => {
      if (request.address === 9) held();
      return { pdu: honest(request), ...(request.address === 9 ? { delayMs: 100 } : {}) };
    });
    cleanUps.push(device.close);
    const stop = new AbortController();
    const kept = { name: 'KEPT', unit: 1, template: template([tag('a', 0)]) };
    const changing = (address: number) => ({ name: 'CHANGED', unit: 2, template: template([tag('b', address)]) });
    const config = { url: `tcp://127.0.0.1:${device.port}`, timeoutMs: 2_000, retries: 2, delayMs: 0, devices: [] };
    const source = new ModbusSource(config, [kept, changing(9)], 0, 1e9, runtime);
    const told: unknown[] = [];
    const done = source.start(stop.signal, {
      reading: ({ device: name, samples }) => {
        if (name === 'CHANGED') told.push(samples[0]!.value);
        if (told.length === 3) stop.abort();
      },
      fault: (name, fault) => told.push([name, fault]),
    });
    await asked;
    source.change([changing(4), { ...kept }]);
    await done;
    expect(told).toEqual([registerAt(4), registerAt(4), registerAt(4)]);
    expect(source.devices).toEqual(['CHANGED', 'KEPT']);
    expect(device.accepted()).toBe(1);
  });
});
