import { spawn } from 'node:child_process';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AlarmCommand, LabelCommand } from '@twinwatch/core/wire/commands';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentDatabase, type StoreOptions } from './agent-database.js';
import { alarmState, event, row, storeOptions } from './testing/stored-things.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-store-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const options = (rest: Partial<StoreOptions> = {}) => storeOptions(directory, rest);
const database = (rest: Partial<StoreOptions> = {}, told: string[] = []) =>
  AgentDatabase.open(
    options(rest),
    () => 'stamp',
    (message) => told.push(message),
  );

/** As a sector that was half written: the last bytes are others. */
function garbledTail(bytes: Buffer): Buffer {
  for (let i = Math.max(32, bytes.length - 3_000); i < bytes.length; i += 7) bytes[i]! ^= 0x5a;
  return bytes;
}

describe('AgentDatabase', () => {
  it('gives rows back oldest first, in the tags asked for, across a change of tags, and once', () => {
    const store = database();
    store.apply([row(2, [20, 21]), row(1, [10]), row(2, [99, 99]), row(3, [30, 31], { label: 1, score: 0.25 })]);
    expect(
      store.importRows({
        tags: ['b'],
        timesMs: Float64Array.of(3, 4),
        values: Float64Array.of(1, 41),
        labels: Int8Array.of(0, 2),
      }),
    ).toBe(1);
    const rows = store.rows(['b', 'a'], 10);
    expect([...rows.timesMs]).toEqual([1, 2, 3, 4]);
    expect([...rows.values]).toEqual([Number.NaN, 10, 21, 20, 31, 30, 41, Number.NaN]);
    expect([...rows.labels]).toEqual([-1, -1, 1, 2]);
    expect([...rows.imported]).toEqual([0, 0, 0, 1]);
    expect([...rows.scores]).toEqual([Number.NaN, Number.NaN, 0.25, Number.NaN]);
    expect([...store.rows([], 2).timesMs]).toEqual([3, 4]);
    expect(store.lastRow()).toEqual({ timeMs: 3, sequence: 3 });
    expect(store.lastTags()).toEqual(['b']);
    store.close();
  });

  it('keeps alarms and their transitions until received, and the newest alarm state', () => {
    const store = database();
    store.apply([
      { op: 'alarm', event: event(1, 'raised', 5), alarmState: alarmState(1, 5) },
      row(5, [1], { alarmState: alarmState(1, 5) }),
      row(6, [1], { alarmState: alarmState(1, 6) }),
      { op: 'alarm', event: event(1, 'cleared', 9), alarmState: alarmState(1, 9) },
      { op: 'received', eventIds: ['site:1:raised', 'unheard-of'] },
    ]);
    expect(store.outbox(9).map(({ eventId }) => eventId)).toEqual(['site:1:cleared']);
    expect(store.alarms()).toEqual([{ alarmId: 'site:1', raisedMs: 5, clearedMs: 9, verdict: null, decided: null }]);
    expect(store.alarmState()).toBe(alarmState(1, 9));
    store.apply([row(10, [1], { alarmState: alarmState(1, 10) })]);
    expect(store.alarmState()).toBe(alarmState(1, 10));
    store.close();
  });

  it('knows the row acquired last, though a clock fell back after the newest', () => {
    const store = database();
    store.apply([row(2_000), row(1, [1], { sequence: 0 })]);
    expect(store.lastRow()).toEqual({ timeMs: 1, sequence: 0 });
    store.close();
  });

  const decided = (commandId: string, decidedAtMs: number) => ({ commandId, by: 'Ada', decidedAtMs });
  const verdict = (commandId: string, action: AlarmCommand['action'], atMs: number): AlarmCommand => ({
    ...{ kind: 'alarm-command', ...decided(commandId, atMs), action, alarmId: 'site:1', shelveMs: null },
  });
  const label = (commandId: string, atMs: number, fromMs: number, toMs: number): LabelCommand => ({
    ...{ kind: 'label-command', ...decided(commandId, atMs), fromMs, toMs, label: 'anomalous' },
  });

  it('does a command once, answers it the same each time, and lets the later decision stand', () => {
    const store = database();
    store.apply([
      ...Array.from({ length: 12 }, (_, i) => row(i)),
      { op: 'alarm', event: event(1, 'raised', 5), alarmState: alarmState(1, 5) },
      { op: 'alarm', event: event(1, 'cleared', 9), alarmState: alarmState(1, 9) },
    ]);
    const receipt = store.decide(verdict('c1', 'dismiss', 20));
    expect(receipt).toEqual({ kind: 'command-receipt', commandId: 'c1', verdict: 'done', detail: '', rows: 4 });
    expect(store.decide(verdict('c2', 'confirm', 30)).verdict).toBe('done');
    // c1 again, as after a lost receipt, undoes nothing; c0 was decided before c2 and comes after it.
    expect(store.decide(verdict('c1', 'dismiss', 20))).toEqual(receipt);
    expect(store.decide(verdict('c0', 'dismiss', 25))).toMatchObject({ verdict: 'superseded', rows: 4 });
    expect(store.decide({ ...verdict('c3', 'dismiss', 40), alarmId: 'site:7' }).verdict).toBe('unknown-alarm');
    expect(store.alarms()).toMatchObject([{ verdict: 'confirmed', decided: { by: 'Ada', atMs: 30 } }]);

    expect(store.decide(label('l2', 60, 100, 200)).detail).toContain('no row of that time');
    expect(store.decide(label('l1', 50, 2, 4)).rows).toBe(3);
    store.decide(label('l1', 50, 2, 4));
    expect(store.labels()).toEqual([
      { fromMs: 2, toMs: 4, label: 'anomalous', decided: { by: 'Ada', atMs: 50 } },
      { fromMs: 100, toMs: 200, label: 'anomalous', decided: { by: 'Ada', atMs: 60 } },
    ]);
    store.close();
    const again = database();
    expect(again.commandReceipt('c1')).toEqual(receipt);
    expect(again.commandReceipt('c9')).toBeNull();
    again.close();
  });

  it('takes up a store from before decisions were kept with their names', () => {
    const old = new Database(join(directory, 'agent.db'));
    old.exec(`CREATE TABLE alarms (alarm_id TEXT PRIMARY KEY, raised_ms REAL NOT NULL, cleared_ms REAL, verdict TEXT) WITHOUT ROWID;
      CREATE TABLE labels (position INTEGER PRIMARY KEY AUTOINCREMENT, from_ms REAL NOT NULL, to_ms REAL NOT NULL, label TEXT NOT NULL,
        UNIQUE (from_ms, to_ms));
      INSERT INTO alarms VALUES ('site:1', 5, 9, 'confirmed'); PRAGMA user_version = 1`);
    old.close();
    const store = database();
    expect(store.alarms()).toMatchObject([{ alarmId: 'site:1', verdict: 'confirmed', decided: null }]);
    expect(store.decide(verdict('c1', 'dismiss', 20)).verdict).toBe('done');
    expect(store.decide(label('l1', 50, 2, 4)).verdict).toBe('done');
    store.close();
    const backup = new Database(join(directory, 'agent.db.schema-1'));
    expect(backup.prepare('SELECT verdict FROM alarms').raw().all()).toEqual([['confirmed']]);
    expect(backup.prepare('PRAGMA user_version').raw().all()).toEqual([[1]]);
    backup.close();
  });

  it('lets acquired rows go by age, and imported ones not', () => {
    const store = database({ maximumAgeMs: 1_000 });
    store.importRows({
      ...{ tags: ['a'], timesMs: Float64Array.of(1, 2) },
      ...{ values: Float64Array.of(1, 2), labels: Int8Array.of(-1, -1) },
    });
    for (let batch = 0; batch < 5; batch++)
      store.apply(Array.from({ length: 50 }, (_, i) => row(10_000 + batch * 500 + i * 10)));
    const times = [...store.rows([], 1_000).timesMs];
    expect(times.slice(0, 2)).toEqual([1, 2]);
    expect(times[2]).toBeGreaterThanOrEqual(12_490 - 1_010);
    expect(times[2]).toBeLessThanOrEqual(12_490 - 990);
    expect(store.stats()).toMatchObject({ rows: times.length, evictedRows: 252 - times.length });
    store.close();
  });

  it('gives up events of a full outbox in the order of what they are worth, and counts them over restarts', () => {
    const store = database({ maximumOutboxEvents: 5 });
    const put = (...events: AlarmEvent[]) =>
      store.apply(events.map((one) => ({ op: 'alarm' as const, event: one, alarmState: alarmState(1, 0) })));
    const at = (alarm: string, transition: AlarmEvent['transition'], number: number): AlarmEvent => ({
      ...event(1),
      ...{ alarmId: `site:${alarm}`, eventId: `site:${alarm}:${number}`, transition },
      ...(alarm.startsWith('c') ? { communication: { tags: ['level'], reason: 'no answer' } } : {}),
    });
    const left = () => store.outbox(9).map(({ eventId }) => eventId);
    put(
      at('1', 'raised', 1),
      at('c1', 'raised', 1),
      at('2', 'raised', 1),
      at('2', 'cleared', 2),
      at('1', 'acknowledged', 2),
    );
    expect(store.lastingEvents(9).map(({ eventId }) => eventId)).toEqual(['site:1:1', 'site:c1:1', 'site:1:2']);
    expect(store.eventsOf('site:1').map(({ eventId }) => eventId)).toEqual(['site:1:1', 'site:1:2']);
    put(at('3', 'raised', 1));
    expect(left()).toEqual(['site:1:1', 'site:c1:1', 'site:2:1', 'site:2:2', 'site:3:1']);
    put(at('4', 'raised', 1));
    expect(left()).toEqual(['site:1:1', 'site:2:1', 'site:2:2', 'site:3:1', 'site:4:1']);
    put(at('5', 'raised', 1), at('6', 'raised', 1));
    expect(left()).toEqual(['site:1:1', 'site:3:1', 'site:4:1', 'site:5:1', 'site:6:1']);
    put(at('7', 'raised', 1));
    expect(left()).toEqual(['site:3:1', 'site:4:1', 'site:5:1', 'site:6:1', 'site:7:1']);
    store.close();
    const again = database({ maximumOutboxEvents: 5 });
    expect(again.stats()).toMatchObject({ evictedEvents: 5, outboxEvents: 5 });
    again.close();
  });

  it('stays within its bounds: oldest rows and events go first, least used blobs', () => {
    const store = database({ maximumRows: 100, maximumOutboxEvents: 3, maximumBlobBytes: 10 });
    store.apply(Array.from({ length: 150 }, (_, i) => row(i)));
    expect(store.stats().rows).toBeLessThanOrEqual(100);
    expect(store.rows([], 1_000).timesMs.at(-1)).toBe(149);
    store.apply(
      [1, 2, 3, 4, 5].map((alarm) => ({ op: 'alarm' as const, event: event(alarm), alarmState: alarmState(alarm, 0) })),
    );
    expect(store.outbox(9).map(({ alarmId }) => alarmId)).toEqual(['site:3', 'site:4', 'site:5']);
    expect(store.stats()).toMatchObject({ evictedEvents: 2, outboxEvents: 3 });
    for (const hash of ['a', 'b']) store.putBlob(hash, new Uint8Array(5));
    expect(store.blob('a')).toHaveLength(5);
    store.putBlob('c', new Uint8Array(5));
    expect(['a', 'b', 'c'].map((hash) => store.blob(hash)?.length ?? null)).toEqual([5, null, 5]);
    store.close();
  });

  it('keeps the file within its bytes', () => {
    const maximumBytes = 400_000;
    const store = database({ maximumRows: 1e6, maximumBytes });
    for (let batch = 0; batch < 24; batch++)
      store.apply(Array.from({ length: 1_000 }, (_, i) => row(batch * 1_000 + i, [1, 2])));
    const { rows, evictedRows } = store.stats();
    expect(rows + evictedRows).toBe(24_000);
    expect(rows).toBeLessThan(13_000);
    expect(store.rows([], 1e6).timesMs.at(-1)).toBe(23_999);
    store.close();
  });

  it.each(['rows.db', 'agent.db'])('moves a damaged %s aside, says so, counts it, and goes on', (name) => {
    database().close();
    for (const file of readdirSync(directory)) if (file.startsWith(`${name}-`)) rmSync(join(directory, file));
    writeFileSync(join(directory, name), 'this is no database, and long enough to be taken for one'.repeat(200));
    const told: string[] = [];
    const store = database({}, told);
    store.apply([row(1), { op: 'state', key: 'k', value: 'v' }]);
    expect(told).toEqual([expect.stringContaining(`${name}.damaged-stamp`)]);
    expect(store.stats()).toMatchObject({ damagedFiles: 1, rows: 1 });
    expect(readdirSync(directory)).toContain(`${name}.damaged-stamp`);
    store.close();
  });

  it('refuses a file of a newer release, and leaves it alone', () => {
    database().close();
    const newer = new Database(join(directory, 'agent.db'));
    newer.exec('PRAGMA user_version = 99');
    newer.close();
    expect(() => database()).toThrow(
      expect.objectContaining({ code: 'STORE_FAILED', message: expect.stringContaining('newer release') }),
    );
    expect(readdirSync(directory).filter((name) => name.includes('damaged'))).toEqual([]);
  });

  /** Writes rows and alarms in a process that is killed; gives the number of the last row it told. */
  async function killedWriter(): Promise<number> {
    const child = spawn(process.execPath, [
      fileURLToPath(new URL('./testing/kill-writer.js', import.meta.url)),
      directory,
    ]);
    let last = -1;
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (text: Buffer) => {
        last = Number(text.toString().trim().split('\n').at(-1));
        if (last > 50) child.kill('SIGKILL');
      });
      child.on('exit', () => resolve());
    });
    return last;
  }

  it.each([
    ['torn', (journal: string) => truncateSync(journal, statSync(journal).size - 1_000)],
    ['garbled', (journal: string) => writeFileSync(journal, garbledTail(readFileSync(journal)))],
    ['followed by noise', (journal: string) => appendFileSync(journal, Buffer.alloc(10_000, 0xa5))],
  ])('goes on with what is whole where the end of a journal is %s', async (_, damage) => {
    await killedWriter();
    for (const name of ['rows.db-wal', 'agent.db-wal']) damage(join(directory, name));
    const store = database();
    const { timesMs } = store.rows([], 1e6);
    expect(timesMs.length).toBeGreaterThan(20);
    expect([...timesMs]).toEqual([...timesMs.keys()]);
    const events = store.outbox(1e6);
    expect(events.map(({ atMs }) => atMs)).toEqual([...events.keys()]);
    expect(store.stats().damagedFiles).toBe(0);
    store.apply([row(1e9, [1])]);
    expect(store.rows([], 1).timesMs[0]).toBe(1e9);
    store.close();
  });

  it('loses nothing that was written when the process is killed', async () => {
    const last = await killedWriter();
    const store = database();
    const { timesMs } = store.rows([], 1e6);
    expect(timesMs.at(-1)).toBeGreaterThanOrEqual(last);
    expect([...timesMs]).toEqual([...timesMs.keys()]);
    const events = store.outbox(1e6);
    expect(events.length).toBeGreaterThanOrEqual(timesMs.length);
    expect(JSON.parse(store.alarmState()!)).toMatchObject({ alarmNumber: events.length - 1 });
    expect(store.stats().damagedFiles).toBe(0);
    store.close();
  });
});
