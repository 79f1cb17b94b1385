import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromFloat16, toFloat16 } from './float16.js';
import {
  type ByteOrder,
  decodeText,
  decodeValue,
  encodeValue,
  type RegisterLayout,
  type RegisterType,
} from './registers.js';

const layout = (
  type: RegisterType,
  byteOrder: ByteOrder = 'ABCD',
  rest: Partial<RegisterLayout> = {},
): RegisterLayout => ({
  type,
  byteOrder,
  scale: 1,
  offset: 0,
  bit: 0,
  ...rest,
});
const ORDERS: readonly ByteOrder[] = ['ABCD', 'CDAB', 'BADC', 'DCBA'];

describe('registers', () => {
  it('knows what a device calls invalid in the precision in which it tells it', () => {
    const maximum = [0x7f7f, 0xffff];
    expect(decodeValue(maximum, 0, layout('FLOAT32', 'ABCD', { invalid: [3.4028235e38] }))).toMatchObject({
      reason: 'INVALID',
    });
    expect(decodeValue([0xc61c, 0x3f9a], 0, layout('FLOAT32', 'ABCD', { invalid: [-9999.9] })).quality).toBe('bad');
    expect(decodeValue([toFloat16(0.1)], 0, layout('FLOAT16', 'ABCD', { invalid: [0.1] })).quality).toBe('bad');
    expect(decodeValue([0x4148, 0], 0, layout('FLOAT32', 'ABCD', { invalid: [3.4028235e38] })).value).toBe(12.5);
  });

  it.each([
    ['ABCD', [0x4048, 0xf5c3]],
    ['CDAB', [0xf5c3, 0x4048]],
    ['BADC', [0x4840, 0xc3f5]],
    ['DCBA', [0xc3f5, 0x4840]],
  ] as const)('reads 3.14 as FLOAT32 in order %s', (order, words) => {
    expect(decodeValue(words, 0, layout('FLOAT32', order)).value).toBeCloseTo(3.14, 6);
    expect(encodeValue(3.14, layout('FLOAT32', order))).toEqual(words);
  });

  it('reads every type from known words', () => {
    expect(decodeValue([0xfffe], 0, layout('INT16')).value).toBe(-2);
    expect(decodeValue([0xfffe], 0, layout('UINT16')).value).toBe(65_534);
    expect(decodeValue([0xff, 0xfeff], 0, layout('UINT16', 'DCBA')).value).toBe(0xff00);
    expect(decodeValue([0xffff, 0xfffe], 0, layout('INT32')).value).toBe(-2);
    expect(decodeValue([0x0001, 0x0000], 0, layout('UINT32')).value).toBe(65_536);
    expect(decodeValue([0, 0, 1, 2], 0, layout('UINT64')).value).toBe(65_538);
    expect(decodeValue([2, 1, 0, 0], 0, layout('UINT64', 'CDAB')).value).toBe(65_538);
    expect(decodeValue([0xffff, 0xffff, 0xffff, 0xffff], 0, layout('INT64')).value).toBe(-1);
    expect(decodeValue([0x3ff8, 0, 0, 0], 0, layout('FLOAT64')).value).toBe(1.5);
    expect(decodeValue([0b100], 0, layout('BIT', 'ABCD', { bit: 2 })).value).toBe(1);
    expect(decodeValue([7, 215], 1, layout('INT16', 'ABCD', { scale: 0.1, offset: -20 })).value).toBeCloseTo(1.5);
  });

  it('reads parts of registers, decimal digits, half floats and letters', () => {
    expect(decodeValue([0b1011_0000], 0, layout('BITS', 'ABCD', { bit: 4, bits: 3 })).value).toBe(3);
    expect(
      ['INT8L', 'INT8H', 'UINT8L', 'UINT8H'].map(
        (type) => decodeValue([0x80ff], 0, layout(type as RegisterType)).value,
      ),
    ).toEqual([-1, -128, 255, 128]);
    expect(decodeValue([0x1234], 0, layout('BCD16')).value).toBe(1_234);
    expect(decodeValue([0x5678, 0x1234], 0, layout('BCD32', 'CDAB')).value).toBe(12_345_678);
    expect(decodeValue([0x12a4], 0, layout('BCD16'))).toMatchObject({ quality: 'bad', reason: 'NOT_BCD' });
    expect(decodeValue([0x3c00], 0, layout('FLOAT16')).value).toBe(1);
    expect(decodeText([0x4142, 0x4320, 0x0041], 0, layout('STRING', 'ABCD', { length: 3 }))).toBe('ABC');
    expect(decodeText([0x4241, 0x0043], 0, layout('STRING', 'BADC', { length: 2 }))).toBe('ABC');
    expect(decodeText([0x4142], 0, layout('STRING', 'ABCD', { length: 2 }))).toBeNull();
  });

  it('halves are the nearest, ties to even, and every one of them comes back', () => {
    const all = Array.from({ length: 0x1_0000 }, (_, bits) => bits).filter((bits) => !Number.isNaN(fromFloat16(bits)));
    expect(all.filter((bits) => toFloat16(fromFloat16(bits)) !== bits)).toEqual([]);
    expect(all.length).toBe(0x1_0000 - 2 * 0x3ff);
    expect(
      [65_504, 65_519, 65_520, 2 ** -24, 2 ** -25, 2 ** -25 * 1.01, 1 + 2 ** -11, 1 + 3 * 2 ** -11].map(toFloat16),
    ).toEqual([0x7bff, 0x7bff, 0x7c00, 1, 0, 1, 0x3c00, 0x3c02]);
    expect(toFloat16(-2)).toBe(0xc000);
  });

  it('takes what the device calls invalid for no value, before scale and offset', () => {
    const sentinel = layout('INT16', 'ABCD', { scale: 0.1, invalid: [-32_768, 32_767] });
    expect(decodeValue([0x8000], 0, sentinel)).toMatchObject({ quality: 'bad', reason: 'INVALID' });
    expect(decodeValue([0x7ffe], 0, sentinel).value).toBeCloseTo(3_276.6);
    expect(decodeValue([0xc61c, 0x3c00], 0, layout('FLOAT32', 'ABCD', { invalid: [-9_999] }))).toMatchObject({
      reason: 'INVALID',
    });
  });

  it('calls NaN, infinity and missing registers bad, with the reason', () => {
    expect(decodeValue([0x7fc0, 0], 0, layout('FLOAT32'))).toEqual({
      quality: 'bad',
      value: Number.NaN,
      reason: 'NOT_A_NUMBER',
    });
    expect(decodeValue([0x7f80, 0], 0, layout('FLOAT32'))).toMatchObject({ quality: 'bad', reason: 'NOT_A_NUMBER' });
    expect(decodeValue([1], 0, layout('INT32'))).toMatchObject({ quality: 'bad', reason: 'SHORT_ANSWER' });
  });

  it('saturates integers, and refuses to write NaN as one', () => {
    expect(encodeValue(1e9, layout('INT16'))).toEqual([0x7fff]);
    expect(encodeValue(-5, layout('UINT32'))).toEqual([0, 0]);
    expect(() => encodeValue(Number.NaN, layout('INT16'))).toThrow(
      expect.objectContaining({ code: 'SCADA_NOT_ENCODABLE' }),
    );
  });

  it('gives back what was written, to the resolution of type and scale', () => {
    const types: readonly RegisterType[] = ['INT16', 'INT32', 'INT64', 'FLOAT32', 'FLOAT64'];
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        fc.constantFrom(...ORDERS),
        fc.integer({ min: -3_000, max: 3_000 }),
        (type, order, value) => {
          const chosen = layout(type, order, { scale: 0.1, offset: 5 });
          expect(decodeValue(encodeValue(value / 10, chosen), 0, chosen).value).toBeCloseTo(value / 10, 3);
        },
      ),
    );
  });
});
