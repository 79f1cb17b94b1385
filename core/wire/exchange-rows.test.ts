import { describe, expect, it } from 'vitest';
import { decodeExchangeRows, encodeExchangeRows } from './exchange-rows.js';

describe('exchange rows', () => {
  const features = Float32Array.of(0, -8, 7.999, 1.25, -0.001, 20);
  const bytes = encodeExchangeRows({ features, labels: Float32Array.of(0, 1) }, 3, 8);

  it('come back within half a step of 1/32767 of the clip, cut at the clip', () => {
    const { features: decoded, labels } = decodeExchangeRows(bytes, 3);
    expect([...labels]).toEqual([0, 1]);
    for (const [i, value] of features.entries()) {
      expect(Math.abs(decoded[i]! - Math.min(8, value))).toBeLessThanOrEqual(8 / 32767 / 2 + 1e-7);
    }
  });

  it('are refused with what is wrong with them', () => {
    expect(() => decodeExchangeRows(bytes, 4)).toThrow(/has 3 inputs per row, the detector 4/);
    expect(() => decodeExchangeRows(bytes.subarray(0, 20), 3)).toThrow(/not CBOR/);
    expect(() => decodeExchangeRows(Uint8Array.of(0xf6), 3)).toThrow(/version undefined/);
  });
});
