import type { AggregationFailure, ClientParameters } from './strategy.js';

/** n_k / Σ n_k. [clients], or why there is none: no rows at all. */
export function rowWeights(clients: readonly ClientParameters[]): Float64Array | AggregationFailure {
  const total = clients.reduce((sum, client) => sum + client.rows, 0);
  if (!(total > 0) || !Number.isFinite(total)) {
    return { failure: 'zero-weight', detail: `${clients.length} updates have ${total} rows in all` };
  }
  return Float64Array.from(clients, ({ rows }) => rows / total);
}
