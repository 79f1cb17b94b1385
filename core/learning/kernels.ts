/**
 * The inner loops of training, over preallocated single-precision arrays. Weights are [inputs × outputs], so that neighbouring outputs lie
 * next to each other; backwards, four products are added for every number that is read and written back.
 */

/** out[outAt + j] += Σ over k in [0, 4) of factors[factorAt + k · factorStep] · x[xAt + k · xStep + j], for j in [0, n). */
function addFourScaled(
  out: Float32Array,
  outAt: number,
  n: number,
  x: Float32Array,
  xAt: number,
  xStep: number,
  factors: Float32Array,
  factorAt: number,
  factorStep: number,
): void {
  const f0 = factors[factorAt]!;
  const f1 = factors[factorAt + factorStep]!;
  const f2 = factors[factorAt + 2 * factorStep]!;
  const f3 = factors[factorAt + 3 * factorStep]!;
  if (f0 === 0 && f1 === 0 && f2 === 0 && f3 === 0) return;
  const x1 = xAt + xStep;
  const x2 = x1 + xStep;
  const x3 = x2 + xStep;
  for (let j = 0; j < n; j++) {
    out[outAt + j]! += f0 * x[xAt + j]! + f1 * x[x1 + j]! + (f2 * x[x2 + j]! + f3 * x[x3 + j]!);
  }
}

/** out[outAt + j] += factor · x[xAt + j] for j in [0, n). */
function addScaled(out: Float32Array, outAt: number, n: number, x: Float32Array, xAt: number, factor: number): void {
  if (factor === 0) return;
  for (let j = 0; j < n; j++) out[outAt + j]! += factor * x[xAt + j]!;
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
    const blockRows = rows - (rows % 2);
    const blockOutputs = outputs - (outputs % 4);
    for (let row = 0; row < blockRows; row += 2)
      for (let o = 0; o < blockOutputs; o += 4) forwardBlock(layer, input, row, o);
    for (let row = 0; row < rows; row++)
      for (let o = row < blockRows ? blockOutputs : 0; o < outputs; o++) forwardOne(layer, input, row, o);
  }
  if (!isHidden) return;
  for (let i = 0; i < rows * outputs; i++) if (output[i]! < 0) output[i] = 0;
}

/** Two rows and four outputs from `row` and `o` on: their eight sums stay in registers, in double precision. */
function forwardBlock(
  { inputs, outputs, weights, bias, output }: DenseLayer,
  input: Float32Array,
  row: number,
  o: number,
): void {
  let a0 = bias[o]!;
  let a1 = bias[o + 1]!;
  let a2 = bias[o + 2]!;
  let a3 = bias[o + 3]!;
  let b0 = a0;
  let b1 = a1;
  let b2 = a2;
  let b3 = a3;
  const aAt = row * inputs;
  const bAt = aAt + inputs;
  for (let i = 0, w = o; i < inputs; i++, w += outputs) {
    const a = input[aAt + i]!;
    const b = input[bAt + i]!;
    const w0 = weights[w]!;
    const w1 = weights[w + 1]!;
    const w2 = weights[w + 2]!;
    const w3 = weights[w + 3]!;
    a0 += a * w0;
    a1 += a * w1;
    a2 += a * w2;
    a3 += a * w3;
    b0 += b * w0;
    b1 += b * w1;
    b2 += b * w2;
    b3 += b * w3;
  }
  const aOut = row * outputs + o;
  output[aOut] = a0;
  output[aOut + 1] = a1;
  output[aOut + 2] = a2;
  output[aOut + 3] = a3;
  const bOut = aOut + outputs;
  output[bOut] = b0;
  output[bOut + 1] = b1;
  output[bOut + 2] = b2;
  output[bOut + 3] = b3;
}

function forwardOne(
  { inputs, outputs, weights, bias, output }: DenseLayer,
  input: Float32Array,
  row: number,
  o: number,
): void {
  let sum = bias[o]!;
  for (let i = 0, w = o; i < inputs; i++, w += outputs) sum += input[row * inputs + i]! * weights[w]!;
  output[row * outputs + o] = sum;
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
  for (let row = 0; row < rows; row++) addScaled(biasGradient, 0, outputs, outputGradient, row * outputs, 1);
  if (outputs === 1) {
    for (let row = 0; row < rows; row++) {
      addScaled(weightGradient, 0, inputs, input, row * inputs, outputGradient[row]!);
    }
  } else {
    let row = 0;
    for (; row + 3 < rows; row += 4) {
      const inAt = row * inputs;
      const outAt = row * outputs;
      for (let i = 0; i < inputs; i++) {
        addFourScaled(weightGradient, i * outputs, outputs, outputGradient, outAt, outputs, input, inAt + i, inputs);
      }
    }
    for (; row < rows; row++) {
      for (let i = 0; i < inputs; i++) {
        const factor = input[row * inputs + i]!;
        addScaled(weightGradient, i * outputs, outputs, outputGradient, row * outputs, factor);
      }
    }
  }
  if (inputGradient === null) return;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < inputs; i++) {
      const at = row * inputs + i;
      const isActive = input[at]! > 0;
      inputGradient[at] = isActive ? dot(weights, i * outputs, outputGradient, row * outputs, outputs) : 0;
    }
  }
}
