import { sourceSchema } from '@twinwatch/core/config/sources';
import { expect, it } from 'vitest';
import { TagBoard } from './tag-board.js';

const START_MS = Date.UTC(2026, 0, 1);
const { tags } = sourceSchema.parse({
  ...{ kind: 'mqtt', name: 'M', tags: [{ name: 'L', topic: 't', minimum: 0, maximum: 100 }] },
});

/** A board whose machine's clock says START_MS at 0; stale after 30 s. */
function board(wallMs = START_MS) {
  let elapsedMs = 0;
  const clock = { now: () => wallMs + elapsedMs, monotonic: () => elapsedMs };
  const made = new TagBoard('M', tags, 30_000, clock);
  const latest = () => made.reading().samples[0]!;
  return {
    latest,
    spoil: (sourceS: number) => made.spoil('L', 'SENSOR', wallMs + sourceS * 1_000),
    /** At `atS` after the start, of the sender's time `sourceS`; null for none. → the value that counts then. */
    put: (atS: number, value: unknown, sourceS: number | null) => {
      elapsedMs = atS * 1_000;
      made.put('L', value, sourceS === null ? null : wallMs + sourceS * 1_000);
      return latest().value;
    },
  };
}

it('keeps the newest of its sender, whatever order values come in; of equal times what came last', () => {
  const { put, latest, spoil } = board();
  expect(put(9, 0, -22)).toBe(0);
  expect(latest()).toMatchObject({ quality: 'stale', reason: 'NOT_HEARD_OF' });
  expect(put(10, 1, 8)).toBe(1);
  expect(put(11, 2, 5)).toBe(1);
  expect(latest().sourceTimeMs).toBe(START_MS + 8_000);
  expect(put(12, 3, 8)).toBe(3);
  spoil(7);
  expect(latest()).toMatchObject({ value: 3, quality: 'good' });
  spoil(9);
  expect(latest()).toMatchObject({ quality: 'bad', reason: 'SENSOR' });
  expect(put(13, 4, 9.5)).toBe(4);
  expect(put(13, 999, 9.6)).toBe(999);
  expect(latest()).toMatchObject({ quality: 'bad', reason: 'OUT_OF_RANGE' });
});

it('goes by what comes where a time is missing', () => {
  const { put } = board();
  expect(put(10, 1, 10)).toBe(1);
  expect(put(11, 2, null)).toBe(2);
  expect(put(12, 3, 9)).toBe(3);
});

it('is not locked out by a date in the future: one far ahead is no time to go by, one near holds as long as it is fresh', () => {
  const { put, latest } = board();
  expect(put(10, 1, 10)).toBe(1);
  expect(put(11, 2, 86_400)).toBe(2);
  expect(latest().isTimeKnown).toBe(false);
  expect(put(12, 3, 12)).toBe(3);
  expect(latest().isTimeKnown).toBe(true);
  expect(put(13, 4, 70)).toBe(4);
  expect(put(14, 5, 14)).toBe(4);
  expect(put(43, 6, 43)).toBe(4);
  expect(put(44, 7, 44)).toBe(7);
  // Older than what is stale, and stale itself: there is no going back.
  expect(put(100, 8, 40)).toBe(7);
});

it('goes by what comes while this machine has no time of its own', () => {
  const { put } = board(5_000);
  expect(put(1, 1, 1_700_000_000)).toBe(1);
  expect(put(2, 2, 1_600_000_000)).toBe(2);
});
