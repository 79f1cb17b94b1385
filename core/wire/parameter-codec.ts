import { TwinwatchError } from '../errors.js';
import { fromFloat16 } from '../scada/float16.js';
import { halfOf } from './half.js';
import type { ParameterCodec } from './messages.js';
import { packTopK, TOP_K_VALUES, unpackTopK } from './top-k.js';

/**
 * How a difference of parameters travels.
 *
 * `f32`: the selected layers' weights and biases, little-endian.
 * `f16`: the same as half floats; within 2^-11 of each number, or 2^-25 where that is more, up to 65504.
 * `int8`: per selected layer one float32 scale for each row of its weights, a row being what leads to one output, and one for the biases, then one signed byte
 * per number: value ≈ byte · scale, scale = largest magnitude / 127. Rows differ by orders of magnitude, hence a scale for each.
 * `topk-f16`, `topk-int8`: the largest numbers only, see top-k.ts.
 *
 * What a codec leaves out comes back as the residual (error feedback, see error-feedback.ts).
 */

export const PARAMETER_CODECS = ['f32', 'f16', 'int8', 'topk-f16', 'topk-int8'] as const satisfies ParameterCodec[];

/** Where one layer of one member lies in the flat parameters; `layers(architecture)` of core/learning/network.ts gives them. */
export interface LayerLayout {
  readonly member: number;
  /** From the input upwards, 0 first; the layer mask is indexed by it. */
  readonly layer: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Weights are [inputs × outputs], row-major. */
  readonly weightOffset: number;
  /** [outputs], right behind the weights. */
  readonly biasOffset: number;
}

export interface EncodedDelta {
  readonly bytes: Uint8Array;
  /**
   * [parameters]: delta minus what the other end will decode; 0 in layers that are masked out. Those are taken from elsewhere: nobody is
   * owed what was learned in them, and carried over it would grow round by round.
   */
  readonly residual: Float32Array;
}

/** Below this a float32 scale has no precision left; such rows are sent as zeros and stay in the residual. */
const SMALLEST_PEAK = 1e-30;

/**
 * @param layerMask true for the layers to send; every layer where null.
 * @param keep share of the selected parameters that top-k codecs send, at least one; the others send all.
 * @throws TwinwatchError WIRE_DELTA_SHAPE when delta or mask do not fit the layers, WIRE_DELTA_NOT_FINITE for NaN or infinity.
 */
export function encodeDelta(
  delta: Float32Array,
  layers: readonly LayerLayout[],
  codec: ParameterCodec,
  layerMask: readonly boolean[] | null,
  keep = 1,
): EncodedDelta {
  const parameters = parameterCount(layers);
  if (delta.length !== parameters)
    throw wrongShape(`difference has ${delta.length} parameters, the network ${parameters}`);
  requireFinite(delta);
  const selected = selectLayers(layers, layerMask);
  const bytes = encodeSelected(delta, selected, codec, keep);
  const residual = decodeDelta(bytes, layers, codec, layerMask);
  for (const { weightOffset, biasOffset, outputs } of selected)
    for (let i = weightOffset; i < biasOffset + outputs; i++) residual[i] = delta[i]! - residual[i]!;
  return { bytes, residual };
}

/**
 * @returns [parameters], zero in the layers that are masked out.
 * @throws TwinwatchError WIRE_DELTA_SHAPE for bytes that do not fit the layers, WIRE_DELTA_NOT_FINITE.
 */
export function decodeDelta(
  bytes: Uint8Array,
  layers: readonly LayerLayout[],
  codec: ParameterCodec,
  layerMask: readonly boolean[] | null,
): Float32Array {
  const selected = selectLayers(layers, layerMask);
  const expected = encodedBytes(selected, codec);
  if (expected !== null && bytes.length !== expected)
    throw wrongShape(`encoded difference has ${bytes.length} bytes, the selected layers need ${expected} as ${codec}`);
  const delta = new Float32Array(parameterCount(layers));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  switch (codec) {
    case 'f32':
      for (const i of places(selected)) {
        delta[i] = view.getFloat32(at, true);
        at += 4;
      }
      break;
    case 'f16':
      for (const i of places(selected)) {
        delta[i] = fromFloat16(view.getUint16(at, true));
        at += 2;
      }
      break;
    case 'int8':
      for (const layer of selected) at = readInt8(view, at, delta, layer);
      break;
    case 'topk-f16':
    case 'topk-int8': {
      const fault = unpackTopK(bytes, selected, TOP_K_VALUES[codec], delta);
      if (fault !== null) throw wrongShape(`encoded difference is no ${codec} of the selected layers: ${fault}`);
    }
  }
  requireFinite(delta);
  return delta;
}

