import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { StoreOptions } from '../agent-database.js';
import type { RowWrite } from '../row-table.js';

/** Rows, alarm events and bounds for tests of the store. */

/** Wide bounds, but for what is said. */
export const storeOptions = (directory: string, rest: Partial<StoreOptions> = {}): StoreOptions => ({
  directory,
  maximumRows: 1_000,
  maximumBytes: 1e9,
  maximumOutboxEvents: 100,
  maximumBlobBytes: 1e6,
  ...rest,
});
/** Its values are those of the tags a and b. */
export const row = (timeMs: number, values = [timeMs], rest: Partial<RowWrite> = {}): RowWrite => ({
  op: 'row',
  timeMs,
  sequence: timeMs,
  tags: ['a', 'b'].slice(0, values.length),
  values: Float64Array.from(values),
  label: -1,
  score: null,
  alarmState: null,
  ...rest,
});
export const event = (alarm: number, transition: AlarmEvent['transition'] = 'raised', atMs = 0): AlarmEvent => ({
  eventId: `site:${alarm}:${transition}`,
  alarmId: `site:${alarm}`,
  agent: 'site',
  transition,
  atMs,
  score: 1,
  threshold: 0.5,
  modelVersion: 'm',
  contributions: [],
  latencyMs: 1,
});
/** JSON as the store keeps it. */
export const alarmState = (alarmNumber: number, rowTimeMs: number) =>
  JSON.stringify({ alarmNumber, rowTimeMs, transitionNumber: 1 });
