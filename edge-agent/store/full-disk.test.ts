import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemTimers } from '../system-runtime.js';
import { Store } from './store.js';

/** A real file system of 3 MB that is really full: needs the right to mount one. */

const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const disk = mkdtempSync(join(tmpdir(), 'twinwatch-full-'));
const canMount = mount();
if (canMount) execFileSync('umount', [disk]);
else process.stderr.write('full-disk.test: skipped, mounting a tmpfs needs root\n');

function mount(): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const within = { timeout: 10_000, interval: 20 };
const TAGS = Array.from({ length: 43 }, (_, i) => `T${i}`);
const freeBytes = () => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};
const event = (alarm: number): AlarmEvent => ({
  ...{ eventId: `a:${alarm}:1`, alarmId: `a:${alarm}`, agent: 'a', transition: 'raised', atMs: 1, score: 1 },
  ...{ threshold: 0.5, modelVersion: 'm', contributions: [], latencyMs: 1 },
});

afterAll(() => rmdirSync(disk));

describe.skipIf(!canMount)('Store on a full disk', () => {
  let store: Store;
  let written = 0;
  const write = async (rows: number) => {
    for (let i = 0; i < rows; i++) {
      const timeMs = ++written * 1_000;
      const values = new Float64Array(TAGS.length).fill(written);
      store.write({
        op: 'row',
        timeMs,
        sequence: written,
        tags: TAGS,
        values,
        label: -1,
        score: null,
        alarmState: null,
      });
      if (i % 100 === 99) await store.call('lastTags');
    }
  };
  const alarm = (number: number) => {
    const alarmState = JSON.stringify({ rowTimeMs: 1, alarmNumber: number, transitionNumber: 1 });
    store.write({ op: 'alarm', event: event(number), alarmState });
  };
  const alarms = async () => (await store.outbox(10)).map(({ alarmId }) => alarmId);
  const open = () =>
    Store.open(
      {
        directory: join(disk, 'store'),
        maximumRows: 100_000,
        maximumBytes: 1e9,
        maximumOutboxEvents: 100,
        maximumBlobBytes: 1e6,
      },
      { timers: systemTimers, log: quiet, maximumQueuedRows: 500 },
    );
  beforeEach(async () => {
    mount();
    written = 0;
    store = await open();
  });
  afterEach(async () => {
    await store.close();
    execFileSync('umount', [disk]);
  });

  it('gives up its oldest rows for the newest, and stores alarms, for as long as it likes', async () => {
    await write(12_000);
    alarm(1);
    expect(await alarms()).toEqual(['a:1']);
    const { rows, evictedRows } = await store.call('stats');
    expect(rows + evictedRows + store.droppedRows).toBe(written);
    expect(evictedRows).toBeGreaterThan(1_000);
    expect(rows).toBeGreaterThan(1_000);
    expect(store.droppedRows).toBe(0);
    expect((await store.call('lastRow'))?.sequence).toBe(written);
    expect(store.refused).toBeNull();
    await store.close();
    store = await open();
    expect((await store.call('stats')).rows).toBe(rows);
    expect(await alarms()).toEqual(['a:1']);
  });

  it('answers while another program holds the disk full, tells its alarms from memory, and writes all once there is room', async () => {
    await write(500);
    const filler = join(disk, 'filler');
    // Whatever is given up, the other program takes.
    const fill = () => {
      try {
        writeFileSync(filler, Buffer.alloc(freeBytes()), { flag: 'a' });
      } catch {}
    };
    await vi.waitFor(async () => {
      fill();
      await write(200);
      expect(store.refused).toContain('full');
    }, within);
    fill();
    alarm(1);
    alarm(2);
    await write(1_000);
    expect(await alarms()).toEqual(['a:1', 'a:2']);
    store.write({ op: 'received', eventIds: ['a:1:1'] });
    expect(await alarms()).toEqual(['a:2']);
    expect(await store.call('stats')).toMatchObject({ isDiskTight: true, outboxEvents: 0 });
    expect(store.droppedRows).toBeGreaterThan(300);
    rmSync(filler);
    await vi.waitFor(() => expect(store.refused).toBeNull(), within);
    expect(await alarms()).toEqual(['a:2']);
    expect(await store.call('stats')).toMatchObject({ isDiskTight: false, outboxEvents: 1 });
    expect((await store.call('lastRow'))?.sequence).toBe(written);
  });

  it('closes on a full disk', async () => {
    await write(500);
    await vi.waitFor(async () => {
      writeFileSync(join(disk, 'filler'), Buffer.alloc(freeBytes()), { flag: 'a' });
      await write(200);
      expect(store.refused).not.toBeNull();
    }, within);
    await store.close();
    rmSync(join(disk, 'filler'));
    store = await open();
    expect((await store.call('stats')).rows).toBeGreaterThanOrEqual(500);
  });
});
