import { isBitTable } from '@twinwatch/core/config/template-tag';
import type { ReadRequest } from '../requests.js';
import {
  asciiDevice,
  type DeviceRequest,
  type DeviceScript,
  gatewayTo,
  rtuDevice,
  tcpDevice,
} from './scripted-device.js';

/** For tests: a device whose every answer tells which unit, address and request it belongs to. */

export type Protocol = 'tcp' | 'rtu+tcp' | 'ascii+tcp';

export interface VersionedDevice {
  readonly port: number;
  /** Requests that it has answered. */
  answered(): number;
  close(): Promise<unknown>;
}

/** Of an address of a unit, in every table: spread over all 16 bits. */
function seedOf(unit: number, functionCode: number, address: number): number {
  return (Math.imul(unit * 8 + functionCode, 0x9e37) ^ Math.imul(address + 1, 0x85eb)) & 0xffff;
}

const FUNCTION = { coil: 1, discrete: 2, holding: 3, input: 4 } as const;

/** What the device's `version`-th answer has at an address: a register, or a bit. */
function valueAt(unit: number, functionCode: number, address: number, version: number): number {
  const seed = seedOf(unit, functionCode, address);
  return functionCode > 2 ? (seed + version) & 0xffff : (Math.imul(seed ^ version, 0x9e3779b1) >>> 17) & 1;
}

function answerOf({ unit, functionCode, address, count }: DeviceRequest, version: number): Buffer {
  const values = Array.from({ length: count }, (_, i) => valueAt(unit, functionCode, address + i, version));
  const bytes = functionCode > 2 ? count * 2 : Math.ceil(count / 8);
  const pdu = Buffer.alloc(2 + bytes);
  pdu[0] = functionCode;
  pdu[1] = bytes;
  for (const [i, value] of values.entries())
    if (functionCode > 2) pdu.writeUInt16BE(value, 2 + 2 * i);
    else pdu[2 + (i >> 3)]! |= value << (i & 7);
  return pdu;
}

export async function versionedDevice(protocol: Protocol): Promise<VersionedDevice> {
  let version = 0;
  const script: DeviceScript = (request) => ({ pdu: answerOf(request, ++version) });
  const device =
    protocol === 'tcp'
      ? await tcpDevice(script)
      : await gatewayTo(protocol === 'rtu+tcp' ? rtuDevice : asciiDevice, script);
  return { port: device.port, answered: () => version, close: device.close };
}

/** Whether `words` are what the device answered to exactly this read, in one of its answers after `from` and up to `to`. */
export function isTrue(
  words: Uint16Array,
  unit: number,
  { table, address, count }: ReadRequest,
  from: number,
  to: number,
): boolean {
  if (words.length !== count) return false;
  for (let version = from + 1; version <= to; version++)
    if (words.every((word, i) => word === valueAt(unit, FUNCTION[table], address + i, version))) return true;
  return false;
}

export const bitCount = (table: ReadRequest['table'], count: number) => (isBitTable(table) ? 16 + count * 4 : count);
