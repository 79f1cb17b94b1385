import { createRandom, type Random } from '@twinwatch/core/learning/random';
import type { PartitionConfig } from './experiment-config.js';

/** What rows are dealt out by. [rows] each, rows in the order of time within a site. */
export interface DealtRows {
  /** Kind of attack, '' for a normal row. */
  readonly kinds: readonly string[];
  readonly sites: ArrayLike<number>;
  readonly timesMs: ArrayLike<number>;
}

/** Row numbers of every client, ascending; a client may have none. The same seed deals the same way. */
export function dealRows(rows: DealtRows, clients: number, partition: PartitionConfig, seed: number): number[][] {
  const random = createRandom(`${seed}:partition`);
  const dealt = deal(rows, clients, partition, random);
  for (const own of dealt) own.sort((a, b) => a - b);
  return dealt;
}

function deal(rows: DealtRows, clients: number, partition: PartitionConfig, random: Random): number[][] {
  const all = rows.kinds.map((_, row) => row);
  switch (partition.kind) {
    case 'iid':
      return sliced(random.shuffle(all), evenShares(clients));
    case 'time':
      return sliced(
        all.sort((a, b) => rows.timesMs[a]! - rows.timesMs[b]! || a - b),
        evenShares(clients),
      );
    case 'site':
      return Array.from({ length: clients }, (_, k) => all.filter((row) => rows.sites[row]! % clients === k));
    case 'dirichlet': {
      const dealt: number[][] = Array.from({ length: clients }, () => []);
      for (const kind of [...new Set(rows.kinds)].sort()) {
        const own = random.shuffle(all.filter((row) => rows.kinds[row] === kind));
        const parts = sliced(own, dirichlet(clients, partition.alpha, random));
        for (const [k, part] of parts.entries()) dealt[k]!.push(...part);
      }
      return dealt;
    }
  }
}

const evenShares = (count: number): number[] => new Array<number>(count).fill(1 / count);

/** `items` cut into one piece for each share, which are 1 in sum. */
function sliced(items: readonly number[], shares: readonly number[]): number[][] {
  let sum = 0;
  let from = 0;
  return shares.map((share, i) => {
    sum += share;
    const to = i === shares.length - 1 ? items.length : Math.round(sum * items.length);
    const piece = items.slice(from, to);
    from = to;
    return piece;
  });
}

/** A draw from the symmetric Dirichlet distribution: gamma variates, normalised. [count], 1 in sum. */
export function dirichlet(count: number, alpha: number, random: Random): number[] {
  const logs = Array.from({ length: count }, () => logGamma(alpha, random));
  const largest = Math.max(...logs);
  const draws = logs.map((log) => Math.exp(log - largest));
  const sum = draws.reduce((total, value) => total + value, 0);
  return draws.map((value) => value / sum);
}

/** Logarithm of a gamma variate (Marsaglia and Tsang 2000; below shape 1 by way of shape + 1): for small shapes the variate itself would be 0. */
function logGamma(shape: number, random: Random): number {
  if (shape < 1) return logGamma(shape + 1, random) + Math.log(1 - random.next()) / shape;
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random.next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return Math.log(d * v);
  }
}
