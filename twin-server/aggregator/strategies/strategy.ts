import type { RoundsConfig } from '@twinwatch/core/config/server';
import type { LayerSlice } from '@twinwatch/core/learning/network';

/**
 * A learning method: pure, parameters in, parameters or a typed failure out. It knows neither MQTT nor time, nor an engine:
 * what the server has to compute for it, it asks for. `t` counts rounds from 0, as docs/methods.md does; Θ^t are the global
 * parameters before round t, Θ_tw the twin model's, Θ_k a client's. The clients of a round come sorted by their agent id.
 */
export interface Strategy {
  readonly name: RoundsConfig['method'];
  plan(before: BeforeRound): RoundPlan;
  /** [clients], at least 0 and 1 in sum: what each client counts for in Θ_agg. */
  weights(round: CollectedRound): Float64Array | AggregationFailure;
  /** Θ^{t+1} and Θ_tw from Θ_agg: at once, or after answers from the server. */
  integrate(round: AggregatedRound): Integrated | Integration;
}

export type MethodConfig = Pick<RoundsConfig, 'proximalMu' | 'twinEpochs' | 'dtkd' | 'dtml' | 'fpf' | 'lpe'>;

/** What is done to the updates around a strategy; none of a strategy's business. */
type RobustnessConfig = Pick<RoundsConfig, 'filter' | 'combiner' | 'serverOptimizer'>;

interface BeforeRound {
  readonly t: number;
  readonly config: MethodConfig;
  /** Of one network, the output layer included. */
  readonly layerCount: number;
}

/** What happens before clients are asked, and what they start from. */
export interface RoundPlan {
  /** Train on the twin's rows first, and keep the result as Θ_tw; null to leave Θ_tw as it is. */
  readonly twinFit: { readonly from: 'twin' | 'global'; readonly epochs: number } | null;
  /** What goes down to the clients, Θ^t or Θ_tw. */
  readonly send: 'global' | 'twin';
  /** Weight of the proximal term in the clients' loss, 0 for none. */
  readonly proximalMu: number;
  /** Layers that clients send back, lowest first, in every member; every layer where null. */
  readonly layerMask: readonly boolean[] | null;
  /** Train a teacher on the twin's rows, from Θ_tw and once in a run, and let clients learn from it; null for none. */
  readonly teacher: { readonly epochs: number } | null;
}

/** Nothing but fits of the clients from Θ^t: what a method's plan differs from. */
export const PLAIN_PLAN: RoundPlan = { twinFit: null, send: 'global', proximalMu: 0, layerMask: null, teacher: null };

export interface CollectedRound {
  readonly t: number;
  readonly config: MethodConfig & RobustnessConfig;
  /** Where each layer of each member lies in the parameters. */
  readonly layers: readonly LayerSlice[];
  /** Θ^t. [parameters] */
  readonly global: Float32Array;
  /** Θ_tw. [parameters] */
  readonly twin: Float32Array;
  readonly clients: readonly ClientParameters[];
}

export interface ClientParameters {
  readonly agent: string;
  /** Θ_k after local training; layers the client did not send hold what was sent down to it. */
  readonly parameters: Float32Array;
  /** n_k. */
  readonly rows: number;
}

export interface AggregatedRound extends CollectedRound {
  /** Θ_agg, as combined and stepped to by the server. [parameters] */
  readonly aggregated: Float32Array;
}

/** The same array for both where they are the same. */
export interface Integrated {
  readonly global: Float32Array;
  readonly twin: Float32Array;
}

/** An integration that waits for answers of the server's own engine, which depend on nothing but what is asked. */
export type Integration = Generator<ServerQuestion, Integrated, ServerAnswer>;

/** L_tw at these parameters: its mean over the twin's validation rows, or its gradient over the twin's training rows. */
export interface ServerQuestion {
  readonly wanted: 'validation-loss' | 'training-gradient';
  readonly at: Float32Array;
}

/** The loss, or the gradient. [parameters] */
export type ServerAnswer = number | Float32Array;

/** Asks for L_tw over the twin's validation rows: `const loss = yield* validationLoss(at)`. */
export function* validationLoss(at: Float32Array): Generator<ServerQuestion, number, ServerAnswer> {
  return (yield { wanted: 'validation-loss', at }) as number;
}

/** Asks for ∇L_tw over the twin's training rows. [parameters] */
export function* trainingGradient(at: Float32Array): Generator<ServerQuestion, Float32Array, ServerAnswer> {
  return (yield { wanted: 'training-gradient', at }) as Float32Array;
}

export interface AggregationFailure {
  readonly failure: 'zero-weight' | 'not-finite' | 'wrong-shape' | 'nobody-left';
  readonly detail: string;
}
