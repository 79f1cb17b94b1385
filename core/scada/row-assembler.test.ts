import { describe, expect, it } from 'vitest';
import { RowAssembler, type RowAssemblerOptions } from './row-assembler.js';
import type { Sample } from './sample.js';

const sample = (tag: string, value: number, quality: Sample['quality'] = 'good'): Sample => ({
  tag,
  value,
  quality,
  sourceTimeMs: 0,
  receivedTimeMs: 0,
  receivedMonotonicMs: 0,
  isTimeKnown: true,
});

function assembler(options: Partial<RowAssemblerOptions> = {}) {
  const made = new RowAssembler({
    devices: [
      { name: 'A', tags: ['a'], clocked: true },
      { name: 'B', tags: ['b'], clocked: true },
    ],
    intervalMs: 1_000,
    lateAfterMs: 50,
    align: 'sequence',
    last: null,
    ...options,
  });
  const read = (device: string, sequence: number, value: number, nowMs = 0, timeMs = sequence * 1_000) =>
    made.reading({ device, sequence, timeMs, samples: [sample(device.toLowerCase(), value)] }, nowMs);
  return { made, read };
}
const values = (rows: readonly { row: { sequence: number | null; values: Float64Array } }[]) =>
  rows.map(({ row }) => [row.sequence, ...row.values]);

