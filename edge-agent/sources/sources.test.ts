import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sourceSchema } from '@twinwatch/core/config/sources';
import type { Sample } from '@twinwatch/core/scada/sample';
import type { MqttConnectOptions } from '@twinwatch/core/wire/mqtt-client';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock, systemTimers } from '../system-runtime.js';
import { openSource } from './open-sources.js';
import { hasPeer, startPeer } from './sparkplug/testing/sparkplug-peer.js';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
const slow = { timeout: 10_000, interval: 20 };

function run(config: object, place: { url?: string; configPath?: string } = {}) {
  const stop = new AbortController();
  const latest = new Map<string, Sample>();
  const faults: (string | null)[] = [];
  const runtime = {
    ...{ clock: systemClock, timers: systemTimers, random: () => 0, log: quiet },
    connect: (options: MqttConnectOptions) => mqtt.connect(options.url, options as mqtt.IClientOptions),
  };
  const source = openSource(
    sourceSchema.parse(config),
    { agent: 'a', broker: { url: place.url ?? 'mqtt://127.0.0.1:1' }, configPath: place.configPath ?? '/x/agent.yaml' },
    runtime,
  );
  const running = source.start(stop.signal, {
    reading: ({ samples }) => {
      for (const sample of samples) latest.set(sample.tag, sample);
    },
    fault: (_, fault) => faults.push(fault),
  });
  cleanUps.push(async () => {
    stop.abort();
    await running;
  });
  return {
    until: (tag: string, wanted: object) => expect.poll(() => latest.get(tag), slow).toMatchObject(wanted),
    fault: (wanted: unknown) => expect.poll(() => faults.at(-1), slow).toEqual(wanted),
  };
}

describe('MQTT', () => {
  it('reads numbers and places in JSON, not what is retained without a time, and goes on after its broker came back', async () => {
    const start = async (port: number): Promise<{ broker: Aedes; server: Server; sockets: Set<Socket> }> => {
      const broker = await Aedes.createBroker();
      const sockets = new Set<Socket>();
      const server = createServer((socket) => {
        sockets.add(socket);
        broker.handle(socket);
      });
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      return { broker, server, sockets };
    };
    const end = async ({ broker, server, sockets }: { broker: Aedes; server: Server; sockets: Set<Socket> }) => {
      await new Promise<void>((resolve) => broker.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    };
    let running = await start(0);
    cleanUps.push(() => end(running));
    const { port } = running.server.address() as { port: number };
    const publish = (topic: string, payload: string, retain = false) =>
      new Promise<void>((resolve, reject) =>
        running.broker.publish(
          { cmd: 'publish', topic, payload: Buffer.from(payload), qos: 0, retain, dup: false },
          (error) => (error ? reject(error) : resolve()),
        ),
      );
    await publish('plant/level', '99', true);
    // A sender whose clock is a little ahead: however slow this machine is, its value is not stale when it is read.
    const aheadMs = Date.now() + 20_000;
    await publish('plant/pump', JSON.stringify({ at: new Date(aheadMs).toISOString(), v: [{ x: 7 }] }), true);
    const { until, fault } = run(
      {
        ...{ kind: 'mqtt', name: 'M', staleAfter: '800ms' },
        tags: [
          { name: 'L', unit: 'm', topic: 'plant/level', scale: 0.1 },
          { name: 'P', topic: 'plant/pump', path: 'v[0].x', timePath: 'at' },
        ],
      },
      { url: `mqtt://127.0.0.1:${port}` },
    );
    await until('P', { value: 7, quality: 'good' });
    await until('L', { quality: 'stale', reason: 'NEVER_HEARD_OF' });
    await publish('plant/level', ' 12.5 ');
    await until('L', { value: 1.25, quality: 'good' });
    await publish('plant/level', 'on fire');
    await until('L', { quality: 'bad', reason: 'NOT_A_NUMBER' });
    const alive = setInterval(() => void publish('plant/level', '4'), 100);
    await publish('plant/pump', JSON.stringify({ at: '2020-01-01T00:00:00Z', v: [{ x: 8 }] }));
    await until('P', { value: 7, quality: 'stale', reason: 'NOT_HEARD_OF' });
    clearInterval(alive);
    await end(running);
    await fault(expect.stringContaining(`127.0.0.1:${port}`));
    running = await start(port);
    const again = setInterval(() => void publish('plant/level', '3'), 100);
    cleanUps.push(() => clearInterval(again));
    await fault(null);
    await until('L', { quality: 'good' });
  });
});

describe('a CSV file that grows', () => {
  it('gives what is added, whole lines only, and follows a file that is replaced', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'twinwatch-tail-'));
    cleanUps.push(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'log.csv');
    writeFileSync(file, 'time,level,"pump, 1"\n2020-01-01T00:00:00Z,1,1\n');
    const tags = [
      { name: 'L', column: 'level', maximum: 10 },
      { name: 'P', column: 'pump, 1' },
    ];
    const { until, fault } = run(
      { kind: 'csv-tail', name: 'C', file: 'log.csv', timeColumn: 'time', staleAfter: '1m', tags },
      { configPath: join(directory, 'agent.yaml') },
    );
    await fault('sends nothing');
    const now = () => new Date().toISOString();
    // What is there at the first look is history: lines are added until one comes after it.
    const adding = setInterval(() => appendFileSync(file, `${now()},2,0\n`), 100);
    await until('L', { value: 2, quality: 'good' }).finally(() => clearInterval(adding));
    appendFileSync(file, `${now()},3`);
    appendFileSync(file, ',1\n');
    await until('L', { value: 3, quality: 'good' });
    await until('P', { value: 1, quality: 'good' });
    appendFileSync(file, `${now()},30,\n`);
    await until('L', { quality: 'bad', reason: 'OUT_OF_RANGE' });
    await until('P', { quality: 'bad', reason: 'NOT_A_NUMBER' });
    // A quote that is never closed spoils its own line, and none after it.
    appendFileSync(file, `${now()},5,"1\n`);
    await fault(expect.stringContaining('cannot be read'));
    appendFileSync(file, `${now()},6,1\n`);
    await until('L', { value: 6, quality: 'good' });
    writeFileSync(`${file}.new`, `"pump, 1",level,time\n0,4,${now()}\n`);
    renameSync(`${file}.new`, file);
    await until('L', { value: 4, quality: 'good' });
    // Written anew in place, and longer than before: where the old one ended is in the middle of a line.
    writeFileSync(file, `time,level,"pump, 1",${'x'.repeat(200)}\n${now()},7,0\n`);
    await until('L', { value: 7, quality: 'good' });
    rmSync(file);
    await fault(expect.stringContaining('ENOENT'));
  });
});

