import type { Architecture, Distillation } from './engine.js';
import { crossEntropy, sigmoid } from './loss.js';
import { createMemberNetwork, memberParameterCount } from './network.js';

/**
 * Knowledge distillation (Hinton, Vinyals and Dean 2015) for one sigmoid output: the student's loss of a row is
 *   (1 − α) · BCE(y, z) + α · T² · KL(σ(z_teacher / T) ‖ σ(z / T)),  and the second term alone where the row has no label.
 */

/** Teacher's scores are kept off 0 and 1, where single precision has lost the logit. */
const SMALLEST_SCORE = 1e-7;

/** z_teacher / T. */
export function teacherLogit(score: number, temperature: number): number {
  const bounded = Math.min(1 - SMALLEST_SCORE, Math.max(SMALLEST_SCORE, score));
  return Math.log(bounded / (1 - bounded)) / temperature;
}

/** @param label NaN for a row without one. @param taught teacherLogit. @returns loss of a row, and its derivative by the logit. */
export function studentLoss(
  logit: number,
  label: number,
  taught: number,
  { alpha, temperature }: Distillation,
): { loss: number; derivative: number } {
  const soft = sigmoid(taught);
  const own = logit / temperature;
  const divergence = crossEntropy(own, soft) - crossEntropy(taught, soft);
  const loss = alpha * temperature ** 2 * divergence;
  const derivative = alpha * temperature * (sigmoid(own) - soft);
  if (Number.isNaN(label)) return { loss, derivative };
  return {
    loss: loss + (1 - alpha) * crossEntropy(logit, label),
    derivative: derivative + (1 - alpha) * (sigmoid(logit) - label),
  };
}

/** [rows] teacher's scores of a batch. @param batch places in the data. @param features [rows × inputs] of the same rows. */
export type Teacher = (batch: Int32Array, features: Float32Array) => Float32Array;

/** Looks scores up, or computes them batch by batch with room for `maximumRows`. */
export function createTeacher(architecture: Architecture, { teacher }: Distillation, maximumRows: number): Teacher {
  const scores = new Float32Array(maximumRows);
  if ('scores' in teacher) {
    return (batch) => {
      for (const [row, place] of batch.entries()) scores[row] = teacher.scores[place]!;
      return scores;
    };
  }
  const perMember = memberParameterCount(architecture);
  const networks = Array.from({ length: architecture.members }, (_, member) => {
    const own = teacher.parameters.subarray(member * perMember, (member + 1) * perMember);
    return createMemberNetwork(architecture, own, maximumRows);
  });
  return (batch, features) => {
    scores.fill(0);
    for (const network of networks) {
      network.input.set(features.subarray(0, batch.length * architecture.inputs));
      network.forward(batch.length);
      for (let row = 0; row < batch.length; row++) scores[row]! += sigmoid(network.logits[row]!) / networks.length;
    }
    return scores;
  };
}
