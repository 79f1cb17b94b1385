import type { AssembledRow } from '@twinwatch/core/scada/row-assembler';
import type { Quality } from '@twinwatch/core/scada/sample';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { MqttConnectOptions } from '@twinwatch/core/wire/mqtt-client';
import { decodeSparkplug, encodeSparkplug } from '@twinwatch/core/wire/sparkplug-payload';
import mqtt from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { hasPeer, startPeer } from '../sources/sparkplug/testing/sparkplug-peer.js';
import { systemClock, systemTimers } from '../system-runtime.js';
import { SparkplugPublisher } from './publisher.js';
import { SparkplugSession } from './session.js';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
const slow = { timeout: 10_000, interval: 20 };
const TAGS = ['a', 'b', 'c'];
const row = (values: number[], quality: Quality[] = ['good', 'good', 'good']): AssembledRow => ({
  ...{ row: { timeMs: 0, sequence: null, values: Float64Array.from(values) }, quality },
  ...{ reasons: [], receivedMs: 0, missing: [], gap: 0 },
});
const alarm = (transition: AlarmEvent['transition']): AlarmEvent => ({
  ...{ eventId: `s:1:${transition}`, alarmId: 's:1', agent: 's', transition, atMs: 5_000, score: 0.9, threshold: 0.5 },
  ...{ modelVersion: 'm', latencyMs: 1, contributions: [{ tag: 'a', share: 1, value: 2 }] },
});

it('numbers messages from each birth on, and names in its death the birth that it belongs to', () => {
  const session = new SparkplugSession('G', 'N', 254);
  session.devices([{ name: 'D', tags: ['a'] }], 0);
  const bdSeqOf = (payload: Buffer) => decodeSparkplug(payload).metrics.find(({ name }) => name === 'bdSeq')?.value;
  expect(bdSeqOf(session.nextDeath(1).payload)).toBe(255);
  expect(session.values(new Map([['a', { value: 1, quality: 'good' }]]), 2)).toEqual([]);
  const births = session.birth(3);
  expect(births.map(({ topic }) => topic)).toEqual(['spBv1.0/G/NBIRTH/N', 'spBv1.0/G/DBIRTH/N/D']);
  expect(bdSeqOf(births[0]!.payload)).toBe(255);
  const numbers = Array.from({ length: 300 }, (_, i) =>
    session.values(new Map([['a', { value: i + 2, quality: 'good' }]]), 4),
  );
  expect(numbers.map(([message]) => decodeSparkplug(message!.payload).seq)).toEqual(
    numbers.map((_, i) => (i + 2) % 256),
  );
  expect(session.birth(5).map(({ payload }) => decodeSparkplug(payload).seq)).toEqual([0, 1]);
  expect(bdSeqOf(session.nextDeath(6).payload)).toBe(0);
});

it('reads back what it writes, negative and null', () => {
  const metrics = [
    { name: 'i', alias: 7, timeMs: 1, type: 'Int32' as const, value: -5, quality: 192 },
    { name: null, alias: 300, timeMs: null, type: 'Double' as const, value: null, quality: 500 },
    { name: 'l', alias: null, timeMs: 2 ** 41, type: 'Int64' as const, value: -(2 ** 40), quality: null },
    { name: 's', alias: null, timeMs: null, type: 'String' as const, value: 'ü', quality: null },
  ];
  const read = decodeSparkplug(encodeSparkplug({ timeMs: 1_700_000_000_000, seq: 255, metrics }));
  expect(read).toMatchObject({ timeMs: 1_700_000_000_000, seq: 255 });
  expect(
    read.metrics.map(({ name, alias, timeMs, value, quality }) => ({ name, alias, timeMs, value, quality })),
  ).toEqual(metrics.map(({ type: _, ...rest }) => rest));
  expect(() => decodeSparkplug(Buffer.from([0x12, 0xff, 0x01]))).toThrow(
    expect.objectContaining({ code: 'WIRE_MALFORMED' }),
  );
});

