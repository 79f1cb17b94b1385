import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import { parseAgentStatus, parseAlarmEvent } from '@twinwatch/core/wire/json-messages';
import type { AgentStatus } from '@twinwatch/core/wire/status';
import { topics } from '@twinwatch/core/wire/topics';
import { Aedes } from 'aedes';
import Database from 'libsql';
import mqtt from 'mqtt';
import { SerialPort } from 'serialport';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runAgent } from './agent.js';
import { Detector } from './detection/detector.js';
import { model } from './detection/testing/hand-made-model.js';
import { loadSite } from './site-config.js';
import { ModbusSource } from './sources/modbus/modbus-source.js';
import { honest, rtuDevice, tcpDevice } from './sources/modbus/testing/scripted-device.js';
import { Store } from './store/store.js';
import { systemClock, systemTimers } from './system-runtime.js';

/** What an agent does while nobody looks after what is around it: broker, clock, serial port. */

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const within = { timeout: 15_000, interval: 20 };
const cleanUps: (() => unknown)[] = [];
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-unattended-'));
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  rmSync(directory, { recursive: true });
});

async function startBroker(port: number) {
  const aedes = await Aedes.createBroker();
  const server = net.createServer(aedes.handle);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = async () => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    await new Promise((resolve) => server.close(resolve));
  };
  return { port: (server.address() as net.AddressInfo).port, close };
}

async function startAgent(brokerPort: number, plcPort: number, template: string, clock: Clock = systemClock) {
  writeFileSync(join(directory, 'plc.yaml'), template);
  writeFileSync(
    join(directory, 'agent.yaml'),
    `{federation: test, agent: site, broker: {url: 'mqtt://127.0.0.1:${brokerPort}'}, dataDir: data, interval: 100ms, statusEvery: 1s,
      poll: {every: 0ms}, buses: [{url: 'tcp://127.0.0.1:${plcPort}', devices: [{name: PLC, template: plc.yaml}]}], training: {enabled: false}}`,
  );
  const site = await loadSite(join(directory, 'agent.yaml'));
  const stop = new AbortController();
  const runtime = {
    ...{ softwareVersion: 'test', clock, timers: systemTimers, random: Math.random, log: quiet },
    connect: (options: { url: string }) => mqtt.connect(options.url, options as mqtt.IClientOptions),
    rssBytes: () => process.memoryUsage.rss(),
  };
  const done = new Promise<void>((ready, failed) => {
    const running = runAgent(site, runtime as Parameters<typeof runAgent>[1], stop.signal, () => ready());
    running.catch(failed);
    cleanUps.push(async () => {
      stop.abort();
      await running;
    });
  });
  await done;
}

/** Connects again by itself, and keeps what comes. */
function listen(port: number) {
  const { agent } = topics('test');
  const heard = { status: null as AgentStatus | null, alarms: [] as string[] };
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 100 });
  client.on('connect', () => client.subscribe([agent('site').status, agent('site').alarms]));
  client.on('message', (topic, payload) => {
    if (topic === agent('site').status) heard.status = parseAgentStatus(payload);
    else {
      const { alarmId, transition } = parseAlarmEvent(payload);
      if (!heard.alarms.includes(`${alarmId} ${transition}`)) heard.alarms.push(`${alarmId} ${transition}`);
    }
  });
  cleanUps.push(() => client.endAsync(true));
  return heard;
}

const storedRows = () => {
  const database = new Database(join(directory, 'data', 'rows.db'));
  const [row] = database.prepare('SELECT count(*), min(label), max(label) FROM rows').raw().all() as number[][];
  database.close();
  return row!;
};

