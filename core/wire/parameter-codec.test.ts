import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeWithFeedback } from './error-feedback.js';
import { decodeDelta, encodeDelta, type LayerLayout, PARAMETER_CODECS } from './parameter-codec.js';

/** Widths of the inputs and every layer, and members, as core/learning/network.ts lays them out. */
function layout(widths: readonly number[], members: number): LayerLayout[] {
  const found: LayerLayout[] = [];
  let offset = 0;
  for (let member = 0; member < members; member++)
    for (let layer = 0; layer + 1 < widths.length; layer++) {
      const inputs = widths[layer]!;
      const outputs = widths[layer + 1]!;
      const biasOffset = offset + inputs * outputs;
      found.push({ member, layer, inputs, outputs, weightOffset: offset, biasOffset });
      offset = biasOffset + outputs;
    }
  return found;
}
const size = (layers: readonly LayerLayout[]) => layers.reduce((sum, l) => sum + (l.inputs + 1) * l.outputs, 0);
const sentPlaces = (layers: readonly LayerLayout[], mask: readonly boolean[] | null) =>
  layers
    .filter(({ layer }) => mask === null || mask[layer] === true)
    .flatMap(({ weightOffset, biasOffset, outputs }) =>
      Array.from({ length: biasOffset + outputs - weightOffset }, (_, i) => weightOffset + i),
    );
const columnOf = (layer: LayerLayout, index: number) =>
  index >= layer.biasOffset ? 'bias' : (index - layer.weightOffset) % layer.outputs;

const cases = fc
  .record({
    widths: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 2, maxLength: 4 }),
    members: fc.integer({ min: 1, max: 2 }),
    maskBits: fc.nat(),
  })
  .chain(({ widths, members, maskBits }) => {
    const layers = layout(widths, members);
    const mask = maskBits % 3 === 0 ? null : widths.slice(1).map((_, layer) => ((maskBits >> layer) & 1) === 1);
    const value = fc.oneof(fc.constant(0), fc.float({ min: -100, max: 100, noNaN: true }));
    return fc
      .array(value, { minLength: size(layers), maxLength: size(layers) })
      .map((delta) => ({ layers, mask, delta: Float32Array.from(delta) }));
  });

