export const ADAM_BETA1 = 0.9;
export const ADAM_BETA2 = 0.999;
export const ADAM_EPSILON = 1e-7;

/**
 * Adam (Kingma and Ba 2015, algorithm 1), with ε outside the root and after the bias correction:
 * Θ ← Θ − η · m̂ / (√v̂ + ε). ε is 1e-7, as in TensorFlow.js, so that both engines walk the same path.
 */
export function createAdam(
  count: number,
  learningRate: number,
): (parameters: Float32Array, gradient: Float32Array) => void {
  const first = new Float32Array(count);
  const second = new Float32Array(count);
  let beta1Power = 1;
  let beta2Power = 1;
  return (parameters, gradient) => {
    beta1Power *= ADAM_BETA1;
    beta2Power *= ADAM_BETA2;
    const firstCorrection = 1 / (1 - beta1Power);
    const secondCorrection = 1 / (1 - beta2Power);
    for (let i = 0; i < count; i++) {
      const g = gradient[i]!;
      const m = ADAM_BETA1 * first[i]! + (1 - ADAM_BETA1) * g;
      const v = ADAM_BETA2 * second[i]! + (1 - ADAM_BETA2) * g * g;
      first[i] = m;
      second[i] = v;
      parameters[i]! -= (learningRate * m * firstCorrection) / (Math.sqrt(v * secondCorrection) + ADAM_EPSILON);
    }
  };
}
