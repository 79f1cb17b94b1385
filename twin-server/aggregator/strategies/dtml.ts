import { rowWeights } from './row-weights.js';
import { PLAIN_PLAN, type Strategy, trainingGradient, validationLoss } from './strategy.js';

/**
 * DTML, digital-twin meta-learning of arXiv 2601.01701, section II.B, in the first-order form that docs/methods.md gives it:
 *   Θ^{t+1} = Θ_agg − β · mean_k ∇L_tw(Θ_k)
 * The clients' local training is the inner adaptation, the twin's rows are the query set. The paper's: that the clients adapt and the
 * twin's loss at what they adapted to moves the global parameters, and that under uneven data these gradients may pull apart. Ours: β
 * (`rounds.dtml.beta`, 0.1), the gradient over all of the twin's training rows, the plain mean over clients whatever their rows, and
 * the controls, all off by default: the mean gradient is clipped to a norm (`clipNorm`); the step shrinks as β / (1 + decay · t)
 * (`decay`); a step that raises the loss on the twin's validation rows is left out, and Θ^{t+1} = Θ_agg (`skipRising`).
 */
export const dtml: Strategy = {
  name: 'dtml',
  plan: () => PLAIN_PLAN,
  weights: ({ clients }) => rowWeights(clients),
  *integrate({ t, aggregated, twin, clients, config }) {
    const { beta, clipNorm, decay, skipRising } = config.dtml;
    const mean = new Float64Array(aggregated.length);
    for (const { parameters } of clients) {
      const gradient = yield* trainingGradient(parameters);
      for (const [i, value] of gradient.entries()) mean[i]! += value / clients.length;
    }
    const norm = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0));
    const scale = clipNorm === undefined || norm <= clipNorm ? 1 : clipNorm / norm;
    const step = (beta / (1 + decay * t)) * scale;
    const stepped = aggregated.map((value, i) => value - step * mean[i]!);
    if (!skipRising) return { global: stepped, twin };
    const [before, after] = [yield* validationLoss(aggregated), yield* validationLoss(stepped)];
    return { global: after > before ? aggregated : stepped, twin };
  },
};
