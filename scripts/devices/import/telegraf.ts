import type { RegisterTable } from '@twinwatch/core/config/template-tag';
import type { ByteOrder, RegisterType } from '@twinwatch/core/scada/registers';
import { parse } from 'smol-toml';
import type { DraftBus, DraftDevice, DraftTag, SiteDraft } from '../site-draft.js';
import { durationMs, type Fields, isFields, listOf, numberOf, serialUrl, textOf } from './fields.js';

/**
 * Telegraf's `[[inputs.modbus]]` in its three styles: register, request and metric. Addresses are zero-based there as here.
 * Source: plugins/inputs/modbus/README.md of Telegraf.
 */

const TABLE: Readonly<Record<string, RegisterTable>> = {
  coil: 'coil',
  discrete: 'discrete',
  holding: 'holding',
  input: 'input',
};
const LISTS: Readonly<Record<string, RegisterTable>> = {
  coils: 'coil',
  discrete_inputs: 'discrete',
  holding_registers: 'holding',
  input_registers: 'input',
};
/** FLOAT32 without -IEEE is an old name for a scaled whole number, and so are FIXED and UFIXED. */
const TYPE: Readonly<Record<string, RegisterType>> = {
  ...{ INT8L: 'INT8L', INT8H: 'INT8H', UINT8L: 'UINT8L', UINT8H: 'UINT8H', INT16: 'INT16', UINT16: 'UINT16' },
  ...{ INT32: 'INT32', UINT32: 'UINT32', INT64: 'INT64', UINT64: 'UINT64', BIT: 'BIT', STRING: 'STRING' },
  ...{ FLOAT16: 'FLOAT16', FLOAT32: 'FLOAT32', FLOAT64: 'FLOAT64' },
  ...{ 'FLOAT16-IEEE': 'FLOAT16', 'FLOAT32-IEEE': 'FLOAT32', 'FLOAT64-IEEE': 'FLOAT64' },
};
const ORDER: Readonly<Record<string, ByteOrder>> = {
  ...{ AB: 'ABCD', BA: 'BADC', ABCD: 'ABCD', CDAB: 'CDAB', BADC: 'BADC', DCBA: 'DCBA' },
  ...{ ABCDEFGH: 'ABCD', GHEFCDAB: 'CDAB', BADCFEHG: 'BADC', HGFEDCBA: 'DCBA' },
};
const WIDTH: Readonly<Partial<Record<string, RegisterType>>> = { '1': 'INT16', '2': 'INT32', '4': 'INT64' };
const UNSIGNED: Readonly<Partial<Record<RegisterType, RegisterType>>> = {
  INT16: 'UINT16',
  INT32: 'UINT32',
  INT64: 'UINT64',
};
const TAKEN = new Set([
  ...[
    'name',
    'slave_id',
    'timeout',
    'controller',
    'baud_rate',
    'data_bits',
    'parity',
    'stop_bits',
    'transmission_mode',
  ],
  ...['configuration_type', 'request', 'metric', 'interval', 'workarounds', ...Object.keys(LISTS)],
]);

/** @throws Error of the TOML parser, with line and column, where the text is not TOML. */
export function readTelegraf(text: string): SiteDraft {
  const notes: string[] = [];
  const root = parse(text);
  const inputs = isFields(root.inputs) ? root.inputs : {};
  const plugins = listOf(inputs.modbus);
  if (plugins.length === 0) notes.push('no [[inputs.modbus]] in this file');
  for (const other of Object.keys(inputs)) if (other !== 'modbus') notes.push(`inputs.${other} is not taken over`);
  return { buses: plugins.flatMap((plugin, i) => busOf(plugin, i, notes)), notes };
}

function busOf(plugin: Fields, index: number, notes: string[]): DraftBus[] {
  const name = textOf(plugin.name) ?? `modbus-${index + 1}`;
  const url = urlOf(plugin);
  if (url === null) {
    notes.push(
      `${name}: left out, its controller '${String(plugin.controller)}' is no address that this product opens`,
    );
    return [];
  }
  for (const field of Object.keys(plugin)) if (!TAKEN.has(field)) notes.push(`${name}: '${field}' is not taken over`);
  const timeoutMs = durationMs(plugin.timeout);
  const delayMs = isFields(plugin.workarounds) ? durationMs(plugin.workarounds.pause_between_requests) : null;
  const everyMs = durationMs(plugin.interval);
  const interval = everyMs === null ? null : `${Math.round(everyMs)}ms`;
  const devices = devicesOf(plugin, name, notes).map((device) => ({
    ...device,
    tags: device.tags.map((tag) => (interval === null ? tag : { ...tag, interval })),
  }));
  return [
    {
      ...{ url, devices },
      ...(timeoutMs === null ? {} : { timeoutMs: Math.max(10, Math.round(timeoutMs)) }),
      ...(delayMs === null ? {} : { delayMs: Math.round(delayMs) }),
    },
  ];
}

