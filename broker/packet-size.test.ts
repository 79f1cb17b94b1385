import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketSizeGuard } from './packet-size.js';

function packet(length: number): number[] {
  const header = [0x30];
  let rest = length;
  do {
    const more = rest >= 128;
    header.push((rest % 128) + (more ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return [...header, ...new Array<number>(length).fill(0xff)];
}

describe('packet size guard', () => {
  it('lets whole streams through, however they are cut, and stops the first packet that is too large', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 })), fc.integer({ min: 1, max: 50 }), (lengths, step) => {
        const bytes = Uint8Array.from(lengths.flatMap(packet));
        const guard = new PacketSizeGuard(200);
        let accepted = true;
        for (let at = 0; at < bytes.length && accepted; at += step)
          accepted = guard.accepts(bytes.subarray(at, at + step));
        expect(accepted).toBe(lengths.every((length) => length <= 200));
      }),
    );
  });

  it('needs only the header', () => {
    expect(new PacketSizeGuard(200).accepts(Uint8Array.from([0x30, 0xff, 0xff, 0xff, 0x7f]))).toBe(false);
    expect(new PacketSizeGuard(200).accepts(Uint8Array.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]))).toBe(false);
  });
});
