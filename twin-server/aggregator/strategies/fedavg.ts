import { rowWeights } from './row-weights.js';
import { PLAIN_PLAN, type Strategy } from './strategy.js';

/**
 * FedAvg, the baseline of arXiv 2601.01701 (McMahan et al., 2017):  Θ^{t+1} = Σ n_k Θ_k / Σ n_k.
 * The twin model takes no part. Ours: weights are the clients' own rows; twin rows mixed in at a client do not count.
 */
export const fedavg: Strategy = {
  name: 'fedavg',
  plan: () => PLAIN_PLAN,
  weights: ({ clients }) => rowWeights(clients),
  integrate: ({ aggregated, twin }) => ({ global: aggregated, twin }),
};
