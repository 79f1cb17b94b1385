import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from '@twinwatch/core/runtime';
import Database from 'libsql';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemTimers } from '../system-runtime.js';
import type { StoreOptions } from './agent-database.js';
import { Store } from './store.js';
import { alarmState, event, row, storeOptions } from './testing/stored-things.js';

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-store-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const options = (rest: Partial<StoreOptions> = {}) => storeOptions(directory, rest);

describe('Store', () => {
  const open = (rest: Partial<StoreOptions> = {}, maximumQueuedRows = 1_000) =>
    Store.open(options(rest), { timers: systemTimers, log: quiet, maximumQueuedRows });

  it('answers after everything written before, and keeps it when closed', async () => {
    const store = await open();
    for (let i = 0; i < 600; i++) store.write(row(i));
    expect((await store.call('rows', ['a'], 1_000)).count).toBe(600);
    await store.call('putBlob', 'h', Uint8Array.of(1, 2));
    store.write({ op: 'state', key: 'k', value: 'v' });
    await store.close();
    await expect(store.call('stats')).rejects.toMatchObject({ code: 'STORE_CLOSED' });
    const again = await open();
    expect(await again.call('blob', 'h')).toEqual(Uint8Array.of(1, 2));
    expect(Buffer.from((await again.call('state', 'k'))!).toString()).toBe('v');
    expect(await again.call('state', 'none')).toBeNull();
    await again.close();
  });

  it('never blocks a writer: the oldest waiting rows are dropped and counted, alarms are not', async () => {
    const store = await open({}, 50);
    for (let i = 0; i < 500; i++) {
      store.write(row(i));
      if (i % 100 === 0) store.write({ op: 'alarm', event: event(i), alarmState: alarmState(i, i) });
    }
    const { timesMs, count } = await store.call('rows', [], 1_000);
    expect(count + store.droppedRows).toBe(500);
    expect(store.droppedRows).toBeGreaterThan(300);
    expect(timesMs.at(-1)).toBe(499);
    expect((await store.call('outbox', 99)).map(({ alarmId }) => alarmId)).toEqual(
      [0, 100, 200, 300, 400].map((i) => `site:${i}`),
    );
    await store.close();
  });

  it('keeps the newest in memory within its bounds while the disk does not answer, tells alarms from there, and writes on', async () => {
    const warned: string[] = [];
    const log = { ...quiet, warn: (_: object, text: string) => warned.push(text) };
    const bounds = { maximumQueuedRows: 300, maximumQueuedBytes: 200 * 8 };
    const store = await Store.open(options({ maximumOutboxEvents: 3 }), { timers: systemTimers, log, ...bounds });
    store.write({ op: 'alarm', event: event(0), alarmState: alarmState(0, 0) });
    expect((await store.stats()).outboxEvents).toBe(1);
    // Another connection has both files locked: the worker waits inside the database.
    const locks = ['rows.db', 'agent.db'].map((file) => new Database(join(directory, file)));
    for (const lock of locks) lock.exec('BEGIN IMMEDIATE');
    store.write(row(0));
    const asked = store.outbox(10);
    // It leaves for the worker at the end of the turn.
    await Promise.resolve();
    for (let timeMs = 1; timeMs <= 1_000; timeMs++) store.write(row(timeMs));
    for (let alarm = 1; alarm <= 5; alarm++)
      store.write({ op: 'alarm', event: event(alarm), alarmState: alarmState(alarm, alarm) });
    // Who asked before it was known is not kept waiting either.
    expect((await asked).map(({ alarmId }) => alarmId)).toEqual(['site:3', 'site:4', 'site:5']);
    expect(store.slow || store.refused !== null).toBe(true);
    expect(await store.stats()).toMatchObject({ outboxEvents: 1 });
    expect(warned[0]).toContain('the disk does not answer');
    expect([store.droppedRows, store.droppedEvents]).toEqual([800, 2]);
    for (const lock of locks) lock.exec('ROLLBACK');
    await expect.poll(() => store.slow || store.refused !== null, { timeout: 15_000 }).toBe(false);
    const { timesMs } = await store.call('rows', ['a'], 2_000);
    expect([...timesMs]).toEqual([0, ...Array.from({ length: 200 }, (_, i) => 801 + i)]);
    expect((await store.outbox(10)).map(({ alarmId }) => alarmId)).toEqual(['site:3', 'site:4', 'site:5']);
    for (const lock of locks) lock.close();
    await store.close();
  });

  it('has one owner: another is refused in words, in this process and in others, and a killed one leaves nothing behind', async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      message: expect.stringContaining(`in use by another agent, process ${process.pid}`),
    });
    store.write(row(1));
    expect((await store.call('stats')).rows).toBe(1);
    await store.close();
    const holder = spawn(process.execPath, [
      fileURLToPath(new URL('testing/lock-holder.js', import.meta.url)),
      directory,
    ]);
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    await expect(open()).rejects.toMatchObject({
      code: 'STORE_LOCKED',
      message: expect.stringMatching(/agent other, process \d+; stop it first/),
    });
    const ended = new Promise((resolve) => holder.once('exit', resolve));
    holder.kill('SIGKILL');
    await ended;
    const again = await open();
    expect((await again.call('stats')).rows).toBe(1);
    await again.close();
  });

  it('says where it cannot be opened', async () => {
    writeFileSync(join(directory, 'file'), '');
    await expect(open({ directory: join(directory, 'file') })).rejects.toMatchObject({
      code: 'STORE_FAILED',
      message: expect.stringContaining('file'),
    });
  });
});
