import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TwinwatchError } from '../errors.js';
import { hashOf } from './blobs.js';
import { encodeCbor } from './cbor.js';
import { CHUNK_DATA_BYTES, split } from './chunks.js';
import { DEFAULT_REASSEMBLY_LIMITS, Reassembly, type ReassemblyLimits } from './reassembly.js';

function setUp(limits: Partial<ReassemblyLimits> = {}) {
  const time = { ms: 0 };
  const clock = { now: () => time.ms, monotonic: () => time.ms };
  return { time, reassembly: new Reassembly(clock, { ...DEFAULT_REASSEMBLY_LIMITS, ...limits }) };
}
const payload = (bytes: number, seed = 1) =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 255);
const code = (call: () => unknown): string => {
  try {
    call();
    return 'none';
  } catch (error) {
    return error instanceof TwinwatchError ? error.code : String(error);
  }
};

describe('chunks', () => {
  it('stay below 4 KiB and bring back the payload in any order, with repetitions', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5 * CHUNK_DATA_BYTES }), fc.infiniteStream(fc.nat()), (length, random) => {
        const bytes = payload(length);
        const transfer = split(bytes);
        const order = Array.from({ length: transfer.total }, (_, i) => i).flatMap((i) => (i % 2 === 0 ? [i, i] : [i]));
        order.sort(() => (random.next().value % 3) - 1);
        const { reassembly } = setUp();
        const delivered: Uint8Array[] = [];
        for (const index of order) {
          const chunk = transfer.chunk(index);
          expect(chunk.length).toBeLessThanOrEqual(4096);
          const accepted = reassembly.accept('up', chunk);
          if (accepted.outcome === 'complete') delivered.push(accepted.bytes);
        }
        expect(delivered.length).toBeGreaterThanOrEqual(1);
        expect(hashOf(delivered[0]!)).toBe(hashOf(bytes));
      }),
      { numRuns: 40 },
    );
  });

  it('refuse an index outside, and fields that contradict each other', () => {
    const transfer = split(payload(10_000));
    expect(code(() => transfer.chunk(3))).toBe('WIRE_CHUNK_INVALID');
    const { reassembly } = setUp();
    const chunk = { transfer: 'a'.repeat(64), index: 0, total: 1, bytes: 3, data: payload(3) };
    const cases = [{ index: 1 }, { total: 2 }, { bytes: 4 }, { data: payload(2) }, { bytes: 2 ** 50 }];
    for (const change of cases)
      expect(code(() => reassembly.accept('up', encodeCbor({ ...chunk, ...change })))).toBe('WIRE_CHUNK_INVALID');
    expect(code(() => reassembly.accept('up', encodeCbor({ ...chunk, transfer: 'short' })))).toBe('WIRE_INVALID');
    expect(code(() => reassembly.accept('up', payload(5000)))).toBe('WIRE_TOO_LARGE');
    expect(code(() => reassembly.accept('up', encodeCbor(chunk)))).toBe('WIRE_TRANSFER_CORRUPT');
    expect(reassembly.heldBytes).toBe(0);
  });
});

describe('reassembly', () => {
  it('reports what is missing, and forgets what stays away', () => {
    const { time, reassembly } = setUp({ maximumIdleMs: 1000 });
    const transfer = split(payload(3 * CHUNK_DATA_BYTES));
    reassembly.accept('up', transfer.chunk(1));
    expect(reassembly.stalled(100)).toEqual([]);
    time.ms = 100;
    expect(reassembly.stalled(100)).toEqual([
      {
        topic: 'up',
        transfer: transfer.transfer,
        total: 3,
        bytes: 3 * CHUNK_DATA_BYTES,
        missing: [0, 2],
        isRepeated: false,
      },
    ]);
    time.ms = 1101;
    expect(reassembly.forgetIdle()).toBe(1);
    expect(reassembly.heldBytes).toBe(0);
  });

  it('delivers a transfer that is sent again in full, and asks once for the rest of one that was whole before', () => {
    const { time, reassembly } = setUp();
    const transfer = split(payload(2 * CHUNK_DATA_BYTES));
    const pass = () => [0, 1].map((index) => reassembly.accept('up', transfer.chunk(index)).outcome);
    expect(pass()).toEqual(['partial', 'complete']);
    expect(reassembly.accept('up', transfer.chunk(1)).outcome).toBe('partial');
    time.ms = 10_000;
    expect(reassembly.stalled(100)).toMatchObject([{ missing: [0], isRepeated: true }]);
    expect(reassembly.stalled(100)).toEqual([]);
    expect(pass()).toEqual(['complete', 'partial']);
  });

  it('keeps topics apart and within their bounds', () => {
    const { reassembly } = setUp({ maximumTransfersPerTopic: 2, maximumTransfers: 3, maximumTransferBytes: 20_000 });
    const first = split(payload(2 * CHUNK_DATA_BYTES, 1));
    reassembly.accept('a', first.chunk(0));
    for (const seed of [2, 3]) reassembly.accept('a', split(payload(2 * CHUNK_DATA_BYTES, seed)).chunk(0));
    expect(reassembly.accept('a', first.chunk(1)).outcome).toBe('partial');
    reassembly.accept('b', first.chunk(0));
    expect(code(() => reassembly.accept('c', first.chunk(0)))).toBe('WIRE_TRANSFER_LIMIT');
    expect(reassembly.accept('b', first.chunk(1)).outcome).toBe('complete');
    expect(code(() => reassembly.accept('a', split(payload(20_001)).chunk(0)))).toBe('WIRE_TOO_LARGE');
  });

  it('holds no more than its bytes, and goes on when there is room again', () => {
    const { reassembly } = setUp({ maximumHeldBytes: 10_000 });
    const transfers = [1, 2, 3].map((seed) => split(payload(2 * CHUNK_DATA_BYTES, seed)));
    for (const transfer of transfers.slice(0, 2)) reassembly.accept('up', transfer.chunk(0));
    expect(code(() => reassembly.accept('up', transfers[2]!.chunk(0)))).toBe('WIRE_TRANSFER_LIMIT');
    expect(reassembly.heldBytes).toBeLessThanOrEqual(10_000);
    expect(reassembly.stalled(0).map(({ transfer }) => transfer)).not.toContain(transfers[2]!.transfer);
  });
});
