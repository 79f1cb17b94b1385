import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ByteOrder, decodeValue, encodeValue, type RegisterLayout, type RegisterType } from './registers.js';

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
    const types: readonly RegisterType[] = ['INT16', 'INT32', 'FLOAT32', 'FLOAT64'];
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
