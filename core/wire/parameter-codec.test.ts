import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeDelta, encodeDelta, type LayerLayout } from './parameter-codec.js';

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

  it('error feedback delivers in the end what single messages cannot', () => {
    const layers = layout([1, 1], 1);
    const step = Float32Array.of(0.001, 1);
    const fine = layout([2, 1], 1);
    let carried = new Float32Array(3);
    let delivered = 0;
    for (let round = 0; round < 1000; round++) {
      const delta = Float32Array.of(0.001 + carried[0]!, 1 + carried[1]!, carried[2]!);
      const { bytes, residual } = encodeDelta(delta, fine, 'int8', null);
      delivered += decodeDelta(bytes, fine, 'int8', null)[0]!;
      carried = Float32Array.from(residual);
    }
    expect(delivered).toBeGreaterThan(0.99);
    expect(delivered).toBeLessThan(1.01);
    expect(encodeDelta(step, layers, 'int8', null).bytes.length).toBe(10);
  });

  it.each(['f32', 'int8'] as const)('%s refuses other lengths, masks and numbers', (codec) => {
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
    new DataView(infinite.buffer).setFloat32(0, Number.POSITIVE_INFINITY, true);
    expect(() => decodeDelta(infinite, layers, codec, null)).toThrow(finite);
  });
});
