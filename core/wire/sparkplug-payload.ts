import { TwinwatchError } from '../errors.js';

/**
 * Payloads of Sparkplug B: the part of sparkplug_b.proto (Eclipse Tahu; Sparkplug 3.0.0, §6.4) that single values need. Data sets and templates are
 * passed over. Whole numbers are read as JavaScript numbers, exact up to 2^53.
 */

export type SparkplugType = 'Int32' | 'Int64' | 'Double' | 'Boolean' | 'String';

export interface SparkplugMetric {
  /** Null where only the alias says which it is. */
  readonly name: string | null;
  readonly alias: number | null;
  readonly timeMs: number | null;
  /** Null for a metric without value, or of a kind that is passed over. */
  readonly value: number | boolean | string | null;
  /** For encoding; what it was on the wire is in `value` already. */
  readonly type: SparkplugType;
  /** Number of its type on the wire, 0 where neither the message nor a birth told it; for encoding, `type` says it. */
  readonly dataType?: number;
  /** Of the past, sent later: not what the value is now. */
  readonly isHistorical?: boolean;
  /** OPC's number, from the property 'Quality': 192 good, 0 bad, 500 stale. Null where there is none. */
  readonly quality: number | null;
}

export interface SparkplugPayload {
  readonly timeMs: number | null;
  readonly metrics: readonly SparkplugMetric[];
  /** 0–255; null in a payload without one (NDEATH, NCMD). */
  readonly seq: number | null;
}

const DATA_TYPE: Readonly<Record<SparkplugType, number>> = { Int32: 3, Int64: 4, Double: 10, Boolean: 11, String: 12 };
/** Two's complement in an unsigned field: type → bits. */
const SIGNED_BITS: Readonly<Record<number, number>> = { 1: 8, 2: 16, 3: 32, 4: 64 };
const QUALITY = 'Quality';

/** @param types whether each metric says its type: births must, data need not (§6.4.6). */
export function encodeSparkplug({ timeMs, metrics, seq }: SparkplugPayload, types = true): Buffer {
  return Buffer.concat([
    ...(timeMs === null ? [] : [varintField(1, BigInt(timeMs))]),
    ...metrics.map((metric) => bytesField(2, encodeMetric(metric, types))),
    ...(seq === null ? [] : [varintField(3, BigInt(seq))]),
  ]);
}

function encodeMetric(metric: SparkplugMetric, types: boolean): Buffer {
  const { name, alias, timeMs, value, type, quality, isHistorical = false } = metric;
  return Buffer.concat([
    ...(name === null ? [] : [bytesField(1, Buffer.from(name, 'utf8'))]),
    ...(alias === null ? [] : [varintField(2, BigInt(alias))]),
    ...(timeMs === null ? [] : [varintField(3, BigInt(timeMs))]),
    ...(types ? [varintField(4, BigInt(DATA_TYPE[type]))] : []),
    ...(isHistorical ? [varintField(5, 1n)] : []),
    ...(value === null ? [varintField(7, 1n)] : []),
    ...(quality === null ? [] : [bytesField(9, qualityProperty(quality))]),
    ...(value === null ? [] : [encodeValue(value, type)]),
  ]);
}

function encodeValue(value: number | boolean | string, type: SparkplugType): Buffer {
  switch (type) {
    case 'Int32':
      return varintField(10, BigInt.asUintN(32, BigInt(Math.trunc(Number(value)))));
    case 'Int64':
      return varintField(11, BigInt.asUintN(64, BigInt(Math.trunc(Number(value)))));
    case 'Double': {
      const body = Buffer.alloc(9);
      body[0] = 13 * 8 + 1;
      body.writeDoubleLE(Number(value), 1);
      return body;
    }
    case 'Boolean':
      return varintField(14, value ? 1n : 0n);
    case 'String':
      return bytesField(15, Buffer.from(String(value), 'utf8'));
  }
}

function qualityProperty(quality: number): Buffer {
  const value = Buffer.concat([varintField(1, BigInt(DATA_TYPE.Int32)), varintField(3, BigInt(quality))]);
  return Buffer.concat([bytesField(1, Buffer.from(QUALITY)), bytesField(2, value)]);
}

/**
 * @param bornType number of the type that the metric's birth told: data need not tell it again (§6.4), and without it −1 is 4294967295.
 * @throws TwinwatchError WIRE_MALFORMED where the bytes are no such payload.
 */
