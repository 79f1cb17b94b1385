import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type Operation, SpillingLevel } from './spilling-level.js';
import { fillDisk, TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const KIB = 1024;
async function open(path: string, minimumFreeBytes = 0) {
  const said: string[] = [];
  const db = new SpillingLevel({
    path,
    sync: false,
    minimumFreeBytes,
    checkEveryMs: 50,
    onSpill: (error) => said.push(error === null ? 'short' : 'failed'),
    onReturn: () => said.push('back'),
    onStuck: () => said.push('stuck'),
  });
  await db.open();
  return { db, said };
}

async function contentOf(db: { keys: (range: object) => AsyncIterable<string>; get: SpillingLevel['get'] }) {
  const content: [string, string][] = [];
  for await (const key of db.keys({})) content.push([key, String(await db.get(key))]);
  return content;
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

describe('what is deleted soon', () => {
  it('is gone for whoever reads, with the next write, after a while, and after a restart', async () => {
    const path = join(await bench.directory(), 'db');
    const { db } = await open(path);
    const put = (key: string) => db.put(key, Buffer.from(key));
    const onDisk = async () => {
      await db.close();
      const plain = new ClassicLevel(path);
      const keys = await all(plain.keys());
      await plain.close();
      await db.open();
      return keys;
    };
    for (const key of ['a', 'b', 'c', 'd', 'e']) await put(key);
    db.delSoon('a');
    expect(await db.get('a')).toBeUndefined();
    db.delSoon('b');
    expect(await all(db.keys({}))).toEqual(['c', 'd', 'e']);
    db.delSoon('c');
    await put('f');
    // While they are being written, too.
    const written = put('g');
    db.delSoon('f');
    await Promise.resolve();
    await Promise.resolve();
    expect(await db.get('f')).toBeUndefined();
    await written;
    db.delSoon('g');
    db.delSoon('d');
    expect(await onDisk()).toEqual(['e']);
    await db.close();
    db.delSoon('e');
    await db.open();
    expect(await onDisk()).toEqual(['e']);
    await db.close();
  });
});

describe('a LevelDB on a full disk', () => {
  it('goes on in memory, is in order again when there is room, and the next start reads everything', async (context) => {
    const directory = await bench.smallDisk(1_500);
    if (directory === null) return context.skip('no right to mount a file system');
    const path = join(directory, 'db');
    const { db, said } = await open(path);
    const expected = new Map<string, string>();
    const put = async (key: string, value: string) => {
      await db.put(key, Buffer.from(value));
      expected.set(key, value);
    };
    const sorted = () => [...expected].sort(([a], [b]) => (a < b ? -1 : 1));
    for (let i = 0; i < 20; i++) await put(`a${i}`, 'x'.repeat(10 * KIB));
    const filler = await fillDisk(directory);
    for (let i = 0; i < 20; i++) await put(`b${i}`, 'y'.repeat(10 * KIB));
    await db.del('a3');
    expected.delete('a3');
    await put('a4', 'changed');
    expect(said).toEqual(['failed']);
    expect(await contentOf(db)).toEqual(sorted());
    let kept = false;
    const onDisk = db.onDisk().then(() => {
      kept = true;
    });
    expect([db.inMemory, kept]).toEqual([true, false]);
    await rm(filler);
    await onDisk;
    expect(said).toEqual(['failed', 'back']);
    for (let i = 0; i < 20; i++) await put(`c${i}`, 'z');
    expect(await db.close()).toBe(0);
    const again = await open(path);
    expect(await contentOf(again.db)).toEqual(sorted());
    await again.db.close();
  });

  it('keeps off a disk with little room, but for deletions, which make some', async (context) => {
    const directory = await bench.smallDisk(4_000);
    if (directory === null) return context.skip('no right to mount a file system');
    const path = join(directory, 'db');
    const { db, said } = await open(path, 1_000 * KIB);
    await db.put('a', Buffer.from('1'));
    await writeFile(join(directory, 'filler'), Buffer.alloc(3_200 * KIB));
    await until('short', () => db.inMemory);
    await db.batch([
      { type: 'del', key: 'a' },
      { type: 'put', key: 'b', value: Buffer.from('2') },
    ]);
    expect(await contentOf(db)).toEqual([['b', '2']]);
    expect(await db.close()).toBe(0);
    expect(said).toEqual(['short', 'back']);
  });
});

describe('spilling level', () => {
  it('reads in order what is partly in memory, as if it were in one place', async () => {
    const keys = fc.constantFrom('a', 'b', 'é', 'ｚ', '😀', 'c:1', 'c:2');
    const operation = fc.oneof(
      fc.record({ type: fc.constant('put' as const), key: keys, value: fc.uint8Array({ maxLength: 3 }) }),
      fc.record({ type: fc.constant('del' as const), key: keys }),
    );
    const operations = fc.array(operation, { maxLength: 12 });
    const directory = await await bench.directory();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(operations, operations, async (first, second) => {
        const real = (list: typeof first) =>
          list.map((one): Operation => (one.type === 'put' ? { ...one, value: Buffer.from(one.value) } : one));
        const path = join(directory, `${run++}`);
        // Nobody has as much room: after the first look everything goes to memory.
        const { db } = await open(path, Number.MAX_SAFE_INTEGER);
        await db.batch(real(first));
        await until('in memory', () => db.inMemory);
        for (const one of real(second)) await db.batch([one]);
        const plain = new ClassicLevel<string, Buffer>(`${path}-plain`, { valueEncoding: 'buffer' });
        await plain.batch([...real(first), ...real(second)] as never);
        const range = { gte: 'b', lt: '😀' };
        expect(await all(db.keys(range))).toEqual(await plain.keys(range).all());
        expect((await all(db.values({}))).map(String)).toEqual((await plain.values().all()).map(String));
        await Promise.all([db.close(), plain.close()]);
      }),
      { numRuns: 25 },
    );
  });
});
