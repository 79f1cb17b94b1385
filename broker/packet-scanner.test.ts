import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketScanner } from './packet-scanner.js';

const [PUBLISH, PUBACK] = [0x30, 0x40];

function packet(length: number, type = PUBLISH): number[] {
  const header = [type];
  let rest = length;
  do {
    const more = rest >= 128;
    header.push((rest % 128) + (more ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return [...header, ...new Array<number>(length).fill(0xff)];
}

describe('packet scanner', () => {
  it('lets whole streams through, however they are cut, and stops the first packet that is too large', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 300 })), fc.integer({ min: 1, max: 50 }), (lengths, step) => {
        const bytes = Uint8Array.from(lengths.flatMap((length) => packet(length)));
        const scanner = new PacketScanner(200);
        let [accepted, packets] = [true, 0];
        for (let at = 0; at < bytes.length && accepted; at += step) {
          const scan = scanner.scan(bytes.subarray(at, at + step), Number.POSITIVE_INFINITY);
          accepted = scan.acceptable;
          packets += scan.packets;
        }
        expect(accepted).toBe(lengths.every((length) => length <= 200));
        if (accepted) expect(packets).toBe(lengths.length);
      }),
    );
  });

  it('needs only the header', () => {
    expect(new PacketScanner(200).scan(Uint8Array.from([0x30, 0xff, 0xff, 0xff, 0x7f]), 9).acceptable).toBe(false);
    expect(new PacketScanner(200).scan(Uint8Array.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), 9).acceptable).toBe(
      false,
    );
  });

  it('ends before the message that is one too many, and lets acknowledgements pass', () => {
    const kinds = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 200 })), { minLength: 1 });
    fc.assert(
      fc.property(kinds, fc.integer({ min: 1, max: 5 }), (packets, allowance) => {
        const bytes = Uint8Array.from(packets.flatMap(([ack, length]) => packet(length, ack ? PUBACK : PUBLISH)));
        const scanner = new PacketScanner(200);
        let [at, counted] = [0, 0];
        while (at < bytes.length) {
          const scan = scanner.scan(bytes.subarray(at), allowance);
          expect(scan.counted).toBeLessThanOrEqual(allowance);
          if (at + scan.length < bytes.length) {
            expect(bytes[at + scan.length]).toBe(PUBLISH);
            expect(scan.counted).toBe(allowance);
          }
          at += scan.length;
          counted += scan.counted;
        }
        expect(counted).toBe(packets.filter(([ack]) => !ack).length);
      }),
    );
  });
});
