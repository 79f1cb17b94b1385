import type { DeviceTemplate } from '@twinwatch/core/config/device-template';
import { layoutOf } from '@twinwatch/core/config/template-tag';
import { decodeValue, encodeValue } from '@twinwatch/core/scada/registers';
import type { Row } from '@twinwatch/core/scada/sample';

/** What the duty agent kept of a row. */
export interface PolledRow {
  readonly timeMs: number;
  /** [tags], NaN where there was no good value. */
  readonly values: ArrayLike<number>;
  /** Null where the detector abstained. */
  readonly score: number | null;
}

/** A value as it is after one way through the register that serves it; NaN where a register cannot say that there is none. */
export function throughRegister(
  templates: Iterable<DeviceTemplate>,
  tagNames: readonly string[],
): (value: number, tag: number) => number {
  const layouts = new Map([...templates].flatMap(({ tags }) => tags.map((tag) => [tag.name, layoutOf(tag)] as const)));
  return (value, tag) => {
    const layout = layouts.get(tagNames[tag]!);
    if (layout === undefined || Number.isNaN(value)) return Number.NaN;
    return decodeValue(encodeValue(value, layout), 0, layout).value;
  };
}

export interface Acquisition {
  readonly fed: number;
  /** Rows of the feed that the agent has. */
  readonly polled: number;
  readonly missingRows: number;
  /** Rows the agent has that were never fed. */
  readonly unknownRows: number;
  readonly differingValues: number;
}

/** Row by row and value by value: did the agent get what the plant served? */
export function compareAcquisition(
  fed: readonly Row[],
  polled: readonly PolledRow[],
  served: (value: number, tag: number) => number,
): Acquisition {
  const byTime = new Map(polled.map((row) => [row.timeMs, row]));
  const times = new Set(fed.map(({ timeMs }) => timeMs));
  let differingValues = 0;
  let missingRows = 0;
  for (const { timeMs, values } of fed) {
    const got = byTime.get(timeMs);
    if (got === undefined) {
      missingRows++;
      continue;
    }
    for (const [tag, value] of values.entries()) {
      const expected = served(value, tag);
      // What a recording does not have is served as NaN or as the value before; neither says anything about acquisition.
      if (!Number.isNaN(expected) && got.values[tag] !== expected) differingValues++;
    }
  }
  const unknownRows = polled.filter(({ timeMs }) => !times.has(timeMs)).length;
  return { fed: fed.length, polled: fed.length - missingRows, missingRows, unknownRows, differingValues };
}
