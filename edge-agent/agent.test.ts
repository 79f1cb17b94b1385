import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sourceSchema } from '@twinwatch/core/config/sources';
import { schemaHash } from '@twinwatch/core/features/schema';
import { layers } from '@twinwatch/core/learning/network';
import type { Logger } from '@twinwatch/core/runtime';
import { blobRef, encodeLineage, encodeParameters } from '@twinwatch/core/wire/blobs';
import { encodeExchangeRows } from '@twinwatch/core/wire/exchange-rows';
import { encodeJson } from '@twinwatch/core/wire/json-messages';
import type { FitTask, Lineage } from '@twinwatch/core/wire/messages';
import { decodeDelta } from '@twinwatch/core/wire/parameter-codec';
import { SPOKEN } from '@twinwatch/core/wire/protocol';
import { topics } from '@twinwatch/core/wire/topics';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type AgentRuntime, runAgent } from './agent.js';
import { checkSite } from './check.js';
import { ARCHITECTURE, model, PARAMETERS, SCALER, SCHEMA } from './detection/testing/hand-made-model.js';
import { loadSite } from './site-config.js';
import { type DeviceRequest, tcpDevice } from './sources/modbus/testing/scripted-device.js';
import { systemClock, systemTimers } from './system-runtime.js';
import { PlayedServer } from './testing/played-server.js';

/** One agent with everything real around it, sockets included; the plant and the server are played by this file. */

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const warned: string[] = [];
const refusals: string[] = [];
const runtime: AgentRuntime = {
  softwareVersion: 'test',
  clock: systemClock,
  timers: systemTimers,
  random: Math.random,
  log: {
    ...quiet,
    warn: (_context, message) => void warned.push(message),
    error: (context) => void refusals.push(String((context as { error?: unknown }).error)),
  },
  connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
  rssBytes: () => process.memoryUsage.rss(),
};
const within = { timeout: 15_000, interval: 10 };

/** A PLC that goes on to its next scan whenever one was completely read, as far as `limit`. */
class Plant {
  scan = 1;
  limit = 0;
  level = 5;
  #tagsRead = false;

