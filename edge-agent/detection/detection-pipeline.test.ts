import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Store } from '../store/store.js';
import { systemClock, systemTimers } from '../system-runtime.js';
import { DetectionPipeline } from './detection-pipeline.js';
import { Detector } from './detector.js';
import { LatencyWindow } from './latency.js';
import { metadata, model } from './testing/hand-made-model.js';

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
/** Not in the order of the model's tags, and more than it looks at. */
const TAGS = ['flow', 'other', 'level'];
let directory: string;
let store: Store;
let events: AlarmEvent[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-pipeline-'));
  store = await open();
  events = [];
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

function open(): Promise<Store> {
  const limits = { maximumRows: 1e4, maximumBytes: 1e8, maximumOutboxEvents: 100, maximumBlobBytes: 1e6 };
  return Store.open({ directory, ...limits }, { timers: systemTimers, log: quiet, maximumQueuedRows: 1_000 });
}
async function pipeline(bytes: Uint8Array | null = model()): Promise<DetectionPipeline> {
  const made = new DetectionPipeline({
    agent: 'site',
    tags: TAGS,
    labelTag: null,
    store,
    clock: systemClock,
    log: quiet,
    devices: () => [
      { name: 'PLC1', tags: ['flow', 'other'] },
      { name: 'PLC2', tags: ['level'] },
    ],
    onAlarm: (event) => events.push(event),
  });
  await made.restore();
  if (bytes !== null) await made.use(await Detector.load(bytes, TAGS));
  return made;
}
function feed(made: DetectionPipeline, second: number, level: number, flow = 20): Promise<void> {
  const row = { timeMs: second * 1_000, sequence: second, values: Float64Array.of(flow, 1, level) };
  const quality = [...row.values].map((value) => (Number.isNaN(value) ? 'bad' : 'good') as 'bad' | 'good');
  const reasons = quality.map((one) => (one === 'good' ? null : 'OUT_OF_RANGE'));
  return made.row({ row, quality, reasons, receivedMs: systemClock.monotonic(), missing: [], gap: 0 }, true);
}
const told = () => events.map(({ transition, atMs }) => `${transition}@${atMs / 1_000}`);

describe('DetectionPipeline', () => {
  it('holds a bad tag, abstains, and raises one communication alarm that names it and clears', async () => {
    const made = await pipeline();
    const { holdRows } = made;
    for (let second = 0; second < 4; second++) await feed(made, second, 5);
    for (let second = 4; second < 10 + holdRows; second++) await feed(made, second, 5, Number.NaN);
    expect(told()).toEqual([`raised@${4 + holdRows}`]);
    const communication = { tags: ['flow'], reason: 'OUT_OF_RANGE', devices: ['PLC1'], sinceMs: 4_000 };
    expect(events[0]).toMatchObject({ communication, score: 0 });
    // Not one of the detector's, after which rows are not learned from.
    expect(await store.call('alarms')).toEqual([]);
    const { scores } = await store.call('rows', [], 99);
    expect([...scores.slice(4, 4 + holdRows)].every(Number.isFinite)).toBe(true);
    expect([...scores.slice(4 + holdRows)].every(Number.isNaN)).toBe(true);
    await made.close();
    const again = await pipeline();
    for (let second = 20; second < 24 + holdRows; second++) await feed(again, second, 5);
    await again.silence(90_000, 85_000, 'PLC: MODBUS_TIMEOUT');
    await again.silence(91_000, 85_000, 'PLC: MODBUS_TIMEOUT');
    expect(told()).toEqual([`raised@${4 + holdRows}`, `cleared@${19 + Math.max(1, holdRows)}`, 'raised@90']);
    expect(events.map(({ eventId }) => eventId.replace(/^site:c\d+/, 'c'))).toEqual(['c:1', 'c:2', 'c:1']);
    expect(events[2]!.communication).toMatchObject({ tags: TAGS, devices: ['PLC1', 'PLC2'], sinceMs: 85_000 });
    expect(await store.call('outbox', 9)).toEqual(events);
    await again.close();
  });

  it('lets a communication alarm be acknowledged, once, also after a restart, and nothing else', async () => {
    const made = await pipeline();
    for (let second = 0; second < 9; second++) await feed(made, second, 5, second < 3 ? 20 : Number.NaN);
    const { alarmId } = events[0]!;
    await made.close();
    const again = await pipeline();
    expect(again.activeAlarms).toEqual({ anomaly: null, communication: alarmId });
    const operate = (action: 'acknowledge' | 'shelve', id = alarmId) =>
      again.operate({ action, alarmId: id, shelveMs: 1_000 });
    expect(await operate('shelve')).toBe(false);
    expect([await operate('acknowledge'), await operate('acknowledge')]).toEqual([true, false]);
    for (let second = 9; second < 13; second++) await feed(again, second, 5);
    expect(events.map(({ transition }) => transition)).toEqual(['raised', 'acknowledged', 'cleared']);
    expect(new Set(events.map((event) => event.alarmId))).toEqual(new Set([alarmId]));
    expect(await store.call('outbox', 9)).toEqual(events);
    expect(await operate('acknowledge')).toBe(false);
    const number = Number(alarmId.slice('site:c'.length));
    const isOne = [alarmId, `site:c${number + 1}`, `site:${number}`, 'site:cx'].map((id) =>
      again.isCommunicationAlarm(id),
    );
    expect(isOne).toEqual([true, false, false, false]);
    await again.close();
  });

  it('goes from rows to an alarm that names the tag, into the outbox, and clears it', async () => {
    const made = await pipeline();
    for (const [second, level] of [5, 5, 5, 9, 9, 9, 5, 5, 5].entries()) await feed(made, second, level);
    expect(told()).toEqual(['raised@4', 'cleared@7']);
    const [raised] = events;
    expect(raised).toMatchObject({ agent: 'site', modelVersion: 'm1', threshold: 0.5 });
    expect(raised!.contributions).toEqual([{ tag: 'level', share: 1, value: 9 }]);
    expect(raised!.score).toBeCloseTo(1 / (1 + Math.exp(-4)), 5);
    expect(raised!.eventId).toBe(`${raised!.alarmId}:1`);
    expect(events.at(-1)).toMatchObject({ transition: 'cleared', peakScore: raised!.score });
    expect(await store.call('outbox', 9)).toEqual(events);
    expect([...(await store.call('rows', [], 99)).scores].map(Number.isNaN)).toEqual([
      true,
      true,
      ...new Array(7).fill(false),
    ]);
    expect(made.latency.percentile(0.5)).toBeGreaterThan(0);
    await made.close();
  });

  it('goes on after a restart where it was: windows filled, alarm counted on, the same row judged once', async () => {
    const before = await pipeline();
    for (const [second, level] of [5, 5, 5, 9].entries()) await feed(before, second, level);
    await before.close();
    await store.close();
    store = await open();
    const after = await pipeline();
    await feed(after, 3, 9);
    expect(told()).toEqual([]);
    await feed(after, 4, 9);
    expect(told()).toEqual(['raised@4']);
    await after.close();
    await store.close();
    store = await open();
    const again = await pipeline();
    await feed(again, 5, 5);
    await feed(again, 6, 5);
    expect(told()).toEqual(['raised@4', 'cleared@6']);
    expect(events[1]!.alarmId).toBe(events[0]!.alarmId);
    await again.close();
  });

  it('abstains where values are bad for longer than they are held, and keeps the rows', async () => {
    const made = await pipeline();
    for (const [second, level] of [5, 5, 5, 9, Number.NaN, Number.NaN, Number.NaN].entries())
      await feed(made, second, level);
    expect(told()).toEqual(['raised@4', 'raised@5']);
    expect(events.map(({ communication }) => communication?.tags)).toEqual([
      undefined,
      expect.arrayContaining(['level']),
    ]);
    expect(made.latest).toMatchObject({
      score: null,
      values: { level: { value: null, quality: 'bad' }, flow: { value: 20 } },
    });
    expect((await store.call('rows', [], 99)).count).toBe(7);
    await made.close();
  });

  it('does what operators ask for the alarm they name', async () => {
    const made = await pipeline();
    for (let second = 0; second < 5; second++) await feed(made, second, 9);
    const alarmId = events[0]!.alarmId;
    const operate = (action: 'acknowledge' | 'shelve', id = alarmId) =>
      made.operate({ action, alarmId: id, shelveMs: 2_000 });
    expect(await operate('acknowledge')).toBe(true);
    expect(await operate('acknowledge')).toBe(false);
    expect(await operate('acknowledge', 'site:0')).toBe(false);
    expect(await operate('shelve')).toBe(true);
    for (let second = 5; second < 8; second++) await feed(made, second, 9);
    expect(told()).toEqual(['raised@3', 'acknowledged@4', 'shelved@4', 'unshelved@6']);
    await made.close();
  });

  it('stores rows without a detector, and starts one in the middle', async () => {
    const made = await pipeline(null);
    for (let second = 0; second < 3; second++) await feed(made, second, 5);
    expect(made.modelVersion).toBeNull();
    await made.use(await Detector.load(model(), TAGS));
    await feed(made, 3, 9);
    expect(made.latest!.score).toBeGreaterThan(0.5);
    await made.use(await Detector.load(model({ modelVersion: 'm2' }), TAGS));
    expect(made.modelVersion).toBe('m2');
    await made.close();
  });
});

describe('Detector', () => {
  const refused = (message: string) =>
    expect.objectContaining({ code: 'DETECTOR_REFUSED', message: expect.stringContaining(message) });

  it('refuses what is not a detector, looks at unknown tags, or scores otherwise than its parameters', async () => {
    await expect(Detector.load(new Uint8Array(40), TAGS)).rejects.toEqual(refused('not taken into use'));
    await expect(Detector.load(model(), ['level'])).rejects.toEqual(refused('flow'));
    const damaged = Buffer.from(model());
    const scale = Buffer.from(Float32Array.of(5, 20, 0).buffer);
    const at = damaged.indexOf(scale);
    expect(at).toBeGreaterThan(0);
    damaged.writeFloatLE(6, at);
    await expect(Detector.load(damaged, TAGS)).rejects.toEqual(refused('random row'));
  });

  it('explains a score at its ceiling, where taking away one tag changes nothing', async () => {
    const detector = await Detector.load(model(), TAGS);
    expect(metadata().baseline).toEqual([5, 20, 0]);
    const shares = await detector.contributions(Float32Array.of(1e6, 20, 0), () => 1);
    expect(shares).toEqual([{ tag: 'level', share: 1, value: 1 }]);
    expect(await detector.contributions(Float32Array.of(5, 20, 0), () => 1)).toEqual([]);
    await detector.close();
  });
});

describe('LatencyWindow', () => {
  it('gives percentiles of the newest durations only', () => {
    const window = new LatencyWindow(100);
    expect([window.percentile(0.5), window.count]).toEqual([null, 0]);
    window.add(9);
    expect(window.count).toBe(1);
    for (let ms = 1_000; ms > 0; ms--) window.add(ms);
    expect([window.percentile(0.5), window.percentile(0.99)]).toEqual([51, 100]);
    expect(window.count).toBe(100);
  });
});
