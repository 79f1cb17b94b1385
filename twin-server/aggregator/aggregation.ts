import type {
  AggregationFailure,
  ClientParameters,
  CollectedRound,
  Integrated,
  ServerAnswer,
  ServerQuestion,
  Strategy,
} from './strategies/strategy.js';

/** From the clients' parameters to the next global ones: the strategy's weights → the mean → the strategy's integration of the twin. */

/**
 * @param answer what the server's engine says to a question of the strategy.
 * @returns the next Θ and Θ_tw, or why there are none.
 */
export async function aggregateRound(
  strategy: Strategy,
  round: CollectedRound,
  answer: (question: ServerQuestion) => Promise<ServerAnswer>,
): Promise<Integrated | AggregationFailure> {
  const weights = strategy.weights(round);
  if ('failure' in weights) return weights;
  const aggregated = weightedMean(round.clients, weights, round.global.length);
  if ('failure' in aggregated) return aggregated;
  const integrated = await answered(strategy.integrate({ ...round, aggregated }), answer);
  return notFinite(integrated.global, 'global') ?? notFinite(integrated.twin, 'twin') ?? integrated;
}

/**
 * Θ_agg = Σ w_k Θ_k, summed in double precision.
 *
 * @returns [parameters], or why there is no mean: another number of parameters, a value that is not finite.
 */
function weightedMean(
  clients: readonly ClientParameters[],
  weights: Float64Array,
  length: number,
): Float32Array | AggregationFailure {
  const sum = new Float64Array(length);
  for (const [k, { parameters }] of clients.entries()) {
    if (parameters.length !== length) {
      return { failure: 'wrong-shape', detail: `update ${k} has ${parameters.length} parameters, expected ${length}` };
    }
    const weight = weights[k]!;
    for (let i = 0; i < length; i++) sum[i] = sum[i]! + weight * parameters[i]!;
  }
  const mean = Float32Array.from(sum);
  return notFinite(mean, 'mean') ?? mean;
}

async function answered(
  integration: ReturnType<Strategy['integrate']>,
  answer: (question: ServerQuestion) => Promise<ServerAnswer>,
): Promise<Integrated> {
  if (!('next' in integration)) return integration;
  let step = integration.next();
  while (!step.done) step = integration.next(await answer(step.value));
  return step.value;
}

function notFinite(parameters: Float32Array, what: string): AggregationFailure | null {
  const bad = parameters.findIndex((value) => !Number.isFinite(value));
  return bad < 0 ? null : { failure: 'not-finite', detail: `the ${what} of parameter ${bad} is ${parameters[bad]}` };
}
