import { rowWeights } from './row-weights.js';
import { PLAIN_PLAN, type Strategy } from './strategy.js';

/**
 * CWA, cyclic weight adaptation of arXiv 2601.01701, as docs/methods.md states it:
 *   even t: clients fit from Θ^t;                          Θ^{t+1} = Θ_agg,  Θ_tw ← Θ_agg
 *   odd t:  Θ_tw ← fit(Θ_tw, D_tw); clients fit from Θ_tw;  Θ^{t+1} = Θ_agg
 * Ours: the twin's epochs per odd round (`rounds.twinEpochs`), that Θ_tw starts equal to Θ^0, and that the twin model is
 * sent to the clients in place of Θ^t, not beside it, so that a round moves one set of parameters each way.
 */
export const cwa: Strategy = {
  name: 'cwa',
  plan: ({ t, config }) =>
    t % 2 === 0 ? PLAIN_PLAN : { ...PLAIN_PLAN, twinFit: { from: 'twin', epochs: config.twinEpochs }, send: 'twin' },
  weights: ({ clients }) => rowWeights(clients),
  integrate: ({ t, aggregated, twin }) => ({ global: aggregated, twin: t % 2 === 0 ? aggregated : twin }),
};