describe.skipIf(!hasPeer())('to a host in Python over mosquitto', () => {
  async function publishing(primaryHost: string | null) {
    const peer = await startPeer();
    const stop = new AbortController();
    const kept: number[] = [];
    const publisher = new SparkplugPublisher({
      ...{ broker: { url: `mqtt://127.0.0.1:${peer.port}` }, group: 'G', node: 'N', primaryHost, bdSeq: 6 },
      keepBdSeq: (bdSeq) => kept.push(bdSeq),
      runtime: {
        ...{ clock: systemClock, timers: systemTimers, random: () => 0, log: quiet },
        connect: (options: MqttConnectOptions) => mqtt.connect(options.url, options as mqtt.IClientOptions),
      },
    });
    publisher.devices([
      { name: 'D1', tags: ['a', 'b'] },
      { name: 'D2', tags: ['c'] },
    ]);
    const running = publisher.run(stop.signal);
    const end = async () => {
      stop.abort();
      await running;
    };
    cleanUps.push(peer.close, end);
    return { peer, publisher, kept, end };
  }
  const metricsOf = (message: { payload: { metrics?: readonly Record<string, unknown>[] } } | undefined) =>
    (message?.payload.metrics ?? []).map(({ timestamp: _, ...rest }) => rest);

  it('tells births, changes with their quality, alarms and deaths, everything anew when asked, and its death when cut off', async () => {
    const { peer, publisher, kept, end } = await publishing(null);
    await expect.poll(() => peer.of('NBIRTH').length, slow).toBe(1);
    expect(kept).toEqual([7]);
    expect(peer.of('NBIRTH')[0]!.payload.seq ?? '0').toBe('0');
    expect(metricsOf(peer.of('NBIRTH')[0]).slice(0, 3)).toEqual([
      { name: 'bdSeq', datatype: 4, long_value: '7' },
      { name: 'Node Control/Rebirth', datatype: 11, boolean_value: false },
      { name: 'Alarm/Active', datatype: 11, boolean_value: false },
    ]);
    publisher.row(row([1.5, 2, Number.NaN], ['good', 'good', 'stale']), TAGS);
    await expect.poll(() => peer.of('DBIRTH').length, slow).toBe(1);
    const good = { keys: ['Quality'], values: [{ type: 3, int_value: 192 }] };
    expect(peer.of('DBIRTH')[0]!.topic).toBe('spBv1.0/G/DBIRTH/N/D1');
    expect(metricsOf(peer.of('DBIRTH')[0])).toEqual([
      { name: 'a', alias: '1', datatype: 10, double_value: 1.5, properties: good },
      { name: 'b', alias: '2', datatype: 10, double_value: 2, properties: good },
    ]);
    publisher.row(row([1.5, Number.NaN, 4], ['good', 'bad', 'good']), TAGS);
    publisher.row(row([1.5, Number.NaN, 4], ['good', 'bad', 'good']), TAGS);
    publisher.alarm(alarm('raised'));
    await expect.poll(() => peer.of('NDATA').length, slow).toBe(1);
    const bad = { keys: ['Quality'], values: [{ type: 3, int_value: 0 }] };
    expect(peer.of('DDATA').map(metricsOf)).toEqual([[{ alias: '2', datatype: 10, is_null: true, properties: bad }]]);
    expect(metricsOf(peer.of('NDATA')[0])).toEqual([
      { name: 'Alarm/Active', datatype: 11, boolean_value: true },
      { name: 'Alarm/Id', datatype: 12, string_value: 's:1' },
      { name: 'Alarm/Transition', datatype: 12, string_value: 'raised' },
      { name: 'Alarm/At', datatype: 4, long_value: '5000' },
      { name: 'Alarm/Score', datatype: 10, double_value: 0.9 },
      { name: 'Alarm/Tags', datatype: 12, string_value: 'a' },
    ]);
    publisher.row(row([1.5, Number.NaN, Number.NaN], ['good', 'bad', 'stale']), TAGS);
    await expect.poll(() => peer.of('DDEATH').map(({ topic }) => topic), slow).toEqual(['spBv1.0/G/DDEATH/N/D2']);
    const inOrder = peer.messages
      .filter(({ topic }) => !topic.includes('/NDEATH/'))
      .map(({ payload }) => Number(payload.seq ?? 0));
    expect(inOrder).toEqual(inOrder.map((_, i) => i));
    const rebirth = { name: 'Node Control/Rebirth', datatype: 11, boolean_value: true };
    peer.send({ topic: 'spBv1.0/G/NCMD/N', payload: { metrics: [rebirth] } });
    await expect.poll(() => peer.of('NBIRTH').length, slow).toBe(2);
    await expect.poll(() => peer.of('DBIRTH').length, slow).toBe(3);
    expect(metricsOf(peer.of('NBIRTH')[1])[0]).toEqual({ name: 'bdSeq', datatype: 4, long_value: '7' });
    await end();
    await expect
      .poll(() => peer.of('NDEATH').map(metricsOf), slow)
      .toEqual([[{ name: 'bdSeq', datatype: 4, long_value: '7' }]]);
  });

  it('waits for its primary host, and ends its session when that goes', async () => {
    const { peer, publisher, kept } = await publishing('SCADA');
    const state = (online: boolean, timestamp: number) =>
      peer.send({ topic: 'spBv1.0/STATE/SCADA', text: JSON.stringify({ online, timestamp }), qos: 1, retain: true });
    await expect.poll(() => kept, slow).toEqual([7]);
    publisher.row(row([1, 2, 3]), TAGS);
    state(false, 10);
    state(true, 20);
    await expect.poll(() => peer.of('DBIRTH').length, slow).toBe(2);
    expect(peer.of('NBIRTH')).toHaveLength(1);
    state(false, 15);
    publisher.row(row([5, 2, 3]), TAGS);
    await expect.poll(() => peer.of('DDATA').length, slow).toBe(1);
    state(false, 30);
    await expect.poll(() => peer.of('NDEATH').length, slow).toBe(1);
    await expect.poll(() => kept, slow).toEqual([7, 8]);
    publisher.row(row([6, 2, 3]), TAGS);
    state(true, 40);
    await expect.poll(() => peer.of('NBIRTH').length, slow).toBe(2);
    expect(metricsOf(peer.of('NBIRTH')[1])[0]).toEqual({ name: 'bdSeq', datatype: 4, long_value: '8' });
    expect(peer.of('DDATA')).toHaveLength(1);
  });
});
