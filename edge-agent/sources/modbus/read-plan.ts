import type { DeviceTemplate } from '@twinwatch/core/config/device-template';
import { isBitTable, layoutOf, type RegisterTable, type TemplateTag } from '@twinwatch/core/config/template-tag';
import { createDecoder, type RegisterLayout, registerWidth, type ValueDecoder } from '@twinwatch/core/scada/registers';
import type { ReadRequest } from './requests.js';

/** A tag inside a read. */
export interface PlannedTag {
  readonly tag: TemplateTag;
  readonly name: string;
  readonly layout: RegisterLayout;
  readonly decode: ValueDecoder;
  /** Place of the tag in the template. */
  readonly place: number;
  /** Engineering limits, infinite where there are none. */
  readonly minimum: number;
  readonly maximum: number;
  /** Index of its first register (or bit) in the read's answer. */
  readonly index: number;
}

/**
 * The tags of a read column by column, where all decode alike and none has limits: for thousands of tags, going from object to object in memory costs
 * more than decoding.
 */
interface Columns {
  readonly decode: ValueDecoder;
  readonly names: readonly string[];
  readonly places: Int32Array;
  readonly indexes: Int32Array;
}

/** One read and the tags that it brings. */
export interface PlannedRead {
  readonly request: ReadRequest;
  readonly tags: readonly PlannedTag[];
  readonly columns: Columns | null;
  /** How often it is due, ms; null for every poll. */
  readonly everyMs: number | null;
}

type Placed = Omit<PlannedTag, 'index'>;

const widthOf = ({ layout, tag }: Pick<Placed, 'layout' | 'tag'>) =>
  isBitTable(tag.register) ? 1 : registerWidth(layout);

function readOf(table: RegisterTable, tags: readonly Placed[], everyMs: number | null): PlannedRead {
  const address = Math.min(...tags.map(({ tag }) => tag.address));
  const end = Math.max(...tags.map((placed) => placed.tag.address + widthOf(placed)));
  const planned = tags.map((placed) => ({ ...placed, index: placed.tag.address - address }));
  return { request: { table, address, count: end - address }, tags: planned, columns: columnsOf(planned), everyMs };
}

function columnsOf(tags: readonly PlannedTag[]): Columns | null {
  const decode = tags[0]!.decode;
  const isAlike = (tag: PlannedTag) =>
    tag.decode === decode && tag.minimum === Number.NEGATIVE_INFINITY && tag.maximum === Number.POSITIVE_INFINITY;
  if (!tags.every(isAlike)) return null;
  return {
    decode,
    names: tags.map(({ name }) => name),
    places: Int32Array.from(tags, ({ place }) => place),
    indexes: Int32Array.from(tags, ({ index }) => index),
  };
}

/** The fewest reads that bring all tags of a device, each within the limits of the standard and of the device, for each interval its own. */
export function planReads(template: DeviceTemplate): PlannedRead[] {
  const { maximumBits, maximumRegisters, mergeGap, groups } = template;
  // One decoder for all tags of a layout: it keeps what it works in.
  const decoders = new Map<string, { layout: RegisterLayout; decode: ValueDecoder }>();
  const decoderOf = (tag: TemplateTag) => {
    const layout = layoutOf(tag);
    const key = JSON.stringify(layout);
    const made = decoders.get(key) ?? { layout, decode: createDecoder(layout) };
    decoders.set(key, made);
    return made;
  };
  const placed = template.tags.map((tag, place) => {
    const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = tag;
    const everyMs = tag.interval ?? (tag.group === undefined ? undefined : groups?.[tag.group]) ?? null;
    return { tag, name: tag.name, ...decoderOf(tag), place, everyMs, minimum, maximum };
  });
  const reads: PlannedRead[] = [];
  for (const everyMs of new Set(placed.map((tag) => tag.everyMs)))
    for (const table of new Set(template.tags.map((tag) => tag.register))) {
      const limit = isBitTable(table) ? maximumBits : maximumRegisters;
      const sorted = placed
        .filter((one) => one.tag.register === table && one.everyMs === everyMs)
        .sort((a, b) => a.tag.address - b.tag.address);
      let run: Placed[] = [];
      let start = 0;
      let end = 0;
      for (const one of sorted) {
        const { address } = one.tag;
        const tagEnd = address + widthOf(one);
        if (run.length > 0 && (address - end > mergeGap || Math.max(end, tagEnd) - start > limit)) {
          reads.push(readOf(table, run, everyMs));
          run = [];
        }
        if (run.length === 0) start = address;
        end = run.length === 0 ? tagEnd : Math.max(end, tagEnd);
        run.push(one);
      }
      if (run.length > 0) reads.push(readOf(table, run, everyMs));
    }
  return reads;
}

/** The same tags in two reads, split at the widest hole near the middle; null for a read of one tag. */
export function bisect(read: PlannedRead): [PlannedRead, PlannedRead] | null {
  const tags = [...read.tags].sort((a, b) => a.tag.address - b.tag.address);
  if (tags.length < 2) return null;
  let at = tags.length >> 1;
  let widest = 0;
  for (let i = 1; i < tags.length; i++) {
    const before = tags[i - 1]!;
    const hole = tags[i]!.tag.address - (before.tag.address + widthOf(before));
    if (hole > widest) {
      widest = hole;
      at = i;
    }
  }
  const { table } = read.request;
  return [readOf(table, tags.slice(0, at), read.everyMs), readOf(table, tags.slice(at), read.everyMs)];
}
