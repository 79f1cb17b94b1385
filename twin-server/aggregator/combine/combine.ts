import type { RoundsConfig } from '@twinwatch/core/config/server';
import { krum } from './krum.js';
import { coordinateMedian, trimmedMean } from './trimmed-mean.js';
import { weightedMean } from './weighted-mean.js';

export interface Combined {
  /** Θ_agg. [parameters] */
  readonly aggregated: Float32Array;
  /** Places of those that Krum did not take. */
  readonly passedOver: readonly number[];
  readonly remarks: readonly string[];
}

/**
 * Many into one by the configured rule. All rules but `mean` come to the same whether they are given parameters or their differences to the
 * same base. Where too few are left for Krum's f, the coordinate median takes its place, which withstands as many with fewer; that is remarked.
 *
 * @param vectors [clients][parameters], finite, at least one. @param strategyWeights [clients], 1 in sum.
 */
export function combine(
  vectors: readonly Float32Array[],
  strategyWeights: Float64Array,
  combiner: RoundsConfig['combiner'],
): Combined {
  const equal = new Float64Array(vectors.length).fill(1 / vectors.length);
  const weights = 'weights' in combiner && combiner.weights === 'equal' ? equal : strategyWeights;
  const whole = (aggregated: Float32Array): Combined => ({ aggregated, passedOver: [], remarks: [] });
  switch (combiner.type) {
    case 'mean':
      return whole(weightedMean(vectors, weights));
    case 'median':
      return whole(coordinateMedian(vectors, weights));
    case 'trimmedMean':
      return whole(trimmedMean(vectors, weights, combiner.trim));
    case 'krum':
    case 'multiKrum': {
      const most = vectors.length - combiner.byzantine - 2;
      const taken = krum(vectors, combiner.byzantine, combiner.type === 'krum' ? 1 : (combiner.keep ?? most));
      if (taken === null) {
        const needed = 2 * combiner.byzantine + 3;
        const remark = `${vectors.length} updates are too few for ${combiner.type}, which needs ${needed} against ${combiner.byzantine} hostile ones: their coordinate median was taken`;
        return { aggregated: coordinateMedian(vectors, equal), passedOver: [], remarks: [remark] };
      }
      const total = taken.reduce((sum, k) => sum + weights[k]!, 0);
      const shares = taken.map((k) => (total > 0 ? weights[k]! / total : 1 / taken.length));
      return {
        aggregated: weightedMean(
          taken.map((k) => vectors[k]!),
          shares,
        ),
        passedOver: [...vectors.keys()].filter((k) => !taken.includes(k)),
        remarks: [],
      };
    }
  }
}