function urlOf(plugin: Fields): string | null {
  const controller = textOf(plugin.controller) ?? '';
  const mode = textOf(plugin.transmission_mode) ?? 'auto';
  const tcp = /^tcp:\/\/([^/\s:]+):(\d+)$/.exec(controller);
  if (tcp !== null) {
    const scheme = mode === 'RTUoverTCP' ? 'rtu+tcp' : mode === 'ASCIIoverTCP' ? 'ascii+tcp' : 'tcp';
    return `${scheme}://${tcp[1]}:${tcp[2]}`;
  }
  const file = /^(?:file:\/\/)?(\/.+)$/.exec(controller)?.[1] ?? null;
  return serialUrl(mode === 'ASCII' ? 'ascii' : 'rtu', file, {
    ...{ baudRate: plugin.baud_rate, parity: plugin.parity, dataBits: plugin.data_bits, stopBits: plugin.stop_bits },
  });
}

function devicesOf(plugin: Fields, name: string, notes: string[]): DraftDevice[] {
  const unit = numberOf(plugin.slave_id) ?? 1;
  const registers = Object.entries(LISTS).flatMap(([list, table]) =>
    listOf(plugin[list]).flatMap((field) => {
      const address = Array.isArray(field.address) ? field.address.map(Number) : [];
      const type = fixedType(textOf(field.data_type), table, address.length);
      const bit = textOf(field.data_type)?.toUpperCase() === 'BIT' ? address[1] : undefined;
      const length = type === 'STRING' ? address.length : undefined;
      return tagOf({ ...field, address: address[0], type, bit, length }, table, field.byte_order, name, notes);
    }),
  );
  const requests = listOf(plugin.request).map((request) => {
    const table = TABLE[textOf(request.register) ?? 'holding'] ?? 'holding';
    const tags = listOf(request.fields).flatMap((field) => tagOf(field, table, request.byte_order, name, notes));
    return { name, unit: numberOf(request.slave_id) ?? unit, tags };
  });
  const metrics = listOf(plugin.metric).map((metric) => {
    const tags = listOf(metric.fields).flatMap((field) => {
      const table = TABLE[textOf(field.register) ?? 'holding'] ?? 'holding';
      return tagOf(field, table, metric.byte_order, name, notes);
    });
    return { name, unit: numberOf(metric.slave_id) ?? unit, tags };
  });
  const all = [...(registers.length > 0 ? [{ name, unit, tags: registers }] : []), ...requests, ...metrics];
  const units = new Set(all.map((device) => device.unit));
  return units.size <= 1 ? all : all.map((device) => ({ ...device, name: `${name}_${device.unit}` }));
}

/** FIXED, UFIXED and the old FLOAT32 of the register style are whole numbers of as many registers as there are addresses. */
function fixedType(type: string | null, table: RegisterTable, registers: number): string | null {
  if (type === null) return table === 'coil' || table === 'discrete' ? 'BIT' : null;
  if (type === 'FIXED') return WIDTH[registers] ?? null;
  if (type === 'UFIXED' || type === 'FLOAT32') return UNSIGNED[WIDTH[registers] ?? 'INT16'] ?? null;
  return type;
}

function tagOf(field: Fields, table: RegisterTable, byteOrder: unknown, device: string, notes: string[]): DraftTag[] {
  if (field.omit === true) return [];
  const name = textOf(field.name) ?? `${table}_${String(field.address)}`;
  const isBit = table === 'coil' || table === 'discrete';
  const type = isBit ? 'BIT' : TYPE[(textOf(field.type) ?? '').toUpperCase()];
  const address = numberOf(field.address);
  if (type === undefined || address === null) {
    notes.push(
      `${device}: '${name}' is left out: type '${String(field.type ?? field.data_type)}' at address '${String(field.address)}' is not known here`,
    );
    return [];
  }
  const order = ORDER[(textOf(byteOrder) ?? 'ABCD').toUpperCase()];
  if (order === undefined)
    notes.push(`${device}: '${name}' has byte order '${String(byteOrder)}', which is not known here; ABCD is taken`);
  const scale = numberOf(field.scale);
  const bit = numberOf(field.bit);
  const length = numberOf(field.length);
  return [
    {
      ...{ name, register: table, address, type },
      ...(isBit || (order ?? 'ABCD') === 'ABCD' ? {} : { byte_order: order }),
      ...(scale === null || scale === 0 || scale === 1 || type === 'BIT' ? {} : { scale }),
      ...(type === 'BIT' && !isBit && bit !== null ? { bit } : {}),
      ...(type === 'STRING' && length !== null ? { length } : {}),
    },
  ];
}
