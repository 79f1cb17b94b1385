import type { RegisterTable } from '@twinwatch/core/config/template-tag';
import type { ByteOrder, RegisterType } from '@twinwatch/core/scada/registers';
import { parse } from 'csv-parse/sync';
import type { DraftDevice, DraftTag, SiteDraft } from '../site-draft.js';

/**
 * Tags of Neuron's Modbus drivers as its table of tags has them, saved as CSV: group, name, address, type, and more. The address is
 * SLAVE!ADDRESS[.BIT][#ENDIAN][.LEN…], with references from 1 on: 400001 is holding 0. Byte orders as in Neuron's page of its Modbus RTU driver;
 * another page of its documentation has BB and BL the other way round (emqx/neuron-docs issue 387 says which is right).
 */

const TABLE: Readonly<Record<string, RegisterTable>> = { '0': 'coil', '1': 'discrete', '3': 'input', '4': 'holding' };
const TYPE: Readonly<Record<string, RegisterType>> = {
  ...{
    bit: 'BIT',
    bool: 'BIT',
    int16: 'INT16',
    uint16: 'UINT16',
    word: 'UINT16',
    int32: 'INT32',
    uint32: 'UINT32',
    dword: 'UINT32',
  },
  ...{ int64: 'INT64', uint64: 'UINT64', lword: 'UINT64', float: 'FLOAT32', double: 'FLOAT64', string: 'STRING' },
};
const ORDER: Readonly<Record<string, ByteOrder>> = {
  ...{ L: 'ABCD', B: 'BADC', LL: 'ABCD', LB: 'BADC', BL: 'CDAB', BB: 'DCBA' },
};
const ADDRESS = /^(\d+)!(\d{1,6})(?:\.(\d+)([HLDE]?))?(?:#([BL]{1,2}))?(?:\.(\d+)([HLDE]?))?$/i;

/** @param url of the bus, which the table of tags does not have. */
export function readNeuron(text: string, url: string): SiteDraft {
  const notes: string[] = [];
  const records = parse(text, {
    columns: (names: string[]) => names.map((name) => name.trim().toLowerCase()),
    bom: true,
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
  }) as Record<string, string>[];
  const devices = new Map<string, { unit: number; tags: DraftTag[] }>();
  for (const record of records) {
    const name = record.name || 'tag';
    const parsed = tagOf(record, name, notes);
    if (parsed === null) continue;
    const key = `unit-${parsed.unit}`;
    const device = devices.get(key) ?? { unit: parsed.unit, tags: [] };
    device.tags.push(parsed.tag);
    devices.set(key, device);
  }
  if (records.length === 0) notes.push('no tags in this file');
  if (records.some(({ attribute }) => /write/i.test(attribute ?? '')))
    notes.push('attribute Write is not taken over: values are only read');
  const drafted: DraftDevice[] = [...devices].map(([name, device]) => ({ name, ...device }));
  return { buses: [{ url, devices: drafted }], notes };
}

function tagOf(record: Record<string, string>, name: string, notes: string[]): { unit: number; tag: DraftTag } | null {
  const left = (why: string) => {
    notes.push(`'${name}' is left out: ${why}`);
    return null;
  };
  const match = ADDRESS.exec((record.address ?? '').replaceAll(' ', ''));
  if (match === null) return left(`'${record.address}' is no address of a Modbus driver`);
  const [, slave, reference = '', first, firstHow, endian = '', second, secondHow] = match;
  const padded =
    reference.length < 6 && reference.length === 5
      ? `${reference[0]}0${reference.slice(1)}`
      : reference.padStart(6, '0');
  const register = TABLE[padded[0] ?? ''];
  const address = Number(padded.slice(1)) - 1;
  if (register === undefined || address < 0)
    return left(`'${reference}' is no reference; they begin at 1, 100001, 300001 and 400001`);
  const kind = (record.type ?? '').toLowerCase();
  const isBits = register === 'coil' || register === 'discrete';
  const type = isBits ? 'BIT' : TYPE[kind];
  if (type === undefined) return left(`type '${record.type}' is not known here`);
  const order = ORDER[endian.toUpperCase()] ?? 'ABCD';
  const bytes = Number(second ?? first ?? 0);
  const how = (secondHow || firstHow || 'H').toUpperCase();
  if (type === 'STRING' && (how === 'D' || how === 'E')) return left('one letter a register is not known here');
  const factor = Number(record.decimal ?? '');
  const scale = record.decimal === undefined || record.decimal === '' || factor === 0 ? 1 : factor;
  const bias = Number(record.bias ?? '') || 0;
  return {
    unit: Number(slave),
    tag: {
      ...{ name: record.group ? `${record.group}_${name}` : name, register, address, type },
      ...(!isBits && type === 'BIT' ? { bit: Number(first ?? 0) } : {}),
      ...(type === 'STRING'
        ? { length: Math.max(1, Math.ceil(bytes / 2)), ...(how === 'L' ? { byte_order: 'BADC' as const } : {}) }
        : {}),
      ...(type !== 'BIT' && type !== 'STRING' && order !== 'ABCD' ? { byte_order: order } : {}),
      ...(type === 'BIT' || type === 'STRING' || !Number.isFinite(scale) || scale === 1 ? {} : { scale }),
      ...(type === 'BIT' || type === 'STRING' || bias === 0 ? {} : { offset: bias }),
    },
  };
}
