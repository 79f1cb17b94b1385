import type { LayerSlice } from '@twinwatch/core/learning/network';

/**
 * RV coefficient of two networks' weights, in [0, 1] (Robert and Escoufier 1976, uncentred), averaged over the layers of all members by
 * their parameters. Of two matrices [inputs × outputs]:  tr(XXᵀYYᵀ) / √(tr((XXᵀ)²) · tr((YYᵀ)²)).
 * As [outputs × inputs] a layer with one output would always give 1. A matrix of zeros is like no other: 0.
 *
 * @param a [parameters] @param b [parameters]
 */
export function rvCoefficient(a: Float32Array, b: Float32Array, layers: readonly LayerSlice[]): number {
  let sum = 0;
  let count = 0;
  for (const layer of layers) {
    const parameters = (layer.inputs + 1) * layer.outputs;
    const cross = crossTrace(a, b, layer);
    const norm = Math.sqrt(crossTrace(a, a, layer) * crossTrace(b, b, layer));
    sum += parameters * (norm === 0 ? 0 : cross / norm);
    count += parameters;
  }
  return sum / count;
}

/** tr(XXᵀYYᵀ) = ‖XᵀY‖², which needs no matrix of inputs × inputs. */
function crossTrace(x: Float32Array, y: Float32Array, { weightOffset, inputs, outputs }: LayerSlice): number {
  let trace = 0;
  for (let p = 0; p < outputs; p++) {
    for (let q = 0; q < outputs; q++) {
      let product = 0;
      for (let i = 0; i < inputs; i++) {
        const row = weightOffset + i * outputs;
        product += x[row + p]! * y[row + q]!;
      }
      trace += product * product;
    }
  }
  return trace;
}
