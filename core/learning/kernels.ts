/**
 * The inner loops of training, over preallocated single-precision arrays. Weights are [inputs × outputs], so that every inner loop runs
 * over contiguous outputs; loops are unrolled by four because V8 does not.
 */

/** out[outAt + j] += factor · x[xAt + j] for j in [0, n). */
function addScaled(out: Float32Array, outAt: number, x: Float32Array, xAt: number, n: number, factor: number): void {
  let j = 0;
  for (; j + 3 < n; j += 4) {
    out[outAt + j]! += factor * x[xAt + j]!;
    out[outAt + j + 1]! += factor * x[xAt + j + 1]!;
    out[outAt + j + 2]! += factor * x[xAt + j + 2]!;
    out[outAt + j + 3]! += factor * x[xAt + j + 3]!;
  }
  for (; j < n; j++) out[outAt + j]! += factor * x[xAt + j]!;
}

/** Sum of a[aAt + j] · b[bAt + j] for j in [0, n), in double precision. */
function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, n: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let j = 0;
  for (; j + 3 < n; j += 4) {
    s0 += a[aAt + j]! * b[bAt + j]!;
    s1 += a[aAt + j + 1]! * b[bAt + j + 1]!;
    s2 += a[aAt + j + 2]! * b[bAt + j + 2]!;
    s3 += a[aAt + j + 3]! * b[bAt + j + 3]!;
  }
  for (; j < n; j++) s0 += a[aAt + j]! * b[bAt + j]!;
  return s0 + s1 + (s2 + s3);
}

/** One dense layer with room for a batch. */
export interface DenseLayer {
  readonly inputs: number;
  readonly outputs: number;
  /** [inputs × outputs] and [outputs], views of the flat parameters; gradients likewise. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
  readonly weightGradient: Float32Array;
  readonly biasGradient: Float32Array;
  /** [rows × outputs]: what the layer hands on, after ReLU where it is hidden. */
  readonly output: Float32Array;
  /** [rows × outputs]: derivative of the loss by the layer's sums before ReLU. */
  readonly outputGradient: Float32Array;
}

/** output = input · weights + bias, cut at 0 where `isHidden`. NaN passes, so that it is seen at the end. */
export function forwardLayer(layer: DenseLayer, input: Float32Array, rows: number, isHidden: boolean): void {
  const { inputs, outputs, weights, bias, output } = layer;
  if (outputs === 1) {
    for (let row = 0; row < rows; row++) output[row] = bias[0]! + dot(input, row * inputs, weights, 0, inputs);
  } else {
    for (let row = 0; row < rows; row++) {
      const outAt = row * outputs;
      output.set(bias, outAt);
      for (let i = 0; i < inputs; i++) {
        const value = input[row * inputs + i]!;
        if (value !== 0) addScaled(output, outAt, weights, i * outputs, outputs, value);
      }
    }
  }
  if (!isHidden) return;
  for (let i = 0; i < rows * outputs; i++) if (output[i]! < 0) output[i] = 0;
}

/**
 * Adds to the layer's gradients what its outputGradient says, and writes the outputGradient of the layer below.
 * @param input [rows × inputs] as in the forward pass.
 * @param inputGradient null for the lowest layer.
 */
export function backwardLayer(
  layer: DenseLayer,
  input: Float32Array,
  inputGradient: Float32Array | null,
  rows: number,
): void {
  const { inputs, outputs, weights, weightGradient, biasGradient, outputGradient } = layer;
  for (let row = 0; row < rows; row++) {
    const inAt = row * inputs;
    const outAt = row * outputs;
    if (outputs === 1) {
      addScaled(weightGradient, 0, input, inAt, inputs, outputGradient[row]!);
    } else {
      for (let i = 0; i < inputs; i++) {
        const value = input[inAt + i]!;
        if (value !== 0) addScaled(weightGradient, i * outputs, outputGradient, outAt, outputs, value);
      }
    }
    for (let o = 0; o < outputs; o++) biasGradient[o]! += outputGradient[outAt + o]!;
    if (inputGradient === null) continue;
    for (let i = 0; i < inputs; i++) {
      const isActive = input[inAt + i]! > 0;
      inputGradient[inAt + i] = isActive ? dot(weights, i * outputs, outputGradient, outAt, outputs) : 0;
    }
  }
}
