import { TwinwatchError } from '../errors.js';
import type { Architecture } from './engine.js';
import { createRandom } from './random.js';

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