export function decodeSparkplug(
  bytes: Buffer,
  bornType?: (metric: Pick<SparkplugMetric, 'name' | 'alias'>) => number | undefined,
): SparkplugPayload {
  let timeMs: number | null = null;
  let seq: number | null = null;
  const metrics: SparkplugMetric[] = [];
  for (const { field, value } of fields(bytes)) {
    if (field === 1) timeMs = asNumber(value);
    else if (field === 2) metrics.push(decodeMetric(asBytes(value), bornType));
    else if (field === 3) seq = asNumber(value);
  }
  return { timeMs, metrics, seq };
}

function decodeMetric(bytes: Buffer, bornType: Parameters<typeof decodeSparkplug>[1]): SparkplugMetric {
  const of = new Map<number, bigint | Buffer>();
  for (const { field, value } of fields(bytes)) of.set(field, value);
  const number = (field: number) => (of.has(field) ? asNumber(of.get(field)!) : null);
  const name = of.has(1) ? asBytes(of.get(1)!).toString('utf8') : null;
  const alias = number(2);
  const dataType = number(4) ?? bornType?.({ name, alias }) ?? 0;
  return {
    ...{ name, alias, dataType },
    timeMs: number(3),
    ...(number(5) === 1 ? { isHistorical: true } : {}),
    type: dataType === 11 ? 'Boolean' : dataType === 12 || dataType === 14 ? 'String' : 'Double',
    value: number(7) === 1 ? null : decodeValue(of, dataType),
    quality: of.has(9) ? qualityOf(asBytes(of.get(9)!)) : null,
  };
}

function decodeValue(of: ReadonlyMap<number, bigint | Buffer>, dataType: number): number | boolean | string | null {
  const whole = of.get(10) ?? of.get(11);
  if (whole !== undefined) {
    const bits = SIGNED_BITS[dataType];
    return Number(bits === undefined ? asWhole(whole) : BigInt.asIntN(bits, asWhole(whole)));
  }
  const float = of.get(12);
  if (float !== undefined) return asBytes(float).readFloatLE(0);
  const double = of.get(13);
  if (double !== undefined) return asBytes(double).readDoubleLE(0);
  const boolean = of.get(14);
  if (boolean !== undefined) return asWhole(boolean) !== 0n;
  const text = of.get(15);
  return text === undefined ? null : asBytes(text).toString('utf8');
}

function qualityOf(properties: Buffer): number | null {
  const keys: string[] = [];
  const values: Buffer[] = [];
  for (const { field, value } of fields(properties)) {
    if (field === 1) keys.push(asBytes(value).toString('utf8'));
    else if (field === 2) values.push(asBytes(value));
  }
  const one = values[keys.indexOf(QUALITY)];
  if (one === undefined) return null;
  for (const { field, value } of fields(one)) if (field === 3 || field === 4) return asNumber(value);
  return null;
}

/** Whole numbers as bigints; floats and what has a length as their bytes. */
function* fields(bytes: Buffer): Generator<{ field: number; value: bigint | Buffer }> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw malformed('a number does not end');
  };
  const take = (length: number): Buffer => {
    if (length > bytes.length - at) throw malformed('a field is longer than the message');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const key = Number(varint());
    const field = Math.floor(key / 8);
    const kind = key % 8;
    if (kind === 0) yield { field, value: varint() };
    else if (kind === 1) yield { field, value: take(8) };
    else if (kind === 2) yield { field, value: take(Number(varint())) };
    else if (kind === 5) yield { field, value: take(4) };
    else throw malformed(`field ${field} is of an unknown kind`);
  }
}

function malformed(what: string): TwinwatchError {
  return new TwinwatchError('WIRE_MALFORMED', `These bytes are no Sparkplug B payload: ${what}`);
}

function asWhole(value: bigint | Buffer): bigint {
  if (typeof value !== 'bigint') throw malformed('a number is of another kind');
  return value;
}

const asNumber = (value: bigint | Buffer): number => Number(asWhole(value));

function asBytes(value: bigint | Buffer): Buffer {
  if (typeof value === 'bigint') throw malformed('a text is a number');
  return value;
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Buffer.from([...bytes, Number(rest)]);
}

const varintField = (field: number, value: bigint): Buffer => Buffer.concat([varint(BigInt(field * 8)), varint(value)]);

const bytesField = (field: number, body: Buffer): Buffer =>
  Buffer.concat([varint(BigInt(field * 8 + 2)), varint(BigInt(body.length)), body]);