describe('RowAssembler', () => {
  it('makes a row once every device has told its part, and counts duplicates and gaps', () => {
    const { made, read } = assembler();
    expect(read('A', 1, 10)).toEqual([]);
    expect(values(read('B', 1, 20))).toEqual([[1, 10, 20]]);
    expect(read('A', 1, 10)).toEqual([]);
    read('B', 4, 21);
    const [row] = read('A', 4, 11);
    expect(row).toMatchObject({ gap: 2, missing: [], quality: ['good', 'good'] });
    expect(made.counts).toMatchObject({ rows: 2, duplicates: 1, missingRows: 2 });
  });

  it('lets a row go without a device that is late, and does not take its part for another row', () => {
    const { made, read } = assembler();
    read('A', 1, 10, 0);
    expect(made.tick(49, 0)).toEqual([]);
    const [row] = made.tick(50, 0);
    expect([...row!.row.values]).toEqual([10, Number.NaN]);
    expect(row).toMatchObject({ missing: ['B'], quality: ['good', 'stale'] });
    expect(read('B', 1, 20, 60)).toEqual([]);
    expect(values([...read('B', 2, 21, 61), ...read('A', 2, 11, 62)])).toEqual([[2, 11, 21]]);
    expect(made.counts).toMatchObject({ rows: 2, late: 1, duplicates: 0 });
  });

  it('does not wait for a device that is down, and waits again once it answers', () => {
    const { made, read } = assembler();
    read('A', 1, 10);
    expect(values(made.fault('B', 1))).toEqual([[1, 10, Number.NaN]]);
    expect(values(read('A', 2, 11))).toEqual([[2, 11, Number.NaN]]);
    read('B', 3, 20);
    expect(values(read('A', 3, 12))).toEqual([[3, 12, 20]]);
  });

  it('sends an older row on once a newer one is complete, and keeps the backlog bounded', () => {
    const { made, read } = assembler({ lateAfterMs: 1e9 });
    read('A', 1, 10);
    read('A', 2, 11);
    expect(values(read('B', 2, 21))).toEqual([
      [1, 10, Number.NaN],
      [2, 11, 21],
    ]);
    for (let sequence = 3; sequence < 40; sequence++) read('A', sequence, 1);
    expect(made.counts.rows).toBe(2 + 37 - 16);
  });

  it('goes on after a restart of the agent, and after a restart of the counter', () => {
    const { made, read } = assembler({ last: { sequence: 7, timeMs: 7_000 } });
    read('A', 7, 1);
    expect(read('B', 7, 1)).toEqual([]);
    read('A', 1, 2, 0, 9_000);
    expect(values(read('B', 1, 3, 0, 9_000))).toEqual([[1, 2, 3]]);
    expect(made.counts.duplicates).toBe(2);
  });

  it.each(['sequence', 'time'] as const)('loses no row of a PLC whose counter and clock start anew (%s)', (align) => {
    const { made, read } = assembler({ align, devices: [{ name: 'A', tags: ['a'], clocked: true }] });
    const at = Date.UTC(2026, 0, 1);
    const told: number[] = [];
    const feed = (sequence: number, timeMs: number) =>
      told.push(...read('A', sequence, told.length, 0, timeMs).map(({ row }) => row.timeMs));
    for (let i = 0; i < 10; i++) feed(1_000 + i, at + i * 1_000);
    for (let i = 0; i < 3; i++) feed(i, i * 1_000);
    expect(told).toHaveLength(10);
    for (let i = 3; i < 50; i++) feed(i, i * 1_000);
    expect(told.slice(10)).toEqual(Array.from({ length: 50 }, (_, i) => i * 1_000));
    expect(made.counts).toMatchObject({ rows: 60, late: 0, restarts: 1, missingRows: 0 });
    expect(made.faults.get('A')).toContain('fell back');
    // Then somebody sets its clock.
    for (let i = 50; i < 150; i++) feed(i, at + i * 1_000);
    expect(told).toHaveLength(160);
    expect(made.counts.missingRows).toBe(0);
    expect([...made.faults]).toEqual([]);
  });

  it.each(['sequence', 'time'] as const)(
    'refuses one reading dated ten years on, and believes it once it persists (%s)',
    (align) => {
      const { made, read } = assembler({ align, devices: [{ name: 'A', tags: ['a'], clocked: true }] });
      const [at, later] = [Date.UTC(2026, 0, 1), Date.UTC(2036, 0, 1)];
      const feed = (sequence: number, timeMs: number) => read('A', sequence, 1, 0, timeMs).length;
      for (let i = 0; i < 10; i++) feed(i, at + i * 1_000);
      expect(feed(10, later)).toBe(0);
      expect(made.faults.get('A')).toContain('2036');
      for (let i = 11; i < 50; i++) expect(feed(i, at + i * 1_000)).toBe(1);
      expect(made.counts).toMatchObject({ rows: 49, late: 1, missingRows: 1, restarts: 0 });
      expect([...made.faults]).toEqual([]);
      expect([50, 51, 52, 53, 54].map((i) => feed(i, later + i * 1_000))).toEqual([0, 0, 0, 4, 1]);
    },
  );

  it.each(['sequence', 'time'] as const)('goes on when a clock is set back an hour (%s)', (align) => {
    const { made, read } = assembler({ align, devices: [{ name: 'A', tags: ['a'], clocked: true }] });
    const at = Date.UTC(2026, 0, 1);
    for (let i = 0; i < 10; i++) read('A', i, 1, 0, at + i * 1_000);
    for (let i = 10; i < 130; i++) read('A', i, 1, 0, at + i * 1_000 - 3_600_000);
    expect(made.counts).toMatchObject({ rows: 130, late: 0 });
    expect(made.faults.get('A') ?? 'fell back').toContain('fell back');
  });

  it('takes up its rows where the store ends in a year to come', () => {
    const { made, read } = assembler({
      align: 'time',
      devices: [{ name: 'A', tags: ['a'], clocked: true }],
      last: { sequence: 1, timeMs: Date.UTC(2036, 0, 1) },
    });
    for (let i = 0; i < 10; i++) read('A', i, 1, 0, Date.UTC(2026, 0, 1) + i * 1_000);
    expect(made.counts).toMatchObject({ rows: 10, late: 0, restarts: 1 });
  });

  it('lets no device that fell back alone, or is always late, take the others along; names it', () => {
    const { made, read } = assembler();
    for (let i = 1_000; i < 1_030; i++) {
      read('A', i, 1, i * 100);
      made.tick(i * 100 + 60, 0);
      read('B', i, 2, i * 100 + 70);
    }
    expect(made.counts).toMatchObject({ rows: 30, late: 30, restarts: 0 });
    expect(made.faults.get('B')).toContain('come after their rows');
    read('A', 1_030, 1, 200_000);
    expect(values(read('B', 1_030, 2, 200_001))).toEqual([[1_030, 1, 2]]);
    expect([...made.faults]).toEqual([]);
  });

  it('says when the first reading of a row was there', () => {
    const { read } = assembler();
    read('A', 1, 10, 5);
    expect(read('B', 1, 20, 30)[0]!.receivedMs).toBe(5);
  });

  it('brings devices with counters of their own together by time', () => {
    const { read } = assembler({ align: 'time' });
    read('A', 900, 10, 0, 5_100);
    expect(read('B', 3, 20, 0, 5_900).map(({ row }) => [row.timeMs, ...row.values])).toEqual([[5_100, 10, 20]]);
  });

  it('makes rows by the wall clock where no device serves a time; old values are stale', () => {
    const devices = ['A', 'B'].map((name) => ({ name, tags: [name.toLowerCase()], clocked: false }));
    const { made } = assembler({ devices });
    const read = (device: string, value: number, nowMs: number, quality: Sample['quality'] = 'good') =>
      made.reading(
        { device, sequence: null, timeMs: null, samples: [sample(device.toLowerCase(), value, quality)] },
        nowMs,
      );
    expect(made.tick(0, 10_000)).toEqual([]);
    read('A', 1, 0);
    read('B', 2, 0);
    expect(made.tick(10, 10_010).map(({ row }) => [row.timeMs, ...row.values])).toEqual([[10_000, 1, 2]]);
    expect(made.tick(500, 10_500)).toEqual([]);
    read('A', 3, 1_500, 'bad');
    const [next] = made.tick(1_600, 11_600);
    expect(next).toMatchObject({ quality: ['bad', 'stale'], missing: ['B'], gap: 0 });
    expect([...next!.row.values]).toEqual([Number.NaN, Number.NaN]);
  });
});
