import type { RoundsConfig } from '@twinwatch/core/config/server';

/**
 * A learning method: pure, parameters in, parameters or a typed failure out. It knows neither MQTT nor time.
 * `t` counts rounds from 0, as METHODS.md does; Θ^t are the global parameters before round t, Θ_tw the twin model's.
 */
export interface Strategy {
  readonly name: RoundsConfig['method'];
  plan(before: BeforeRound): RoundPlan;
  aggregate(round: CollectedRound): Aggregated | AggregationFailure;
}

export type MethodConfig = Pick<RoundsConfig, 'proximalMu' | 'twinEpochs'>;

interface BeforeRound {
  readonly t: number;
  readonly config: MethodConfig;
}

/** What happens before clients are asked, and what they start from. */
export interface RoundPlan {
  /** Train on the twin's rows first, and keep the result as Θ_tw; null to leave Θ_tw as it is. */
  readonly twinFit: { readonly from: 'twin' | 'global'; readonly epochs: number } | null;
  /** What goes down to the clients, Θ^t or Θ_tw. */
  readonly send: 'global' | 'twin';
  /** Weight of the proximal term in the clients' loss, 0 for none. */
  readonly proximalMu: number;
}

export interface CollectedRound {
  readonly t: number;
  readonly global: Float32Array;
  readonly twin: Float32Array;
  readonly updates: readonly ClientParameters[];
  readonly config: MethodConfig;
}

export interface ClientParameters {
  /** Θ_k after local training; layers the client did not send hold what was sent down to it. */
  readonly parameters: Float32Array;
  /** n_k. */
  readonly rows: number;
}

export interface Aggregated {
  readonly global: Float32Array;
  readonly twin: Float32Array;
}

export interface AggregationFailure {
  readonly failure: 'zero-weight' | 'not-finite' | 'wrong-shape';
  readonly detail: string;
}