  answer({ functionCode, address, count }: DeviceRequest): Buffer {
    const pdu = Buffer.alloc(2 + count * 2);
    pdu[0] = functionCode;
    pdu[1] = count * 2;
    if (address === 100) {
      if (this.#tagsRead && this.scan < this.limit) this.next(pdu);
      else this.clock(pdu);
    } else {
      pdu.writeFloatBE(this.level, 2);
      pdu.writeInt16BE(200 + (this.scan % 7) * 10, 6);
      this.#tagsRead = true;
    }
    return pdu;
  }

  /** The clock once more proves the scan; then comes the next one. */
  next(pdu: Buffer): void {
    this.clock(pdu);
    this.#tagsRead = false;
    this.scan++;
  }

  clock(pdu: Buffer): void {
    pdu.writeUInt32BE(this.scan, 2);
    pdu.writeUInt32BE(1_400_000_000 + this.scan, 6);
  }
}

const exchange = encodeExchangeRows(
  { features: Float32Array.of(3, 0, 0, 0, 1, 0), labels: Float32Array.of(1, 0) },
  ARCHITECTURE.inputs,
  SCALER.clip,
);
const lineage: Lineage = {
  schema: SCHEMA,
  schemaHash: schemaHash(SCHEMA),
  scaler: SCALER,
  architecture: ARCHITECTURE,
  exchange: blobRef(exchange),
};
const LINEAGE = blobRef(encodeLineage(lineage));

describe('an agent', () => {
  const plant = new Plant();
  let directory: string;
  let configPath: string;
  let aedes: Aedes;
  let broker: net.Server;
  let brokerUrl: string;
  let device: Awaited<ReturnType<typeof tcpDevice>>;
  let server: PlayedServer;
  let running: { stop: AbortController; done: Promise<void> };

  async function startAgent() {
    const site = await loadSite(configPath);
    const stop = new AbortController();
    await new Promise<void>((ready) => {
      running = { stop, done: runAgent(site, runtime, stop.signal, () => ready()) };
    });
  }
  async function stopAgent() {
    running.stop.abort();
    await running.done;
  }
  const fit = (round: number, rest: Partial<FitTask> = {}): FitTask => ({
    kind: 'fit',
    round,
    attempt: 0,
    method: 'fedavg',
    lineage: LINEAGE,
    parameters: server.keep(encodeParameters(PARAMETERS)),
    epochs: 1,
    batchSize: 8,
    learningRate: 0.01,
    proximalMu: 0,
    exchangeShare: 0.5,
    codec: 'int8',
    layerMask: null,
    seed: 1,
    deadlineMs: 60_000,
    ...rest,
  });

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'twinwatch-agent-'));
    mkdirSync(join(directory, 'templates'));
    aedes = await Aedes.createBroker();
    broker = net.createServer(aedes.handle);
    await new Promise<void>((resolve) => broker.listen(0, '127.0.0.1', resolve));
    brokerUrl = `mqtt://127.0.0.1:${(broker.address() as net.AddressInfo).port}`;
    device = await tcpDevice((request) => ({ pdu: plant.answer(request) }));
    configPath = join(directory, 'agent.yaml');
    writeFileSync(
      join(directory, 'templates', 'plc.yaml'),
      `clock: { register: input, address: 100 }
tags:
  - { name: level, unit: m, register: holding, address: 0, type: FLOAT32 }
  - { name: flow, unit: L/s, register: holding, address: 2, type: INT16, scale: 0.1 }
`,
    );
    writeFileSync(
      configPath,
      `federation: test
agent: site
broker: { url: '${brokerUrl}' }
dataDir: data
interval: 1s
statusEvery: 1s
poll: { every: 0ms }
buses:
  - { url: 'tcp://127.0.0.1:${device.port}', timeoutMs: 2000, devices: [{ name: PLC1, template: templates/plc.yaml }] }
training: { quarantine: 10s, engine: builtin }
telemetry: { everyMs: 100 }
`,
    );
    server = new PlayedServer(brokerUrl, LINEAGE);
    for (const bytes of [exchange, encodeLineage(lineage)]) server.keep(bytes);
    server.link.start();
    plant.limit = 100;
    await startAgent();
  });
  afterAll(async () => {
    await stopAgent();
    await server.link.stop();
    await device.close();
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    broker.close();
    rmSync(directory, { recursive: true });
  });

  it('is online, says hello, and calibrates on rows that are out of quarantine', async () => {
    await vi.waitFor(() => expect(server.status).toMatchObject({ online: true, modelVersion: null }), within);
    await vi.waitFor(() => expect(server.newest('hello')?.eligibleRows).toBeGreaterThan(0), within);
    expect(server.newest('hello')).toMatchObject({ tags: ['level', 'flow'], lineageHash: null });
    await vi.waitFor(() => expect(plant.scan).toBe(100), within);
    await server.send('task', { kind: 'calibrate', schema: SCHEMA, schemaHash: lineage.schemaHash, minimumRows: 80 });
    await vi.waitFor(() => expect(server.newest('calibration')).toBeDefined(), within);
    const { moments } = server.newest('calibration')!;
    expect(moments.count).toBeGreaterThanOrEqual(80);
    expect(moments.count).toBeLessThanOrEqual(90);
    expect(moments.mean[0]).toBeCloseTo(5);
    expect(moments.m2[0]).toBeCloseTo(0);
  });

  it('fits, sends the same update until its receipt, and feeds back what the codec left out', async () => {
    await server.fit(fit(1));
    await vi.waitFor(() => expect(server.newest('update')).toBeDefined(), within);
    const update = server.newest('update')!;
    expect(update).toMatchObject({ round: 1, codec: 'int8', baseHash: blobRef(encodeParameters(PARAMETERS)).hash });
    expect(decodeDelta(update.delta, layers(ARCHITECTURE), 'int8', null).some((value) => value !== 0)).toBe(true);
    expect(update.scores).toBeNull();
    expect(update.rows).toBeGreaterThan(50);
    // No receipt, and the agent starts anew: the same bytes come again.
    await stopAgent();
    expect(server.status).toMatchObject({ online: false });
    server.messages.length = 0;
    await startAgent();
    await vi.waitFor(() => expect(server.newest('update')).toEqual(update), within);
    await server.send('receipt', { kind: 'update-receipt', round: 1, attempt: 0, verdict: 'accepted', detail: '' });
    await server.fit(fit(2));
    await vi.waitFor(() => expect(server.newest('update')?.round).toBe(2), within);
    await server.send('receipt', { kind: 'update-receipt', round: 2, attempt: 0, verdict: 'accepted', detail: '' });
    await vi.waitFor(() => expect(server.newest('hello')?.lineageHash).toBe(LINEAGE.hash), within);
  });

  it('evaluates without training', async () => {
    const { kind: _, ...task } = fit(3);
    const { lineage: of, parameters, round, attempt, deadlineMs } = task;
    await server.send('task', { kind: 'evaluate', lineage: of, parameters, round, attempt, deadlineMs });
    await vi.waitFor(() => expect(server.newest('update')).toMatchObject({ round: 3, rows: 0 }), within);
    const { delta, scores } = server.newest('update')!;
    expect(delta).toHaveLength(0);
    expect(scores!.counts.reduce((sum, count) => sum + count)).toBe(scores!.rows);
    await server.send('receipt', { kind: 'update-receipt', round: 3, attempt: 0, verdict: 'accepted', detail: '' });
  });

  it('takes a model up, refuses a broken one, and alarms until the server has the alarm', async () => {
    const good = model({ lineageHash: LINEAGE.hash });
    const { hash, bytes } = blobRef(good);
    // What did not come whole is no fault of the model: announced rightly, it is taken.
    server.keep(good);
    await server.manifest(good, 'm1', { model: { hash, bytes: bytes + 1 } });
    await vi.waitFor(() => expect(warned).toContain('detector not in use yet; it is tried again'), within);
    await server.manifest(good, 'm1');
    await vi.waitFor(() => expect(server.status?.modelVersion).toBe('m1'), within);
    await server.manifest(model().slice(0, -10), 'broken');
    const other = model({ lineageHash: LINEAGE.hash, modelVersion: 'm2' });
    await server.manifest(other, 'm2', {}, 'mallory');
    await server.manifest(other, 'm2', { releasedAtMs: 9 });
    await vi.waitFor(
      () =>
        // From somebody else, and older than the one that runs.
        expect(warned.filter((message) => message === 'refused')).toHaveLength(2),
      within,
    );
    await server.manifest(other, 'm2', { threshold: 0.9 });
    await vi.waitFor(() => expect(refusals.at(-1)).toContain('its manifest says threshold 0.9, the file 0.5'), within);
    server.receipts = false;
    plant.level = 9;
    plant.limit = 120;
    await vi.waitFor(() => expect(server.alarms.map(({ transition }) => transition)).toEqual(['raised']), within);
    expect(server.alarms[0]).toMatchObject({ modelVersion: 'm1', contributions: [{ tag: 'level' }] });
    expect(server.alarms[0]!.atMs).toBe(1_400_000_102_000);
    // Killed before the receipt: the alarm comes again, and goes on where it was.
    await vi.waitFor(() => expect(plant.scan).toBe(120), within);
    await stopAgent();
    server.receipts = true;
    server.alarms.length = 0;
    await startAgent();
    await vi.waitFor(() => expect(server.alarms.map(({ transition }) => transition)).toEqual(['raised']), within);
    plant.level = 5;
    plant.limit = 130;
    await vi.waitFor(
      () => expect(server.alarms.map(({ transition }) => transition)).toEqual(['raised', 'cleared']),
      within,
    );
    await vi.waitFor(
      () => expect(server.status?.health).toMatchObject({ outboxEvents: 0, rowsMissing: 0, deviceFaults: {} }),
      within,
    );
    expect(server.status).toMatchObject({ modelVersion: 'm1' });
    expect(server.status!.health!.sensorToAlarmMsP50).toBeGreaterThan(0);
  });

  it('says hello again to a server that has restarted', async () => {
    server.messages.length = 0;
    const status = { online: true, connectionId: 'new', softwareVersion: 'x' };
    await server.link.publish(topics('test').serverStatus, encodeJson(status));
    await vi.waitFor(() => expect(server.newest('hello')).toMatchObject({ modelVersion: 'm1' }), within);
  });

  it('learns in no federation of another interval, says in its status what to do, and goes on in one of its own', async () => {
    const schema = { ...SCHEMA, intervalMs: 900_000 };
    const other = encodeLineage({ ...lineage, schema, schemaHash: schemaHash(schema) });
    const fault = () => server.status?.health?.deviceFaults.interval;
    const refuses = /rows are 15m apart, those of this site 1s: .*write interval: 15m into this agent's configuration/;
    server.messages.length = 0;
    await server.send('task', { kind: 'calibrate', schema, schemaHash: schemaHash(schema), minimumRows: 1 });
    await vi.waitFor(() => expect(fault()).toMatch(refuses), within);
    await server.fit(fit(20));
    await vi.waitFor(() => expect(server.newest('update')?.round).toBe(20), within);
    await vi.waitFor(() => expect(fault()).toBeUndefined(), within);
    await server.send('receipt', { kind: 'update-receipt', round: 20, attempt: 0, verdict: 'accepted', detail: '' });
    server.keep(other);
    await server.fit(fit(21, { lineage: blobRef(other) }));
    await vi.waitFor(() => expect(fault()).toMatch(refuses), within);
    expect(server.newest('calibration')).toBeUndefined();
    expect(server.newest('update')?.round).toBe(20);
    await server.fit(fit(22));
    await vi.waitFor(() => expect(server.newest('update')?.round).toBe(22), within);
    await vi.waitFor(() => expect(fault()).toBeUndefined(), within);
    await server.send('receipt', { kind: 'update-receipt', round: 22, attempt: 0, verdict: 'accepted', detail: '' });
  });

  it('measures, judges and alarms beside a server that it has no protocol in common with, and goes on once that is over', async () => {
    const say = (connectionId: string, newest: number, oldest = newest) =>
      server.link.publish(
        topics('test').serverStatus,
        encodeJson({ online: true, connectionId, softwareVersion: '9', protocols: { oldest, newest } }),
      );
    const fault = () => server.status?.health?.deviceFaults['protocol version'];
    server.receipts = false;
    server.alarms.length = 0;
    await say('far', 6, 5);
    await vi.waitFor(() => expect(fault()).toMatch(/speaks protocols 5 to 6; upgrade agent site, /), within);
    // What was on its way before it knew may have come until now.
    server.messages.length = 0;
    plant.level = 9;
    plant.limit = 140;
    await vi.waitFor(() => expect(server.alarms.map(({ transition }) => transition)).toEqual(['raised']), within);
    plant.level = 5;
    plant.limit = 150;
    await vi.waitFor(() => expect(server.alarms).toHaveLength(2), within);
    await vi.waitFor(() => expect(server.status?.health?.outboxEvents).toBe(2), within);
    expect(server.messages).toEqual([]);
    server.receipts = true;
    await say('near', 5, 1);
    await vi.waitFor(() => expect(server.newest('hello')).toMatchObject({ protocols: SPOKEN }), within);
    await vi.waitFor(() => expect(server.status?.health).toMatchObject({ outboxEvents: 0, deviceFaults: {} }), within);
    expect(fault()).toBeUndefined();
  });

  it('is checked: broker, device and every tag, in a table', async () => {
    const site = await loadSite(configPath);
    const { ok, text } = await checkSite(site, runtime);
    expect(text).toContain(`broker ${brokerUrl}: connected`);
    expect(text).toContain(`server: there, release 9, protocol ${SPOKEN.newest}`);
    expect(text).toMatch(
      /device +tag +value +unit +quality +address +raw\n(PLC1 +level +5 +m +good +holding 0 +40a0 0000)/,
    );
    expect(text).toContain(
      `PLC1 (unit 1 on tcp://127.0.0.1:${device.port}): 2 of 2 tags good, scan 150 of 2014-05-13T`,
    );
    expect(ok).toBe(true);
    const sender = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write('\nW,7.5\n');
    });
    await new Promise<void>((resolve) => sender.listen(0, '127.0.0.1', resolve));
    const { port } = sender.address() as net.AddressInfo;
    const line = sourceSchema.parse({
      ...{ kind: 'serial-line', name: 'scale', port: `tcp://127.0.0.1:${port}` },
      tags: [{ name: 'W', unit: 'kg', field: 1 }],
    });
    const listened = await checkSite({ ...site, config: { ...site.config, sources: [line] } }, runtime);
    sender.close();
    expect(listened.text).toContain('scale (serial-line): 1 of 1 tags good');
    expect(listened.text).toMatch(/scale +W +7.5 +kg +good +serial-line/);
    expect(listened.ok).toBe(true);
    const nobody = {
      ...site,
      config: { ...site.config, broker: { ...site.config.broker, url: 'mqtt://127.0.0.1:1' } },
    };
    expect(await checkSite(nobody, runtime)).toMatchObject({
      ok: false,
      text: expect.stringContaining('ECONNREFUSED'),
    });
  });
});