function encodeSelected(
  delta: Float32Array,
  selected: readonly LayerLayout[],
  codec: ParameterCodec,
  keep: number,
): Uint8Array {
  if (codec === 'topk-f16' || codec === 'topk-int8') return packTopK(delta, selected, TOP_K_VALUES[codec], keep);
  const bytes = new Uint8Array(encodedBytes(selected, codec) ?? 0);
  const view = new DataView(bytes.buffer);
  let at = 0;
  if (codec === 'int8') for (const layer of selected) at = writeInt8(view, at, delta, layer);
  else
    for (const i of places(selected)) {
      if (codec === 'f32') view.setFloat32(at, delta[i]!, true);
      else view.setUint16(at, halfOf(delta[i]!), true);
      at += codec === 'f32' ? 4 : 2;
    }
  return bytes;
}

function parameterCount(layers: readonly LayerLayout[]): number {
  return layers.reduce((sum, layer) => sum + (layer.inputs + 1) * layer.outputs, 0);
}

function selectLayers(layers: readonly LayerLayout[], mask: readonly boolean[] | null): readonly LayerLayout[] {
  if (mask === null) return layers;
  const depth = layers.reduce((deepest, layer) => Math.max(deepest, layer.layer + 1), 0);
  if (mask.length !== depth) throw wrongShape(`layer mask has ${mask.length} entries, the network ${depth} layers`);
  return layers.filter((layer) => mask[layer.layer]);
}

/** Null where it depends on the numbers. */
function encodedBytes(layers: readonly LayerLayout[], codec: ParameterCodec): number | null {
  switch (codec) {
    case 'f32':
      return 4 * parameterCount(layers);
    case 'f16':
      return 2 * parameterCount(layers);
    case 'int8':
      return parameterCount(layers) + layers.reduce((sum, layer) => sum + 4 * (layer.outputs + 1), 0);
    case 'topk-f16':
    case 'topk-int8':
      return null;
  }
}

/** Of the selected layers' numbers in the flat parameters, in order. */
function places(layers: readonly LayerLayout[]): Int32Array {
  const found = new Int32Array(parameterCount(layers));
  let at = 0;
  for (const { weightOffset, biasOffset, outputs } of layers)
    for (let i = weightOffset; i < biasOffset + outputs; i++) found[at++] = i;
  return found;
}

/** Rounds numbers first, first + stride, … to bytes at the positions after `at` with the same stride; returns the scale. */
function quantize(
  view: DataView,
  at: number,
  delta: Float32Array,
  first: number,
  stride: number,
  count: number,
): number {
  let peak = 0;
  for (let i = 0; i < count; i++) peak = Math.max(peak, Math.abs(delta[first + i * stride]!));
  const scale = peak < SMALLEST_PEAK ? 0 : Math.fround(peak / 127);
  if (scale === 0) return 0;
  for (let i = 0; i < count; i++) {
    const steps = Math.round(delta[first + i * stride]! / scale);
    view.setInt8(at + i * stride, Math.max(-127, Math.min(127, steps)));
  }
  return scale;
}

function writeInt8(view: DataView, start: number, delta: Float32Array, layer: LayerLayout): number {
  const { weightOffset, biasOffset, inputs, outputs } = layer;
  const weightsAt = start + 4 * (outputs + 1);
  const biasesAt = weightsAt + inputs * outputs;
  for (let o = 0; o < outputs; o++) {
    const scale = quantize(view, weightsAt + o, delta, weightOffset + o, outputs, inputs);
    view.setFloat32(start + 4 * o, scale, true);
  }
  view.setFloat32(start + 4 * outputs, quantize(view, biasesAt, delta, biasOffset, 1, outputs), true);
  return biasesAt + outputs;
}

function readInt8(view: DataView, start: number, delta: Float32Array, layer: LayerLayout): number {
  const { weightOffset, biasOffset, inputs, outputs } = layer;
  const weightsAt = start + 4 * (outputs + 1);
  const biasesAt = weightsAt + inputs * outputs;
  for (let o = 0; o < outputs; o++) {
    const scale = readScale(view, start + 4 * o);
    for (let i = 0; i < inputs; i++) {
      const place = i * outputs + o;
      delta[weightOffset + place] = view.getInt8(weightsAt + place) * scale;
    }
  }
  const biasScale = readScale(view, start + 4 * outputs);
  for (let o = 0; o < outputs; o++) delta[biasOffset + o] = view.getInt8(biasesAt + o) * biasScale;
  return biasesAt + outputs;
}

/** A scale that is not finite would vanish behind a zero byte, hence checked by itself. */
function readScale(view: DataView, at: number): number {
  const scale = view.getFloat32(at, true);
  if (!(scale >= 0 && scale < Number.POSITIVE_INFINITY)) throw notFinite(`scale at byte ${at} is ${scale}`);
  return scale;
}

function requireFinite(delta: Float32Array): void {
  for (let i = 0; i < delta.length; i++)
    if (!Number.isFinite(delta[i])) throw notFinite(`parameter ${i} is ${delta[i]}`);
}

function wrongShape(what: string): TwinwatchError {
  return new TwinwatchError('WIRE_DELTA_SHAPE', `${what}; both ends must use the same lineage`);
}

function notFinite(what: string): TwinwatchError {
  return new TwinwatchError('WIRE_DELTA_NOT_FINITE', `${what}; a difference of parameters must be finite`);
}
