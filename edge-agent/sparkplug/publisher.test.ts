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
import { type SessionOptions, type SparkplugMessage, SparkplugSession } from './session.js';

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
const options = (changed: Partial<SessionOptions> = {}): SessionOptions => ({
  ...{ group: 'G', node: 'N', bdSeq: -1, history: 1_000, typedData: true, ...changed },
});
const alarm = (transition: AlarmEvent['transition']): AlarmEvent => ({
  ...{ eventId: `s:1:${transition}`, alarmId: 's:1', agent: 's', transition, atMs: 5_000, score: 0.9, threshold: 0.5 },
  ...{ modelVersion: 'm', latencyMs: 1, contributions: [{ tag: 'a', share: 1, value: 2 }] },
});

it('numbers messages from each birth on, and names in its death the birth that it belongs to', () => {
  const session = new SparkplugSession(options({ bdSeq: 254 }));
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

const read = ({ topic, payload }: SparkplugMessage) => {
  const [, , kind, , device] = topic.split('/');
  const { metrics } = decodeSparkplug(payload);
  return { kind, device, metrics };
};
/** 'device alias value quality at', of each historical metric; alarms by their transition. */
const pastOf = (messages: readonly SparkplugMessage[]) =>
  messages.flatMap((message) => {
    const { device, metrics } = read(message);
    return metrics
      .filter(({ name }) => name === null || name === 'Alarm/Transition')
      .map(({ alias, value, quality, timeMs, isHistorical }) =>
        [device ?? 'node', alias ?? '-', value, quality ?? '-', timeMs, isHistorical === true ? 'past' : 'now'].join(
          ' ',
        ),
      );
  });
const good = (values: Record<string, number>) =>
  new Map(Object.entries(values).map(([tag, value]) => [tag, { value, quality: 'good' as const }]));

describe('what happens while nobody can be told', () => {
  const devices = [
    { name: 'D', tags: ['a', 'b'] },
    { name: 'E', tags: ['c'] },
  ];
  const MINUTE = 60_000;

  it('is told after the births, oldest first, with its time and as historical, alarms too; and again what was told just before the end', () => {
    const session = new SparkplugSession(options());
    session.devices(devices, 0);
    session.values(good({ a: 1, b: 2 }), 10);
    session.alarm(alarm('raised'), 20);
    session.values(good({ a: 1, b: 3 }), 30);
    expect(session.past(99, 35)).toEqual([]);
    session.nextDeath(40);
    session.birth(50);
    const first = session.past(3, 60);
    expect(pastOf(first)).toEqual(['D 1 1 192 10 past', 'D 2 2 192 10 past', 'node - raised - 20 past']);
    expect(pastOf(session.past(3, 60))).toEqual(['D 2 3 192 30 past']);
    expect(session.past(3, 60)).toEqual([]);
    expect(decodeSparkplug(first[0]!.payload)).toMatchObject({ timeMs: 60, seq: 2 });
    // A host that asks for everything anew asks for what is, not for what was.
    session.birth(70);
    expect(session.past(99, 80)).toEqual([]);
    session.values(good({ a: 4 }), 5 * MINUTE);
    session.values(good({ a: 5 }), 6 * MINUTE - 1);
    session.ended(6 * MINUTE);
    session.values(good({ a: 6 }), 7 * MINUTE);
    session.nextDeath(8 * MINUTE);
    session.birth(8 * MINUTE);
    expect(pastOf(session.past(99, 8 * MINUTE))).toEqual([
      `D 1 5 192 ${6 * MINUTE - 1} past`,
      `D 1 6 192 ${7 * MINUTE} past`,
    ]);
  });

  it('waits for the birth of its device, goes with a device that is taken away, and is bounded: the oldest values go before alarms, counted', () => {
    const session = new SparkplugSession(options({ history: 4 }));
    session.devices(devices, 0);
    session.values(good({ a: 1, b: 1 }), 1);
    session.values(new Map([['c', { value: Number.NaN, quality: 'stale' }]]), 2);
    session.alarm(alarm('raised'), 3);
    session.values(good({ a: 2 }), 4);
    expect(session.dropped).toBe(2);
    const dropped = read(session.birth(5)[0]!).metrics.find(({ name }) => name === 'History/Dropped');
    expect(dropped?.value).toBe(2);
    expect(pastOf(session.past(99, 6))).toEqual(['node - raised - 3 past', 'D 1 2 192 4 past']);
    expect(session.values(good({ c: 7 }), 7).map((message) => read(message).kind)).toEqual(['DBIRTH']);
    expect(pastOf(session.past(99, 8))).toEqual(['E 3  500 2 past']);
    session.ended(9);
    session.devices(devices.slice(1), 10);
    session.birth(11);
    expect(pastOf(session.past(99, 12)).filter((one) => one.startsWith('D '))).toEqual([]);
  });

  it('says types in births only, where hosts are to remember them', () => {
    const session = new SparkplugSession(options({ typedData: false }));
    session.devices(devices, 0);
    session.values(good({ a: 1 }), 1);
    const types = (messages: readonly SparkplugMessage[]) =>
      messages.flatMap((message) => read(message).metrics.map(({ dataType }) => dataType));
    expect(types(session.birth(2)).every((type) => type !== 0)).toBe(true);
    const data = session.values(good({ a: 2 }), 3);
    expect(
      types([...data, ...session.past(99, 4), ...session.alarm(alarm('raised'), 5)]).every((type) => type === 0),
    ).toBe(true);
    expect(data).toHaveLength(1);
  });
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
      ...{ broker: { url: `mqtt://127.0.0.1:${peer.port}` }, primaryHost, ...options({ bdSeq: 6 }) },
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

  it('waits for its primary host, ends its session when that goes, and tells it later what happened meanwhile', async () => {
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
    const told = (isPast: boolean) =>
      peer
        .of('DDATA')
        .flatMap(metricsOf)
        .filter((metric) => (metric.is_historical === true) === isPast)
        .map(({ alias, double_value: value }) => `${alias}=${value}`);
    await expect.poll(() => told(false), slow).toEqual(['1=5']);
    expect(told(true)).toEqual(['1=1', '2=2', '3=3']);
    state(false, 30);
    await expect.poll(() => peer.of('NDEATH').length, slow).toBe(1);
    await expect.poll(() => kept, slow).toEqual([7, 8]);
    publisher.row(row([6, 2, 3]), TAGS);
    state(true, 40);
    await expect.poll(() => peer.of('NBIRTH').length, slow).toBe(2);
    expect(metricsOf(peer.of('NBIRTH')[1])[0]).toEqual({ name: 'bdSeq', datatype: 4, long_value: '8' });
    // With what was told just before the host said that it is gone: it may not have heard it.
    await expect.poll(() => told(true).slice(3), slow).toEqual(['1=1', '2=2', '3=3', '1=5', '1=6']);
    expect(told(false)).toEqual(['1=5']);
    const seqs = peer.messages
      .filter(({ topic }) => !topic.includes('/NDEATH/'))
      .map(({ payload }) => Number(payload.seq ?? 0));
    const second = seqs.slice(seqs.lastIndexOf(0));
    expect(second).toEqual(second.map((_, i) => i));
  });
});