describe('an agent on its own', () => {
  it('polls, stores and judges while its broker is away, and delivers the alarms when it is back', async () => {
    let scan = 0;
    let level = 5;
    const device = await tcpDevice(({ functionCode, address, count, index }) => {
      const pdu = Buffer.alloc(2 + count * 2);
      pdu.set([functionCode, count * 2]);
      // A new scan every third request: clock, tags, clock.
      scan = Math.floor(index / 3) + 1;
      if (address === 100) {
        pdu.writeUInt32BE(scan, 2);
        pdu.writeUInt32BE(1_400_000_000 + scan, 6);
      } else {
        pdu.writeFloatBE(level, 2);
        pdu.writeInt16BE(200, 6);
      }
      return { pdu, delayMs: 5 };
    });
    cleanUps.push(device.close);
    // The detector of an earlier life.
    const store = await Store.open(
      {
        directory: join(directory, 'data'),
        maximumRows: 1e4,
        maximumBytes: 1e9,
        maximumOutboxEvents: 99,
        maximumBlobBytes: 1e6,
      },
      { timers: systemTimers, log: quiet, maximumQueuedRows: 99 },
    );
    const bytes = model();
    await (await Detector.load(bytes, ['level', 'flow'])).close();
    await store.call('putBlob', 'h', bytes);
    const ref = { hash: 'h', bytes: bytes.length };
    const kept = {
      kind: 'manifest',
      modelVersion: 'm1',
      round: 1,
      model: ref,
      lineage: ref,
      threshold: 0.5,
      releasedAtMs: 1,
    };
    store.write({ op: 'state', key: 'manifest', value: JSON.stringify(kept) });
    await store.close();

    const broker = await startBroker(0);
    const heard = listen(broker.port);
    await startAgent(
      broker.port,
      device.port,
      `clock: { register: input, address: 100 }
tags:
  - { name: level, unit: m, register: holding, address: 0, type: FLOAT32 }
  - { name: flow, unit: L/s, register: holding, address: 2, type: INT16, scale: 0.1 }
`,
    );
    await vi.waitFor(() => expect(heard.status).toMatchObject({ online: true, modelVersion: 'm1' }), within);
    await broker.close();
    const before = storedRows()[0]!;
    level = 9;
    await vi.waitFor(() => expect(storedRows()[0]).toBeGreaterThan(before + 20), within);
    level = 5;
    const raised = storedRows()[0]!;
    await vi.waitFor(() => expect(storedRows()[0]).toBeGreaterThan(raised + 20), within);
    expect(heard.alarms).toEqual([]);

    const again = await startBroker(broker.port);
    cleanUps.splice(-1, 0, again.close);
    await vi.waitFor(() => expect(heard.alarms).toHaveLength(2), within);
    expect(heard.alarms.map((alarm) => alarm.split(' ')[1])).toEqual(['raised', 'cleared']);
    await vi.waitFor(() => expect(heard.status?.health?.outboxEvents).toBe(2), within);
    expect(heard.status!.health).toMatchObject({ rowsMissing: 0, lateReadings: 0, deviceFaults: {} });
    expect(heard.status!.health!.sensorToAlarmCount).toBeGreaterThan(40);
    expect(heard.status!.health!.sensorToAlarmMsP50).toBeGreaterThan(5);
  });

  it('says that its clock is not set, and learns from no row of that time', async () => {
    const device = await tcpDevice((request) => ({ pdu: honest(request) }));
    cleanUps.push(device.close);
    const broker = await startBroker(0);
    cleanUps.push(broker.close);
    const heard = listen(broker.port);
    let startMs = Date.UTC(1970, 0, 1);
    const clock = { monotonic: systemClock.monotonic, now: () => startMs + performance.now() };
    const template = 'tags: [{ name: a, register: holding, address: 0, type: UINT16 }]';
    await startAgent(broker.port, device.port, template, clock);
    await vi.waitFor(() => expect(heard.status?.health?.deviceFaults['system clock']).toContain('not set'), within);
    await vi.waitFor(() => expect(storedRows()[0]).toBeGreaterThan(3), within);
    expect(storedRows().slice(1)).toEqual([2, 2]);
    startMs = Date.UTC(2026, 0, 1);
    await vi.waitFor(() => expect(heard.status?.health?.deviceFaults).toEqual({}), within);
    await vi.waitFor(() => expect(storedRows().slice(1)).toEqual([-1, 2]), within);
  });
});

const hasSocat = (() => {
  try {
    execFileSync('socat', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe.skipIf(!hasSocat)('a serial port', () => {
  it('that goes away and comes back is read again', async () => {
    const near = join(directory, 'near');
    const far = join(directory, 'far');
    const plug = async () => {
      const end = (path: string) => `pty,raw,echo=0,link=${path}`;
      const socat: ChildProcess = spawn('socat', [end(near), end(far)]);
      const ended = new Promise((resolve) => socat.once('exit', resolve));
      while (!existsSync(near) || !existsSync(far)) await new Promise((resolve) => setTimeout(resolve, 10));
      const port = new SerialPort({ path: far, baudRate: 115_200 });
      port.on('error', () => undefined);
      rtuDevice(port, (request) => ({ pdu: honest(request) }));
      return async () => {
        if (port.isOpen) await new Promise<void>((resolve) => port.close(() => resolve()));
        socat.kill();
        await ended;
      };
    };
    let unplug = await plug();
    cleanUps.push(() => unplug());
    const stop = new AbortController();
    const told: string[] = [];
    const runtime = { clock: systemClock, timers: systemTimers, random: Math.random, log: quiet };
    const template = deviceTemplateSchema.parse({
      tags: [{ name: 'a', unit: '', register: 'holding', address: 0, type: 'UINT16' }],
    });
    const config = { url: `rtu://${near}?baudRate=115200`, timeoutMs: 200, retries: 2, delayMs: 0, devices: [] };
    const done = new ModbusSource(config, [{ name: 'PLC', unit: 1, template }], 0, 1e9, runtime).start(stop.signal, {
      reading: () => {
        if (told.at(-1) !== 'reading') told.push('reading');
      },
      fault: (_name, fault) => told.push(fault === null ? 'over' : 'fault'),
    });
    await vi.waitFor(() => expect(told).toEqual(['reading']), within);
    await unplug();
    await vi.waitFor(() => expect(told).toEqual(['reading', 'fault']), within);
    unplug = await plug();
    await vi.waitFor(() => expect(told).toEqual(['reading', 'fault', 'over', 'reading']), within);
    stop.abort();
    await done;
  });
});
