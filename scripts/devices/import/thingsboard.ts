import type { RegisterTable } from '@twinwatch/core/config/template-tag';
import type { ByteOrder, RegisterType } from '@twinwatch/core/scada/registers';
import type { DraftBus, DraftTag, SiteDraft } from '../site-draft.js';
import { type Fields, isFields, listOf, numberOf, serialUrl, textOf } from './fields.js';

/**
 * modbus.json of ThingsBoard IoT Gateway: `master.slaves`, each with attributes and timeseries. Addresses are zero-based. A slave without byteOrder
 * or wordOrder is read with both LITTLE there. Source: thingsboard.io/docs/iot-gateway/config/modbus.
 */

const TABLE: Readonly<Record<number, RegisterTable>> = { 1: 'coil', 2: 'discrete', 3: 'holding', 4: 'input' };
/** Of one register: the gateway looks at no second one for bits. */
const REGISTER_BITS = 16;
/** That one read may ask for. */
const MOST_BITS = 2_000;
/** By type, and for types without a width of their own by the number of registers. */
const TYPE: Readonly<Record<string, RegisterType>> = {
  ...{ '8int': 'INT8L', '8uint': 'UINT8L', '16int': 'INT16', '16uint': 'UINT16', '16float': 'FLOAT16' },
  ...{ '32int': 'INT32', '32uint': 'UINT32', '32float': 'FLOAT32' },
  ...{ '64int': 'INT64', '64uint': 'UINT64', '64float': 'FLOAT64', string: 'STRING' },
  ...{ int1: 'INT16', int2: 'INT32', int4: 'INT64', long1: 'INT16', long2: 'INT32', long4: 'INT64' },
  ...{ float1: 'FLOAT16', float2: 'FLOAT32', float4: 'FLOAT64', double2: 'FLOAT32', double4: 'FLOAT64' },
};

/** @throws SyntaxError where the text is not JSON. */
export function readThingsBoard(text: string): SiteDraft {
  const notes: string[] = [];
  const root: unknown = JSON.parse(text);
  const master = isFields(root) && isFields(root.master) ? root.master : isFields(root) ? root : {};
  const slaves = listOf(master.slaves);
  if (slaves.length === 0) notes.push('no master.slaves in this file');
  if (isFields(root) && root.slave !== undefined)
    notes.push("'slave', the gateway as a device of its own, is not taken over");
  return { buses: slaves.flatMap((slave, i) => busOf(slave, i, notes)), notes };
}

function busOf(slave: Fields, index: number, notes: string[]): DraftBus[] {
  const name = textOf(slave.deviceName) ?? `device-${index + 1}`;
  const url = urlOf(slave);
  if (url === null) {
    notes.push(
      `${name}: left out, its '${String(slave.type)}' at '${String(slave.host ?? slave.port)}' is nothing that this product opens`,
    );
    return [];
  }
  for (const what of ['attributeUpdates', 'rpc'])
    if (listOf(slave[what]).length > 0 || isFields(slave[what]))
      notes.push(`${name}: '${what}' would write to the device, and is not taken over`);
  const order = orderOf(slave);
  if (slave.byteOrder === undefined || slave.wordOrder === undefined)
    notes.push(
      `${name}: gives no ${slave.byteOrder === undefined ? 'byteOrder' : 'wordOrder'}, which the gateway takes as LITTLE; so values of several registers are read as ${order}: compare them`,
    );
  const interval = numberOf(slave.pollPeriod);
  const timeout = numberOf(slave.timeout);
  const tags = [...listOf(slave.attributes), ...listOf(slave.timeseries)]
    .flatMap((value) => tagOf(value, order, name, notes))
    .map((tag) => (interval === null || interval < 10 ? tag : { ...tag, interval: `${interval}ms` }));
  const unit = numberOf(slave.unitId) ?? 1;
  return [
    {
      ...{ url, devices: [{ name, unit, tags }] },
      ...(timeout === null || timeout <= 0 ? {} : { timeoutMs: Math.min(60_000, Math.max(10, timeout * 1_000)) }),
    },
  ];
}

