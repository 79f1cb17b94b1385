import { rvCoefficient } from './rv-coefficient.js';
import { PLAIN_PLAN, type Strategy } from './strategy.js';

/**
 * FPF, federated parameter fusion of arXiv 2601.01701, section II.C, as docs/methods.md states it:
 *   r_k = RV(Θ_k, Θ_tw);  w = softmax(r);  Θ^{t+1} = γ Θ_tw + (1 − γ) Σ w_k Θ_k.
 * The paper's: the RV coefficient, the softmax, the weighted sum, and that γ of 0.3 to 0.4 did best (`rounds.fpf.gamma`, 0.35).
 * Ours: RV per layer's weight matrix [inputs × outputs], averaged over layers and members by their parameters; the softmax's
 * temperature (`rounds.fpf.temperature`, 1); that the twin trains on for `rounds.twinEpochs` before every round; that Θ_tw is not
 * changed by the clients. n_k is of no account, as in the paper. RV is blind to sign: RV(X, −X) = 1, so that a client which turns its
 * parameters round keeps its full weight; only a filter before the weights can tell. Since r lies in [0, 1], at temperature 1 no
 * client counts for more than e times another.
 */
export const fpf: Strategy = {
  name: 'fpf',
  plan: ({ config }) => ({ ...PLAIN_PLAN, twinFit: { from: 'twin', epochs: config.twinEpochs } }),
  weights({ clients, twin, layers, config }) {
    const total = clients.reduce((sum, { rows }) => sum + rows, 0);
    if (!(total > 0)) return { failure: 'zero-weight', detail: `${clients.length} updates have ${total} rows in all` };
    const similarities = clients.map(({ parameters }) => rvCoefficient(parameters, twin, layers));
    return softmax(similarities, config.fpf.temperature);
  },
  integrate({ aggregated, twin, config }) {
    const { gamma } = config.fpf;
    return { global: aggregated.map((value, i) => gamma * twin[i]! + (1 - gamma) * value), twin };
  },
};

/** Not finite where a similarity is not: the mean says so. */
function softmax(similarities: readonly number[], temperature: number): Float64Array {
  const largest = Math.max(...similarities);
  const exponentials = Float64Array.from(similarities, (r) => Math.exp((r - largest) / temperature));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}
