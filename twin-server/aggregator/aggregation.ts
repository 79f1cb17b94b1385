import { combine } from './combine/combine.js';
import { filterUpdates } from './combine/filter.js';
import { type Momenta, serverStep } from './combine/server-optimizer.js';
import type {
  AggregationFailure,
  ClientParameters,
  CollectedRound,
  Integrated,
  ServerAnswer,
  ServerQuestion,
  Strategy,
} from './strategies/strategy.js';

/** From the clients' parameters to the next global ones: filter → the strategy's weights → combiner → server optimiser → the strategy's integration of the twin. */

/** What a round goes on from, beside Θ^t and Θ_tw. */
export interface SentDown {
  /** What the clients started from: Θ^t, or Θ_tw where the strategy sent that. [parameters] */
  readonly base: Float32Array;
  /** Of the server optimiser, null before its first step. */
  readonly momenta: Momenta | null;
}

export interface AggregatedOutcome extends Integrated {
  /** Null where there is no server optimiser. */
  readonly momenta: Momenta | null;
  /** Clients whose update the filter or Krum left out, and why. */
  readonly leftOut: readonly LeftOut[];
  /** What was done otherwise than configured, in words. */
  readonly remarks: readonly string[];
}

export interface LeftOut {
  readonly agent: string;
  readonly detail: string;
}

/**
 * @param answer what the server's engine says to a question of the strategy.
 * @returns the next Θ and Θ_tw, or why there are none.
 */
export async function aggregateRound(
  strategy: Strategy,
  round: CollectedRound,
  answer: (question: ServerQuestion) => Promise<ServerAnswer>,
  { base, momenta }: SentDown = { base: round.global, momenta: null },
): Promise<AggregatedOutcome | AggregationFailure> {
  const unfit = unfitUpdate(round.clients, base.length);
  if (unfit !== null) return unfit;
  const { filter, combiner, serverOptimizer } = round.config;
  const filtered = filteredClients(round, base);
  if (filtered.clients.length === 0 && round.clients.length > 0) {
    const detail = `rounds.filter left out all of ${round.clients.length} updates: ${filtered.leftOut[0]?.detail}; lower filter.minimumCosine from ${filter.minimumCosine}, or compare with the median`;
    return { failure: 'nobody-left', detail };
  }
  const { clients } = filtered;
  const weights = strategy.weights({ ...round, clients });
  if ('failure' in weights) return weights;
  const vectors = clients.map(({ parameters }) => parameters);
  const { aggregated: combined, passedOver, remarks } = combine(vectors, weights, combiner);
  const { parameters: aggregated, after } = serverStep(base, combined, momenta, serverOptimizer);
  const bad = notFinite(aggregated, 'aggregate');
  if (bad !== null) return bad;
  // Whom the combiner passed over has no say in the twin's step either, as in DTML's gradient.
  const heard = clients.filter((_, k) => !passedOver.includes(k));
  const integrated = await answered(strategy.integrate({ ...round, clients: heard, aggregated }), answer);
  const wrong = notFinite(integrated.global, 'global') ?? notFinite(integrated.twin, 'twin');
  if (wrong !== null) return wrong;
  const passed = passedOver.map((k) => ({ agent: clients[k]!.agent, detail: `${combiner.type} took others` }));
  return {
    ...integrated,
    momenta: after,
    leftOut: [...filtered.leftOut, ...passed],
    remarks: [...filtered.remarks, ...remarks],
  };
}

function filteredClients(
  { clients, twin, config: { filter } }: CollectedRound,
  base: Float32Array,
): { clients: readonly ClientParameters[]; leftOut: readonly LeftOut[]; remarks: readonly string[] } {
  if (filter.cosine === 'none' && filter.normMultiple === 0) return { clients, leftOut: [], remarks: [] };
  const updates = clients.map(({ parameters }) => parameters.map((value, i) => value - base[i]!));
  // What no client sends has no say in a comparison of directions: layers that LPE takes from the twin.
  const towardsTwin = twin.map((value, i) => (updates.some((update) => update[i] !== 0) ? value - base[i]! : 0));
  const { kept, leftOut, remarks } = filterUpdates(updates, towardsTwin, filter);
  return {
    clients: kept.map(({ place, update }) => {
      const client = clients[place]!;
      if (update === updates[place]) return client;
      return { ...client, parameters: update.map((change, i) => base[i]! + change) };
    }),
    leftOut: leftOut.map(({ place, detail }) => ({ agent: clients[place]!.agent, detail })),
    remarks,
  };
}

function unfitUpdate(clients: readonly ClientParameters[], length: number): AggregationFailure | null {
  for (const [k, { parameters }] of clients.entries()) {
    if (parameters.length !== length) {
      return { failure: 'wrong-shape', detail: `update ${k} has ${parameters.length} parameters, expected ${length}` };
    }
    const bad = notFinite(parameters, `update ${k}`);
    if (bad !== null) return bad;
  }
  return null;
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
  return bad < 0 ? null : { failure: 'not-finite', detail: `in the ${what}, parameter ${bad} is ${parameters[bad]}` };
}
