import { rowWeights } from './row-weights.js';
import {
  type AggregatedRound,
  type Integration,
  type MethodConfig,
  PLAIN_PLAN,
  type Strategy,
  validationLoss,
} from './strategy.js';

/**
 * LPE, layer-wise parameter exchange of arXiv 2601.01701, section II.D, as docs/methods.md states it: per layer l, by an exchange map,
 *   twin → global:  Θ_l^{t+1} = Θ_tw,l        global → twin:  Θ_l^{t+1} = Θ_agg,l,  Θ_tw,l ← Θ_agg,l
 * and then the twin goes on training on D_tw. The paper's: the baseline policy, lower layers from the twin and upper ones from the
 * clients, and the reversed one as an ablation. Ours: where lower ends (`rounds.lpe.lowerLayers`; half of the layers, rounded up, but
 * never all), the custom map, that every member of an ensemble follows the same map, that clients send only the layers that are taken
 * from them, and that the twin goes on for `rounds.twinEpochs` at the beginning of the next round, the first one included.
 *
 * Adaptive (the paper's open question; all of it ours): clients send every layer, and each round chooses anew, from what a server
 * has: the twin's validation loss, and, in place of a validation loss of the clients, which they do not publish, which way they moved.
 *   alignment: the twin's layer where cos(Θ_agg,l − Θ_l^t, Θ_tw,l − Θ_l^t) ≥ 0, over all members; both set out from Θ^t.
 *   loss: beginning with the baseline map, layer by layer from the lowest, the direction with the lower validation loss.
 *   both: as loss, where only layers that are aligned may come from the twin.
 */
export const lpe: Strategy = {
  name: 'lpe',
  plan: ({ config, layerCount }) => ({
    ...PLAIN_PLAN,
    twinFit: { from: 'twin', epochs: config.twinEpochs },
    layerMask: config.lpe.policy === 'adaptive' ? null : maskOf(exchangeMap(config, layerCount)),
  }),
  weights: ({ clients }) => rowWeights(clients),
  integrate(round) {
    if (round.config.lpe.policy === 'adaptive') return adapt(round);
    const global = exchanged(round, exchangeMap(round.config, layerCountOf(round)));
    return { global, twin: global };
  },
};

/** [layers] true where the twin's parameters are taken. */
type FromTwin = readonly boolean[];

function exchangeMap({ lpe: { policy, lowerLayers, map } }: MethodConfig, layerCount: number): FromTwin {
  const lower = lowerLayers ?? Math.min(layerCount - 1, Math.ceil(layerCount / 2));
  return Array.from({ length: layerCount }, (_, layer) => {
    if (policy === 'custom') return map?.[layer] === 'twin';
    return policy === 'reversed' ? layer >= lower : layer < lower;
  });
}

/** Null, for every layer, where the map takes none or all of them from the clients. */
function maskOf(fromTwin: FromTwin): readonly boolean[] | null {
  return fromTwin.every((from) => from === fromTwin[0]) ? null : fromTwin.map((from) => !from);
}

/** What both Θ^{t+1} and Θ_tw become: after the exchange each layer is the same in both. */
function exchanged({ aggregated, twin, layers }: AggregatedRound, fromTwin: FromTwin): Float32Array {
  const result = aggregated.slice();
  for (const { layer, weightOffset, biasOffset, outputs } of layers) {
    const end = biasOffset + outputs;
    if (fromTwin[layer]) result.set(twin.subarray(weightOffset, end), weightOffset);
  }
  return result;
}

function* adapt(round: AggregatedRound): Integration {
  const layerCount = layerCountOf(round);
  const { adaptBy } = round.config.lpe;
  const mayBeTwins = Array.from({ length: layerCount }, (_, layer) => adaptBy === 'loss' || isAligned(round, layer));
  let chosen: FromTwin = mayBeTwins;
  if (adaptBy !== 'alignment') {
    chosen = exchangeMap(round.config, layerCount).map((from, layer) => from && mayBeTwins[layer]!);
    let least = yield* validationLoss(exchanged(round, chosen));
    for (const [layer, allowed] of mayBeTwins.entries()) {
      if (!allowed) continue;
      const flipped = chosen.with(layer, !chosen[layer]);
      const loss = yield* validationLoss(exchanged(round, flipped));
      if (loss < least) [chosen, least] = [flipped, loss];
    }
  }
  const global = exchanged(round, chosen);
  return { global, twin: global };
}

/** Whether twin and clients moved this layer, seen over all members, into the same half-space. */
function isAligned({ aggregated, twin, global, layers }: AggregatedRound, of: number): boolean {
  let product = 0;
  for (const { layer, weightOffset, biasOffset, outputs } of layers) {
    if (layer !== of) continue;
    for (let i = weightOffset; i < biasOffset + outputs; i++) {
      product += (aggregated[i]! - global[i]!) * (twin[i]! - global[i]!);
    }
  }
  return product >= 0;
}

function layerCountOf({ layers }: AggregatedRound): number {
  return 1 + layers.reduce((highest, { layer }) => Math.max(highest, layer), 0);
}
