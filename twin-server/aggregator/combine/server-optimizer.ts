import type { RoundsConfig } from '@twinwatch/core/config/server';

/** What a server optimiser remembers from round to round, as it is kept: float32, so that a restart goes on with the same digits. */
export interface Momenta {
  /** m, the momentum. [parameters] */
  readonly first: Float32Array;
  /** v, of squares. [parameters]; empty for fedavgm. */
  readonly second: Float32Array;
}

/**
 * One step of the server from what was sent down, x, towards what the clients came to; Δ = Θ_agg − x is the pseudo-gradient.
 *   fedavgm (Hsu et al., 2019):            m ← β₁ m + Δ;               x ← x + η m
 *   fedadam, fedyogi (Reddi et al., 2021):  m ← β₁ m + (1 − β₁) Δ;      x ← x + η m / (√v + τ)
 *     fedadam: v ← β₂ v + (1 − β₂) Δ²;      fedyogi: v ← v − (1 − β₂) Δ² sign(v − Δ²)
 * The papers': these equations, m₋₁ = 0, v₋₁ = τ², no bias correction. Ours: that x is what was sent down, which in odd rounds of CWA is
 * Θ_tw and not Θ^t. Only the step's result reaches the strategy, as its Θ_agg.
 *
 * @param base x. [parameters] @param aggregated [parameters] @param before null before the first step. @returns after null for none.
 */
export function serverStep(
  base: Float32Array,
  aggregated: Float32Array,
  before: Momenta | null,
  optimizer: RoundsConfig['serverOptimizer'],
): { readonly parameters: Float32Array; readonly after: Momenta | null } {
  if (optimizer.type === 'none') return { parameters: aggregated, after: null };
  const count = base.length;
  const first = new Float32Array(count);
  const parameters = new Float32Array(count);
  const { learningRate, momentum } = optimizer;
  if (optimizer.type === 'fedavgm') {
    for (let i = 0; i < count; i++) {
      first[i] = momentum * (before?.first[i] ?? 0) + (aggregated[i]! - base[i]!);
      parameters[i] = base[i]! + learningRate * first[i]!;
    }
    return { parameters, after: { first, second: new Float32Array() } };
  }
  const { secondMomentum, adaptivity } = optimizer;
  const second = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const change = aggregated[i]! - base[i]!;
    const square = change * change;
    const v = before?.second[i] ?? adaptivity * adaptivity;
    first[i] = momentum * (before?.first[i] ?? 0) + (1 - momentum) * change;
    second[i] =
      optimizer.type === 'fedadam'
        ? secondMomentum * v + (1 - secondMomentum) * square
        : v - (1 - secondMomentum) * square * Math.sign(v - square);
    parameters[i] = base[i]! + (learningRate * first[i]!) / (Math.sqrt(second[i]!) + adaptivity);
  }
  return { parameters, after: { first, second } };
}
