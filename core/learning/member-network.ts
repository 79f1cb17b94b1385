import type { Architecture } from './engine.js';
import { backwardLayer, type DenseLayer, forwardLayer } from './kernels.js';
import { layers } from './network.js';

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