describe('parameter codec', () => {
  it('f32 is exact, and of what the mask leaves out nothing is owed', () => {
    fc.assert(
      fc.property(cases, ({ layers, mask, delta }) => {
        const { bytes, residual } = encodeDelta(delta, layers, 'f32', mask);
        const decoded = decodeDelta(bytes, layers, 'f32', mask);
        for (const layer of layers)
          for (let i = layer.weightOffset; i < layer.biasOffset + layer.outputs; i++) {
            const sent = mask === null || mask[layer.layer] === true;
            expect(decoded[i]).toBe(sent ? delta[i] : 0);
            expect(residual[i]).toBe(0);
          }
      }),
    );
  });

  it('int8 is within half a step of each output column, and decoded + residual is the delta of the layers that are sent', () => {
    fc.assert(
      fc.property(cases, ({ layers, mask, delta }) => {
        const { bytes, residual } = encodeDelta(delta, layers, 'int8', mask);
        const decoded = decodeDelta(bytes, layers, 'int8', mask);
        for (const layer of layers) {
          const end = layer.biasOffset + layer.outputs;
          const peaks = new Map<string | number, number>();
          for (let i = layer.weightOffset; i < end; i++) {
            const column = columnOf(layer, i);
            peaks.set(column, Math.max(peaks.get(column) ?? 0, Math.abs(delta[i]!)));
          }
          for (let i = layer.weightOffset; i < end; i++) {
            if (mask !== null && mask[layer.layer] !== true) expect([decoded[i], residual[i]]).toEqual([0, 0]);
            else {
              expect(residual[i]).toBe(Math.fround(delta[i]! - decoded[i]!));
              const halfStep = peaks.get(columnOf(layer, i))! / 127 / 2;
              expect(Math.abs(residual[i]!)).toBeLessThanOrEqual(halfStep * 1.0001 + 1e-30);
            }
          }
        }
      }),
    );
  });

  it('int8 of the paper-sized network is under 30 % of f32', () => {
    const layers = layout([43, 16, 8, 1], 1);
    const delta = Float32Array.from({ length: size(layers) }, (_, i) => Math.sin(i));
    const f32 = encodeDelta(delta, layers, 'f32', null).bytes.length;
    const int8 = encodeDelta(delta, layers, 'int8', null).bytes.length;
    expect(f32).toBe(849 * 4);
    expect(int8).toBe(849 + 4 * (17 + 9 + 2));
    expect(int8 / f32).toBeLessThan(0.3);
  });

  it('f16 is within half a unit of the last of eleven bits', () => {
    fc.assert(
      fc.property(cases, ({ layers, mask, delta }) => {
        const { bytes, residual } = encodeDelta(delta, layers, 'f16', mask);
        const decoded = decodeDelta(bytes, layers, 'f16', mask);
        for (const i of sentPlaces(layers, mask)) {
          expect(residual[i]).toBe(Math.fround(delta[i]! - decoded[i]!));
          expect(Math.abs(residual[i]!)).toBeLessThanOrEqual(Math.max(2 ** -11 * Math.abs(delta[i]!), 2 ** -25));
        }
        expect(bytes.length).toBe(2 * sentPlaces(layers, mask).length);
      }),
    );
    const large = encodeDelta(Float32Array.of(1e6, -1e6), layout([1, 1], 1), 'f16', null);
    expect([...large.residual]).toEqual([1e6 - 65_504, 65_504 - 1e6]);
  });

  it.each(['topk-f16', 'topk-int8'] as const)('%s sends the largest, within its error, and owes the rest', (codec) => {
    fc.assert(
      fc.property(cases, fc.double({ min: 0.01, max: 1, noNaN: true }), ({ layers, mask, delta }, keep) => {
        const { bytes, residual } = encodeDelta(delta, layers, codec, mask, keep);
        const decoded = decodeDelta(bytes, layers, codec, mask);
        const places = sentPlaces(layers, mask);
        const wanted = Math.max(1, Math.round(keep * places.length));
        const sorted = places.map((i) => Math.abs(delta[i]!)).sort((a, b) => b - a);
        const least = sorted[wanted - 1] ?? 0;
        const peak = sorted[0] ?? 0;
        expect(places.filter((i) => decoded[i] !== 0).length).toBeLessThanOrEqual(wanted);
        for (const i of places) {
          expect(residual[i]).toBe(Math.fround(delta[i]! - decoded[i]!));
          const size = Math.abs(delta[i]!);
          // What is not sent is no larger than the least that is.
          const half = codec === 'topk-f16' ? Math.max(2 ** -11 * size, 2 ** -25) : (peak / 127 / 2) * 1.008;
          expect(Math.abs(residual[i]!)).toBeLessThanOrEqual(size > least ? half + 1e-30 : Math.max(least, half));
        }
        // Places take a bit each at most, whatever is sent.
        const rows = layers.reduce((sum, { outputs }) => sum + outputs + 1, 0);
        const value = codec === 'topk-f16' ? 2 * wanted : wanted + 2 * Math.min(rows, wanted);
        expect(bytes.length).toBeLessThanOrEqual(4 + Math.ceil(places.length / 8) + value);
      }),
    );
  });

  it.each(PARAMETER_CODECS)('%s decodes nothing but finite numbers, or refuses with a code of the wire', (codec) => {
    const layers = layout([4, 3, 1], 1);
    const encoded = encodeDelta(
      Float32Array.from({ length: size(layers) }, (_, i) => Math.sin(i) / 7),
      layers,
      codec,
      null,
      0.4,
    ).bytes;
    const damaged = fc
      .array(fc.record({ at: fc.nat({ max: encoded.length - 1 }), to: fc.nat({ max: 255 }) }), { maxLength: 4 })
      .map((changes) => {
        const bytes = encoded.slice();
        for (const { at, to } of changes) bytes[at] = to;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        try {
          const decoded = decodeDelta(bytes, layers, codec, null);
          expect(decoded).toHaveLength(size(layers));
          expect(decoded.every(Number.isFinite)).toBe(true);
        } catch (error) {
          expect((error as { code: string }).code).toMatch(/^WIRE_DELTA_/);
        }
      }),
      { numRuns: 500 },
    );
  });

  it.each(['topk-f16', 'topk-int8'] as const)('%s takes no room for what only the count says is there', (codec) => {
    const layers = layout([43, 16, 8, 1], 1);
    for (const count of [
      [0xff, 0xff, 0xff, 0x7f],
      [0xd2, 0x06],
      [0xff, 0xff, 0xff, 0xff, 0x0f],
    ])
      expect(() => decodeDelta(Uint8Array.from([0, ...count, 0]), layers, codec, null)).toThrow(/no count of 0 to 849/);
    expect(() => decodeDelta(Uint8Array.of(16, 0), layers, codec, null)).toThrow(/Rice/);
    expect(() => decodeDelta(Uint8Array.of(0, 1, 0x01), layers, codec, null)).toThrow(/bits after the last index/);
    expect(() => decodeDelta(Uint8Array.of(15, 1, 0xff, 0xff, 0, 0), layers, codec, null)).toThrow(/index \d+ of 849/);
    // Nothing at all is a difference, too: one that is zero.
    expect(decodeDelta(Uint8Array.of(0, 0), layers, codec, null).every((value) => value === 0)).toBe(true);
    expect(encodeDelta(new Float32Array(849), layers, codec, null, 0.5).bytes).toEqual(Uint8Array.of(0, 0));
  });

  it('a quarter of the paper-sized network as topk-int8 takes an eighth of f32', () => {
    const layers = layout([43, 16, 8, 1], 1);
    const delta = Float32Array.from({ length: size(layers) }, (_, i) => Math.sin(i * i));
    expect(encodeDelta(delta, layers, 'topk-int8', null, 0.25).bytes.length).toBeLessThan((849 * 4) / 8);
  });

  it.each(['int8', 'topk-int8', 'topk-f16'] as const)(
    'error feedback delivers in the end what single messages as %s cannot',
    (codec) => {
      const fine = layout([2, 1], 1);
      let owed: Float32Array | null = null;
      let delivered = 0;
      for (let round = 0; round < 2000; round++) {
        const task = { codec, layerMask: null, topKShare: 0.3 };
        const { bytes, residual } = encodeWithFeedback(Float32Array.of(0.001, 1, 0), owed, fine, task);
        delivered += decodeDelta(bytes, fine, codec, null)[0]!;
        owed = residual;
      }
      // With top-k, up to the size of the largest is under way.
      expect(delivered).toBeGreaterThan(codec === 'int8' ? 1.99 : 0.99);
      expect(delivered).toBeLessThan(2.01);
    },
  );

  it.each(['f32', 'f16', 'int8'] as const)('%s refuses other lengths, masks and numbers', (codec) => {
    const layers = layout([3, 2], 1);
    const { bytes } = encodeDelta(new Float32Array(8).fill(1), layers, codec, null);
    const shape = expect.objectContaining({ code: 'WIRE_DELTA_SHAPE' });
    const finite = expect.objectContaining({ code: 'WIRE_DELTA_NOT_FINITE' });
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeDelta(bytes.subarray(0, length), layers, codec, null)).toThrow(shape);
    expect(() => decodeDelta(new Uint8Array([...bytes, 0]), layers, codec, null)).toThrow(shape);
    expect(() => decodeDelta(bytes, layers, codec, [true, true])).toThrow(shape);
    expect(() => encodeDelta(new Float32Array(7), layers, codec, null)).toThrow(shape);
    expect(() => encodeDelta(Float32Array.of(1, 2, 3, 4, 5, 6, 7, Number.NaN), layers, codec, null)).toThrow(finite);
    const infinite = bytes.slice();
    new DataView(infinite.buffer).setUint16(codec === 'f16' ? 0 : 2, codec === 'f16' ? 0x7c00 : 0x7f80, true);
    if (codec !== 'f16') infinite.fill(0, 0, 2);
    expect(() => decodeDelta(infinite, layers, codec, null)).toThrow(finite);
  });
});
