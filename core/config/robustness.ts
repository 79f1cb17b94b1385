import { z } from 'zod';
import type { Contradiction, Sound } from './cross-check.js';

/** What happens to the updates of a round between the clients and the strategy: filter → the strategy's weights → combiner → server optimiser. */

const type = <T extends string>(name: T, description: string) => z.literal(name).meta({ description });

const COMBINERS =
  'mean: weighted; median: of each parameter; trimmedMean: of each parameter, without its extremes; krum: the one update nearest to its neighbours; multiKrum: the mean of several such';
const OPTIMIZERS =
  'none: the combined parameters are taken as they are; fedavgm: with momentum; fedadam, fedyogi: with momentum and a step size per parameter';

const weights = z.enum(['strategy', 'equal']).default('strategy').meta({
  description:
    'strategy: an update counts for as much as the method says, most often by its rows, which its sender states; equal: each counts the same',
});
const byzantine = z
  .int()
  .min(1)
  .max(10_000)
  .meta({ description: 'f, hostile updates of a round that are withstood; quorum has to be at least 2·f + 3' });
const learningRate = (usual: number) =>
  z
    .number()
    .gt(0)
    .max(10)
    .default(usual)
    .meta({ description: 'η, of the server’s step; 1 for fedavgm, 0.1 for the others where absent' });
const momentum = z
  .number()
  .min(0)
  .max(0.999)
  .default(0.9)
  .meta({ description: 'β1, of earlier steps kept in this one' });
const adaptive = {
  learningRate: learningRate(0.1),
  momentum,
  secondMomentum: z
    .number()
    .min(0)
    .max(0.9999)
    .default(0.99)
    .meta({ description: 'β2, of earlier squared steps kept in the step size' }),
  adaptivity: z
    .number()
    .min(1e-8)
    .max(1)
    .default(0.001)
    .meta({ description: 'τ, below which a change is as good as none; smaller is more adaptive' }),
};

export const robustnessFields = {
  filter: z
    .strictObject({
      normMultiple: z.number().min(0).max(1_000).default(0).meta({
        description: 'an update larger than this times the round’s median is scaled down to that; 0: as it is',
      }),
      cosine: z.enum(['none', 'twin', 'median']).default('none').meta({
        description:
          'leave out updates that point away from the twin model, or from the round’s median update; the similarity of fpf does not see a sign',
      }),
      minimumCosine: z
        .number()
        .min(-1)
        .max(0.99)
        .default(0)
        .meta({ description: 'cosine below which an update points away' }),
    })
    .prefault({})
    .meta({ description: 'what is done to single updates of a round before they are weighed' }),
  combiner: z
    .discriminatedUnion('type', [
      z.strictObject({ type: type('mean', COMBINERS) }),
      z.strictObject({ type: type('median', COMBINERS), weights }),
      z.strictObject({
        type: type('trimmedMean', COMBINERS),
        weights,
        trim: z
          .number()
          .gt(0)
          .max(0.49)
          .default(0.3)
          .meta({ description: 'share cut off at each end; withstands that share of hostile updates' }),
      }),
      z.strictObject({ type: type('krum', COMBINERS), byzantine }),
      z.strictObject({
        type: type('multiKrum', COMBINERS),
        weights,
        byzantine,
        keep: z
          .int()
          .min(1)
          .max(100_000)
          .optional()
          .meta({ description: 'updates that are averaged; n − f − 2 of n, and never more, where absent' }),
      }),
    ])
    .prefault({ type: 'mean' })
    .meta({ description: 'how the updates of a round become one' }),
  serverOptimizer: z
    .discriminatedUnion('type', [
      z.strictObject({ type: type('none', OPTIMIZERS) }),
      z.strictObject({ type: type('fedavgm', OPTIMIZERS), learningRate: learningRate(1), momentum }),
      z.strictObject({ type: type('fedadam', OPTIMIZERS), ...adaptive }),
      z.strictObject({ type: type('fedyogi', OPTIMIZERS), ...adaptive }),
    ])
    .prefault({ type: 'none' })
    .meta({ description: 'how the server steps from the parameters sent down towards the combined ones' }),
  defence: z
    .strictObject({
      normRatio: z.number().min(0).max(1_000_000).default(20).meta({
        description:
          'an update whose norm is more than this times the median of those accepted lately is refused; 0: only maximumUpdateNorm holds',
      }),
      rowsRatio: z.number().min(0).max(1_000_000).default(4).meta({
        description:
          'an update of more rows than this times what its agent announced, or times minimumRows, is refused; 0: only maximumUpdateRows holds',
      }),
      quarantineAfter: z.int().min(0).max(32).default(3).meta({
        description:
          'tasks answered with updates that were refused, less those accepted since, after which an agent is asked no more until an operator says so; 0: never',
      }),
    })
    .prefault({})
    .meta({ description: 'when an update is refused, and its agent with it' }),
};

/** Methods for which the direction of the twin model says nothing, and why. */
const WITHOUT_TWIN_DIRECTION: ReadonlyMap<string, string> = new Map([
  ...['fedavg', 'fedprox', 'dtml', 'dtkd'].map((method) => [method, `${method} trains no twin model`] as const),
  ['cwa', 'in cwa clients start from the twin model in one round and leave it behind in the next'],
]);

interface Checked {
  readonly method?: string;
  readonly quorum?: number;
  readonly filter?: { readonly cosine?: string };
  readonly combiner?: { readonly type?: string; readonly byzantine?: number };
}

/** @param sound the `rounds` block. */
export function* robustnessContradictions({
  method,
  quorum,
  filter,
  combiner,
}: Sound<Checked>): Generator<Contradiction> {
  const f = combiner?.byzantine;
  if (f !== undefined && quorum !== undefined && quorum < 2 * f + 3)
    yield {
      path: ['combiner', 'byzantine'],
      message: `is too many for a quorum of ${quorum}: Krum takes at least ${2 * f + 3} updates against ${f} hostile ones; set rounds.quorum to ${2 * f + 3} or more, or byzantine to less`,
    };
  const pointless = WITHOUT_TWIN_DIRECTION.get(method ?? '');
  if (filter?.cosine === 'twin' && pointless !== undefined)
    yield {
      path: ['filter', 'cosine'],
      message: `has nothing to compare with, since ${pointless}; write median`,
    };
}
