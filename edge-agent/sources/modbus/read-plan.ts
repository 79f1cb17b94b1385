import {
  type DeviceTemplate,
  layoutOf,
  type RegisterTable,
  type TemplateTag,
} from '@twinwatch/core/config/device-template';
import { type RegisterLayout, registerWidth } from '@twinwatch/core/scada/registers';
import { isBitTable, type ReadRequest } from './frames.js';

/** A tag inside a read. */
export interface PlannedTag {
  readonly tag: TemplateTag;
  readonly layout: RegisterLayout;
  /** Index of its first register (or bit) in the read's answer. */
  readonly index: number;
}

/** One read and the tags that it brings. */
export interface PlannedRead {
  readonly request: ReadRequest;
  readonly tags: readonly PlannedTag[];
}

const MAXIMUM_BITS = 2_000;
/** Unused registers that are read along rather than asking twice; a device that refuses them is asked in halves. */
const WIDEST_HOLE = 8;

function width(tag: TemplateTag): number {
  return isBitTable(tag.register) ? 1 : registerWidth(tag.type);
}

function readOf(table: RegisterTable, tags: readonly TemplateTag[]): PlannedRead {
  const address = Math.min(...tags.map((tag) => tag.address));
  const end = Math.max(...tags.map((tag) => tag.address + width(tag)));
  return {
    request: { table, address, count: end - address },
    tags: tags.map((tag) => ({ tag, layout: layoutOf(tag), index: tag.address - address })),
  };
}

/** The fewest reads that bring all tags of a device, each within the limits of the standard and of the device. */
export function planReads(template: Pick<DeviceTemplate, 'tags' | 'maximumRegisters'>): PlannedRead[] {
  const reads: PlannedRead[] = [];
  for (const table of new Set(template.tags.map((tag) => tag.register))) {
    const limit = isBitTable(table) ? MAXIMUM_BITS : template.maximumRegisters;
    const sorted = template.tags.filter((tag) => tag.register === table).sort((a, b) => a.address - b.address);
    let run: TemplateTag[] = [];
    let start = 0;
    let end = 0;
    for (const tag of sorted) {
      const tagEnd = tag.address + width(tag);
      if (run.length > 0 && (tag.address - end > WIDEST_HOLE || tagEnd - start > limit)) {
        reads.push(readOf(table, run));
        run = [];
      }
      if (run.length === 0) start = tag.address;
      end = run.length === 0 ? tagEnd : Math.max(end, tagEnd);
      run.push(tag);
    }
    if (run.length > 0) reads.push(readOf(table, run));
  }
  return reads;
}

/** The same tags in two reads, split at the widest hole near the middle; null for a read of one tag. */
export function bisect(read: PlannedRead): [PlannedRead, PlannedRead] | null {
  const tags = read.tags.map(({ tag }) => tag).sort((a, b) => a.address - b.address);
  if (tags.length < 2) return null;
  let at = tags.length >> 1;
  let widest = 0;
  for (let i = 1; i < tags.length; i++) {
    const hole = tags[i]!.address - (tags[i - 1]!.address + width(tags[i - 1]!));
    if (hole > widest) {
      widest = hole;
      at = i;
    }
  }
  const { table } = read.request;
  return [readOf(table, tags.slice(0, at)), readOf(table, tags.slice(at))];
}