function urlOf(slave: Fields): string | null {
  const method = textOf(slave.method) ?? 'socket';
  if (slave.type === 'tcp') {
    const host = textOf(slave.host);
    const port = numberOf(slave.port);
    const scheme = method === 'rtu' ? 'rtu+tcp' : method === 'ascii' ? 'ascii+tcp' : 'tcp';
    return host === null || port === null ? null : `${scheme}://${host}:${port}`;
  }
  if (slave.type !== 'serial') return null;
  return serialUrl(method === 'ascii' ? 'ascii' : 'rtu', textOf(slave.port) ?? textOf(slave.serialPort), {
    ...{ baudRate: slave.baudrate, parity: slave.parity, dataBits: slave.bytesize, stopBits: slave.stopbits },
  });
}

function orderOf(slave: Fields): ByteOrder {
  const isBig = (order: unknown) => textOf(order)?.toUpperCase() === 'BIG';
  if (isBig(slave.byteOrder)) return isBig(slave.wordOrder) ? 'ABCD' : 'CDAB';
  return isBig(slave.wordOrder) ? 'BADC' : 'DCBA';
}

function tagOf(value: Fields, order: ByteOrder, device: string, notes: string[]): DraftTag[] {
  const name = textOf(value.tag) ?? textOf(value.key) ?? 'value';
  const register = TABLE[numberOf(value.functionCode) ?? 0];
  const address = numberOf(value.address);
  const left = (why: string) => {
    notes.push(`${device}: '${name}' is left out: ${why}`);
    return [];
  };
  if (register === undefined) return left(`function code ${String(value.functionCode)} is no read`);
  if (address === null) return left(`'${String(value.address)}' is no address`);
  const count = numberOf(value.objectsCount) ?? 1;
  const bit = numberOf(value.bit);
  if (register === 'coil' || register === 'discrete') {
    if (bit !== null) return [{ name, register, address: address + bit, type: 'BIT' }];
    if (!Number.isInteger(count) || count < 1 || count > MOST_BITS) return left(`${count} bits cannot be read at once`);
    if (count > 1) notes.push(`${device}: '${name}' are ${count} bits; they become ${count} tags`);
    return Array.from({ length: count }, (_, i) => ({
      ...{ name: count === 1 ? name : `${name}_${i}`, register, address: address + i, type: 'BIT' as const },
    }));
  }
  const kind = (textOf(value.type) ?? '').toLowerCase();
  if (kind === 'bit' || kind === 'bits') {
    if (bit !== null || count === 1) return [{ name, register, address, type: 'BIT', bit: bit ?? 0 }];
    if (!Number.isInteger(count) || count < 1 || count > REGISTER_BITS)
      return left(`a register has ${REGISTER_BITS} bits, not ${count}`);
    notes.push(
      `${device}: '${name}' are ${count} bits of a register; they become ${count} tags, ${name}_0 the lowest bit. The gateway's own order differs between its releases: compare them`,
    );
    return Array.from({ length: count }, (_, i) => ({
      ...{ name: `${name}_${i}`, register, address, type: 'BIT' as const, bit: i },
    }));
  }
  const type = TYPE[kind] ?? TYPE[`${kind}${count}`];
  if (type === undefined) return left(`type '${String(value.type)}' of ${count} registers is not known here`);
  const divider = numberOf(value.divider) ?? 1;
  const multiplier = numberOf(value.multiplier) ?? 1;
  const scale = divider === 0 ? multiplier : multiplier / divider;
  const isWide = type !== 'INT8L' && type !== 'UINT8L' && type !== 'STRING';
  return [
    {
      ...{ name, register, address, type },
      ...(isWide && order !== 'ABCD' ? { byte_order: order } : {}),
      ...(scale === 1 || type === 'STRING' ? {} : { scale }),
      ...(type === 'STRING' ? { length: count } : {}),
    },
  ];
}
