import { TwinwatchError } from '../errors.js';
import type { Architecture } from './engine.js';
import { backwardLayer, type DenseLayer, forwardLayer } from './kernels.js';
import { sigmoid } from './loss.js';
import { createRandom } from './random.js';

const FORWARD_ROWS = 128;

/**
 * The flat layout of parameters that every engine, codec, strategy and the ONNX export share: member by member, layer by layer,
 * weights [inputs × outputs] row-major, then bias [outputs].
 */
export interface LayerSlice {
  readonly member: number;
  /** 0 for the layer that reads the features. */
  readonly layer: number;
  readonly inputs: number;
  readonly outputs: number;
  /** Of weight (i, o): weightOffset + i · outputs + o. */
  readonly weightOffset: number;
  readonly biasOffset: number;
}

/** Every layer of every member, in the order of the flat parameters. */
export function layers(architecture: Architecture): LayerSlice[] {
  const slices: LayerSlice[] = [];
  let offset = 0;
  for (let member = 0; member < architecture.members; member++) {
    let inputs = architecture.inputs;
    [...architecture.hidden, 1].forEach((outputs, layer) => {
      const biasOffset = offset + inputs * outputs;
      slices.push({ member, layer, inputs, outputs, weightOffset: offset, biasOffset });
      offset = biasOffset + outputs;
      inputs = outputs;
    });
  }
  return slices;
}

export function parameterCount(architecture: Architecture): number {
  return architecture.members * memberParameterCount(architecture);
}

/** Parameters of one member. */
export function memberParameterCount(architecture: Architecture): number {
  let inputs = architecture.inputs;
  let count = 0;
  for (const outputs of [...architecture.hidden, 1]) {
    count += (inputs + 1) * outputs;
    inputs = outputs;
  }
  return count;
}

/** Weights normal with variance 2 / inputs (He et al. 2015, equation 10), biases 0; members differ. [parameterCount]. */
export function initialParameters(architecture: Architecture, seed: number | string): Float32Array {
  const parameters = new Float32Array(parameterCount(architecture));
  const random = createRandom(seed).fork('initial parameters');
  for (const { inputs, weightOffset, biasOffset } of layers(architecture)) {
    const deviation = Math.sqrt(2 / inputs);
    for (let i = weightOffset; i < biasOffset; i++) parameters[i] = deviation * random.normal();
  }
  return parameters;
}

/** @throws TwinwatchError LEARNING_SHAPE, LEARNING_NOT_FINITE. */
export function checkParameters(architecture: Architecture, parameters: Float32Array): void {
  const count = parameterCount(architecture);
  const widths = [architecture.inputs, ...architecture.hidden, architecture.members];
  if (!widths.every((width) => Number.isSafeInteger(width) && width > 0)) {
    throw new TwinwatchError(
      'LEARNING_SHAPE',
      `a network of ${JSON.stringify(architecture)} cannot be built; every width is a whole number above 0`,
    );
  }
  if (parameters.length !== count) {
    throw new TwinwatchError(
      'LEARNING_SHAPE',
      `${parameters.length} parameters do not fit a network of ${JSON.stringify(architecture)}, which has ${count}`,
    );
  }
  const at = parameters.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) {
    throw new TwinwatchError('LEARNING_NOT_FINITE', `parameter ${at} is ${parameters[at]}; start from others`);
  }
}

/** Rows in `features` [count × inputs]. @throws TwinwatchError LEARNING_SHAPE. */
export function countRows(features: Float32Array, inputs: number): number {
  const rows = features.length / inputs;
  if (!Number.isInteger(rows)) {
    throw new TwinwatchError(
      'LEARNING_SHAPE',
      `${features.length} feature values do not make rows of ${inputs}; scale them with the lineage's schema`,
    );
  }
  return rows;
}

/** Averaged sigmoid outputs, one per row of `features` [count × inputs]. @throws TwinwatchError LEARNING_SHAPE, LEARNING_NOT_FINITE. */
export function forward(architecture: Architecture, parameters: Float32Array, features: Float32Array): Float32Array {
  checkParameters(architecture, parameters);
  const { inputs, members } = architecture;
  const rows = countRows(features, inputs);
  const perMember = memberParameterCount(architecture);
  const scores = new Float32Array(rows);
  for (let member = 0; member < members; member++) {
    const own = parameters.subarray(member * perMember, (member + 1) * perMember);
    const network = createMemberNetwork(architecture, own, Math.min(rows, FORWARD_ROWS));
    for (let at = 0; at < rows; at += FORWARD_ROWS) {
      const count = Math.min(FORWARD_ROWS, rows - at);
      network.input.set(features.subarray(at * inputs, (at + count) * inputs));
      network.forward(count);
      for (let row = 0; row < count; row++) scores[at + row]! += sigmoid(network.logits[row]!) / members;
    }
  }
  return scores;
}

/** One network of an ensemble, with room for batches of up to `maximumRows`; nothing is allocated after it is made. */
export interface MemberNetwork {
  /** [member parameters], flat; written to by whoever trains. */
  readonly parameters: Float32Array;
  /** [member parameters]: of the loss of the last backward pass. */
  readonly gradient: Float32Array;
  /** [maximumRows × inputs]: put the rows here before a forward pass. */
  readonly input: Float32Array;
  /** [maximumRows]: sums before the sigmoid, written by forward. */
  readonly logits: Float32Array;
  /** [maximumRows]: derivative of the loss by the logits, read by backward. */
  readonly logitGradient: Float32Array;
  forward(rows: number): void;
  /** Overwrites the gradient. */
  backward(rows: number): void;
}

/** @param parameters [member parameters], not copied. */
export function createMemberNetwork(
  architecture: Architecture,
  parameters: Float32Array,
  maximumRows: number,
): MemberNetwork {
  const gradient = new Float32Array(parameters.length);
  const input = new Float32Array(maximumRows * architecture.inputs);
  const stack = layers({ ...architecture, members: 1 }).map((slice): DenseLayer => {
    const end = slice.biasOffset + slice.outputs;
    return {
      inputs: slice.inputs,
      outputs: slice.outputs,
      weights: parameters.subarray(slice.weightOffset, slice.biasOffset),
      bias: parameters.subarray(slice.biasOffset, end),
      weightGradient: gradient.subarray(slice.weightOffset, slice.biasOffset),
      biasGradient: gradient.subarray(slice.biasOffset, end),
      output: new Float32Array(maximumRows * slice.outputs),
      outputGradient: new Float32Array(maximumRows * slice.outputs),
    };
  });
  const top = stack.at(-1)!;
  return {
    parameters,
    gradient,
    input,
    logits: top.output,
    logitGradient: top.outputGradient,
    forward(rows) {
      for (let l = 0; l < stack.length; l++) {
        forwardLayer(stack[l]!, stack[l - 1]?.output ?? input, rows, l < stack.length - 1);
      }
    },
    backward(rows) {
      gradient.fill(0);
      for (let l = stack.length - 1; l >= 0; l--) {
        const below = stack[l - 1];
        backwardLayer(stack[l]!, below?.output ?? input, below?.outputGradient ?? null, rows);
      }
    },
  };
}
