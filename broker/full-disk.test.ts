import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { fillDisk, TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

describe('broker on a full disk', () => {
  it('passes messages on, acknowledges what is kept or taken, and cuts nobody off', async (context) => {
    const disk = await bench.smallDisk(2_000);
    if (disk === null) return context.skip('no right to mount a file system');
    const said: string[] = [];
    const note = (_context: object, message: string) => said.push(message);
    const log = { debug: () => undefined, info: () => undefined, warn: note, error: note };
    const options = { dataDir: join(disk, 'data'), minimumFreeBytes: 0, log };
    const first = await bench.broker(options);
    const awaySession = { clientId: 'away', clean: false };
    const away = await bench.client(first.port, awaySession);
    await away.subscribeAsync('for/away', { qos: 1 });
    await away.endAsync();
    const here = await bench.listener(first.port, 'for/+', { clientId: 'here', clean: false });
    const client = await bench.client(first.port, { keepalive: 1 });
    let closed = 0;
    client.on('close', () => closed++);
    await client.publishAsync('for/away', 'before', { qos: 1 });
    const filler = await fillDisk(disk);

    const acknowledged: string[] = [];
    const texts = Array.from({ length: 40 }, (_, i) => `${i}`);
    for (const text of texts)
      client.publish('for/away', text.padEnd(10_000), { qos: 1 }, (error) => {
        if (!error) acknowledged.push(text);
      });
    await until('all at who is connected', () => here.length === 41);
    expect(said.filter((text) => text.includes('the disk takes nothing more'))).toHaveLength(1);
    // Kept for nobody who is away: acknowledged when it was taken.
    const other = await bench.client(first.port);
    await other.publishAsync('for/here', 'alarm', { qos: 1 });
    // Whoever comes now is let in, will and subscription included.
    const will = { topic: 'for/here', payload: Buffer.from('will'), qos: 1, retain: false } as const;
    const late = await bench.listener(first.port, 'for/late', { clientId: 'late', clean: false, will });
    await other.publishAsync('for/late', 'hello', { qos: 1 });
    await until('the late one', () => late.length === 1);
    const onDisk = acknowledged.length;
    expect(onDisk).toBeLessThan(texts.length);

    await rm(filler);
    await until('all acknowledged', () => acknowledged.length === texts.length);
    expect(acknowledged).toEqual(texts);
    expect(said.some((text) => text.includes('room again'))).toBe(true);
    expect([closed, first.counters.storeErrors]).toEqual([0, 1]);
    await first.close();

    const second = await bench.broker(options);
    const queued = await bench.listener(second.port, 'for/away', awaySession);
    await until('what was kept', () => queued.length >= 41);
    expect(queued.map(({ text }) => text.trim())).toEqual(['before', ...texts]);
  }, 60_000);

  it('reads no further, and cuts nobody off, when memory is full as well', async (context) => {
    const disk = await bench.smallDisk(2_000);
    if (disk === null) return context.skip('no right to mount a file system');
    const broker = await bench.broker({ dataDir: join(disk, 'data'), minimumFreeBytes: 0 });
    const away = await bench.client(broker.port, { clientId: 'away', clean: false });
    await away.subscribeAsync('a', { qos: 1 });
    await away.endAsync();
    const filler = await fillDisk(disk);
    const client = await bench.client(broker.port);
    const payload = Buffer.alloc(200_000);
    let [sent, acknowledged] = [0, 0];
    while (broker.counters.heldForRoom === 0) {
      client.publish('a', payload, { qos: 1 }, (error) => {
        if (!error) acknowledged++;
      });
      sent++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(sent).toBeGreaterThan(80);
    await rm(filler);
    // Too much for so small a disk: nothing comes back, but what is deleted goes.
    expect(client.connected).toBe(true);
    expect(acknowledged).toBeLessThan(10);
  }, 60_000);

  it('does not take a full disk for a damaged store when it starts', async (context) => {
    const disk = await bench.smallDisk(1_000);
    if (disk === null) return context.skip('no right to mount a file system');
    const dataDir = join(disk, 'data');
    const first = await bench.broker({ dataDir, minimumFreeBytes: 0 });
    const client = await bench.client(first.port);
    await client.publishAsync('r', 'x'.repeat(200_000), { qos: 1, retain: true });
    await first.close();
    const filler = await fillDisk(disk);
    await expect(bench.broker({ dataDir, minimumFreeBytes: 0 })).rejects.toMatchObject({
      code: 'BROKER_STORE_FAILED',
      message: expect.stringMatching(/no space left.*has room/i),
    });
    await rm(filler);
    const second = await bench.broker({ dataDir, minimumFreeBytes: 0 });
    expect(second.counters.storesMovedAside).toBe(0);
    const retained = await bench.listener(second.port, 'r');
    await until('what was retained', () => retained.length === 1);
  });
});
