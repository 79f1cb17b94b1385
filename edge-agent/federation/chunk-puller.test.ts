import { CHUNK_DATA_BYTES, UNASKED_CHUNKS } from '@twinwatch/core/wire/chunks';
import { describe, expect, it } from 'vitest';
import { ChunkPuller } from './chunk-puller.js';

/** A download over a line that takes `msPerChunk`; returns the sizes of the windows that were asked for. */
function download(total: number, msPerChunk: number): number[] {
  let nowMs = 0;
  const puller = new ChunkPuller({ now: () => nowMs, monotonic: () => nowMs });
  const onLine = Array.from({ length: Math.min(total, UNASKED_CHUNKS) }, (_, index) => index);
  const came = new Set<number>();
  const windows: number[] = [];
  for (let index = onLine.shift(); index !== undefined; index = onLine.shift()) {
    nowMs += msPerChunk;
    came.add(index);
    const asked = puller.arrived({ transfer: 't', index, total, size: total * CHUNK_DATA_BYTES });
    if (asked.length > 0) windows.push(asked.length);
    onLine.push(...asked);
  }
  expect(came.size).toBe(total);
  return windows;
}

describe('chunk puller', () => {
  it('asks for one or two at a time on a slow line, and for many on a quick one, each once', () => {
    const slow = download(60, 500);
    expect(Math.max(...slow.slice(1))).toBeLessThanOrEqual(2);
    expect(slow.reduce((sum, size) => sum + size, UNASKED_CHUNKS)).toBe(60);
    const quick = download(300, 1);
    expect(Math.max(...quick)).toBe(64);
    expect(quick.reduce((sum, size) => sum + size, UNASKED_CHUNKS)).toBe(300);
  });

  it('asks again for a window of what has stayed away', () => {
    const puller = new ChunkPuller({ now: () => 0, monotonic: () => 0 });
    const incomplete = {
      topic: 'down',
      transfer: 't',
      total: 9,
      bytes: 9 * CHUNK_DATA_BYTES,
      missing: [2, 5, 6, 7, 8],
      isRepeated: false,
    };
    expect(puller.stalled(incomplete)).toEqual([2, 5, 6, 7]);
    const next = [2, 5, 6, 7].map((index) => puller.arrived({ transfer: 't', index, total: 9, size: 1 }));
    expect(next).toEqual([[], [], [], [8]]);
  });
});