describe.skipIf(!hasPeer())('Sparkplug B, from an edge node in Python over mosquitto', () => {
  it('reads births and data by alias, asks for a rebirth when messages are missing, and knows the dead', async () => {
    const peer = await startPeer();
    cleanUps.push(peer.close);
    const nowMs = Date.now();
    const metric = (name: string, alias: number, rest: object) => ({ name, alias, timestamp: nowMs, ...rest });
    const births = (seq: number) => {
      const bdSeq = { name: 'bdSeq', datatype: 4, long_value: 3, timestamp: nowMs };
      peer.send({ topic: 'spBv1.0/G/NBIRTH/N', payload: { timestamp: nowMs, seq, metrics: [bdSeq] } });
      const metrics = [
        metric('temp', 1, { datatype: 9, float_value: 20.5 }),
        metric('count', 2, { datatype: 3, int_value: 4294967295 }),
        metric('run', 3, { datatype: 11, boolean_value: true }),
      ];
      peer.send({ topic: 'spBv1.0/G/DBIRTH/N/D', payload: { timestamp: nowMs, seq: (seq + 1) % 256, metrics } });
    };
    const data = (seq: number, ...metrics: object[]) =>
      peer.send({ topic: 'spBv1.0/G/DDATA/N/D', payload: { timestamp: Date.now(), seq, metrics } });
    const { until, fault } = run(
      {
        ...{ kind: 'sparkplug', name: 'S', group: 'G', node: 'N', device: 'D', staleAfter: '1m' },
        tags: ['temp', 'count', 'run'].map((name) => ({ name, metric: name })),
      },
      { url: `mqtt://127.0.0.1:${peer.port}` },
    );
    await expect.poll(() => peer.of('NCMD').length, slow).toBe(1);
    expect(peer.of('NCMD')[0]).toMatchObject({
      topic: 'spBv1.0/G/NCMD/N',
      payload: { metrics: [{ name: 'Node Control/Rebirth', datatype: 11, boolean_value: true }] },
    });
    births(0);
    await until('temp', { value: 20.5, quality: 'good', sourceTimeMs: nowMs });
    await until('count', { value: -1, quality: 'good' });
    await until('run', { value: 1, quality: 'good' });
    await fault(null);
    const spoilt = { keys: ['Quality'], values: [{ type: 3, int_value: 500 }] };
    const past = { alias: 1, datatype: 9, float_value: 50, is_historical: true };
    data(2, { alias: 1, datatype: 9, float_value: 21 }, past, {
      alias: 2,
      datatype: 3,
      int_value: 5,
      properties: spoilt,
    });
    await until('temp', { value: 21, quality: 'good' });
    await until('count', { quality: 'bad', reason: 'SPARKPLUG_QUALITY 500' });
    // Data need not tell its type again.
    data(3, { alias: 2, int_value: 4294967294 });
    await until('count', { value: -2, quality: 'good' });
    data(5, { alias: 1, datatype: 9, float_value: 99 });
    await fault(expect.stringContaining('lost'));
    births(0);
    await until('temp', { value: 20.5, quality: 'good' });
    const death = (bdSeq: number) => ({ metrics: [{ name: 'bdSeq', datatype: 4, long_value: bdSeq }] });
    peer.send({ topic: 'spBv1.0/G/NDEATH/N', payload: death(2) });
    data(2, { alias: 1, datatype: 9, float_value: 22 });
    await until('temp', { value: 22, quality: 'good' });
    peer.send({ topic: 'spBv1.0/G/NDEATH/N', payload: death(3) });
    await fault('the edge node is offline');
  });
});
