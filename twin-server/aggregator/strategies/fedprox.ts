import { fedavg } from './fedavg.js';
import { PLAIN_PLAN, type Strategy } from './strategy.js';

/**
 * FedProx, the second baseline of arXiv 2601.01701 (Li et al., 2020): clients minimise  loss + μ/2 ‖Θ − Θ^t‖² , then as FedAvg.
 * Ours: the value of μ (`rounds.proximalMu`, 0.01), about which the paper's digest is silent.
 */
export const fedprox: Strategy = {
  name: 'fedprox',
  plan: ({ config }) => ({ ...PLAIN_PLAN, proximalMu: config.proximalMu }),
  weights: fedavg.weights,
  integrate: fedavg.integrate,
};
