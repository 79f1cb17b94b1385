import { TwinwatchError } from '@twinwatch/core/errors';
import type { ExpandedFeature, UnfittedResidual } from '@twinwatch/core/features/patterns';
import type { FeatureSchema, FeatureSpec, ResidualSpec, ResidualTerm } from '@twinwatch/core/features/spec';
import type { TwinEpisode } from '../twin/twin-source.js';
import { centredProducts, chooseTerms } from './ridge.js';

/**
 * The expectations behind residual features: ridge regression of a tag, or of its change, on other tags and the time of day.
 *
 * All of this is ours. It is fitted on normal rows of the twin's training episodes alone: clients' rows never come here, and what a
 * site has of its own (offset, spread) is taken up by the scaler, which comes from its rows. Regressors are standardised, so that
 * one penalty serves metres and litres. A tag that never moved in normal running cannot explain anything: a weight on its noise would
 * explode with its first real movement. Terms are taken, the most telling first, until little more stays unexplained than with
 * all of them: the schema travels to every agent, and a term that is not there cannot go wrong.
 */

/** Share of the variance of a regressor: small against any term worth having, large against rounding and near-copies. */
const PENALTY = 1e-3;
/** What the terms that are left out may add, all together, to the variance that stays unexplained. */
const TOLERANCE = 0.02;
/** Unexplained deviation, in units of what the tag resolves, that is not worth a term. */
const NEGLIGIBLE_RESOLUTION = 0.05;
/** Per residual, whatever they explain. */
const MAXIMUM_TERMS = 40;
/** Evenly spaced ones of more: some dozens of weights need no more, and the server has other things to do. */
const MAXIMUM_ROWS = 40_000;
const WEIGHT_DIGITS = 6;
const GAP_INTERVALS = 1.5;
const DAY_MS = 86_400_000;

type Facts = Pick<FeatureSchema, 'tags' | 'intervalMs'>;

/** A number that every row has: a term's, an hour's, or what is to be explained. */
interface Column {
  readonly tag: number;
  readonly rowsAgo: number;
  readonly kind: 'value' | 'square' | 'change' | 'sine' | 'cosine';
  /** Of sine and cosine. */
  readonly harmonic: number;
}

/**
 * @param episodes of the twin's training side; rows under attack, excluded, or not good are left out, and so are rows that would look back at one.
 * @throws TwinwatchError LEARNER_NO_ATTACKS where there is a residual and no such row.
 */
export function fitExpectations(
  features: readonly ExpandedFeature[],
  facts: Facts,
  episodes: readonly Pick<TwinEpisode, 'rows' | 'labels' | 'excluded'>[],
): FeatureSpec[] {
  const unfitted = features.filter((feature): feature is UnfittedResidual => feature.type === 'residual');
  if (unfitted.length === 0) return features.filter((feature) => feature.type !== 'residual');

  const columns = new Columns(facts);
  for (const { tag, of, candidates, harmonics } of unfitted) {
    columns.ofTarget(tag, of);
    for (const term of candidates) {
      columns.ofTerm(term);
      columns.ofTerm({ ...term, rowsAgo: 0, power: 1 });
    }
    for (let k = 0; k < 2 * harmonics; k++) columns.ofHour(k);
  }
  const rows = columns.rows(episodes);
  if (rows.length === 0) {
    throw new TwinwatchError(
      'LEARNER_NO_ATTACKS',
      'The twin has no normal row that residual features could be fitted to; raise twin.episodes or lower twin.attackShare',
      { context: { episodes: episodes.length } },
    );
  }
  const { means, products } = centredProducts(rows);
  const deviation = (column: number): number => Math.sqrt(products[column]![column]! / rows.length);
  const resolution = new Map(facts.tags.map(({ name, kind, resolution: step }) => [name, { kind, step }]));
  const moves = ({ tag }: Pick<ResidualTerm, 'tag'>): boolean => {
    const { kind, step } = resolution.get(tag)!;
    const least = kind === 'status' ? 0 : step;
    return deviation(columns.ofTerm({ tag, rowsAgo: 0, power: 1 })) > least;
  };

  const fit = ({ type, tag, of, candidates, harmonics, windows }: UnfittedResidual): ResidualSpec => {
    const target = columns.ofTarget(tag, of);
    const terms = candidates.filter((term) => moves(term) && deviation(columns.ofTerm(term)) > 0);
    const hourColumns = Array.from({ length: 2 * harmonics }, (_, k) => columns.ofHour(k));
    const chosen = [...terms.map((term) => columns.ofTerm(term)), ...hourColumns.filter((hour) => deviation(hour) > 0)];
    const negligible = NEGLIGIBLE_RESOLUTION * resolution.get(tag)!.step;
    const weights = standardised(products, chosen, target, (negligible / deviation(target)) ** 2);
    const rounded = (column: number): number => Number((weights.get(column) ?? 0).toPrecision(WEIGHT_DIGITS));
    const fitted = terms
      .map((term) => ({ ...term, weight: rounded(columns.ofTerm(term)) }))
      .filter(({ weight }) => weight !== 0);
    const hours = hourColumns.map(rounded);
    while (hours.length > 0 && hours.at(-1) === 0) hours.pop();
    const explained = [
      ...fitted.map((term) => term.weight * means[columns.ofTerm(term)]!),
      ...hours.map((weight, k) => weight * means[hourColumns[k]!]!),
    ].reduce((sum, part) => sum + part, 0);
    const offset = Number((means[target]! - explained).toPrecision(WEIGHT_DIGITS));
    return { type, tag, of, terms: fitted, hours, offset, windows };
  };
  return features.map((feature) => (feature.type === 'residual' ? fit(feature) : feature));
}

/** Column → weight in the units of the plant; columns that were not chosen are not in it. */
function standardised(
  products: readonly Float64Array[],
  columns: readonly number[],
  target: number,
  negligibleShare: number,
): ReadonlyMap<number, number> {
  const norm = (column: number): number => Math.sqrt(products[column]![column]!);
  if (norm(target) === 0 || columns.length === 0) return new Map();
  const correlation = (a: number, b: number): number =>
    products[Math.max(a, b)]![Math.min(a, b)]! / (norm(a) * norm(b));
  const matrix = columns.map((a) => Float64Array.from(columns, (b) => correlation(a, b)));
  const answer = Float64Array.from(columns, (a) => correlation(a, target));
  const weights = chooseTerms(
    matrix,
    answer,
    PENALTY,
    ({ terms, unexplained, unexplainedByAll }) =>
      terms >= MAXIMUM_TERMS || unexplained <= Math.max((1 + TOLERANCE) * unexplainedByAll, negligibleShare),
  );
  return new Map(
    [...weights].map(([i, weight]) => [columns[i]!, (weight * norm(target)) / norm(columns[i]!)] as const),
  );
}

class Columns {
  readonly #index = new Map<string, number>();
  readonly #list: Column[] = [];
  readonly #tags: ReadonlyMap<string, number>;
  readonly #intervalMs: number;

  constructor({ tags, intervalMs }: Facts) {
    this.#tags = new Map(tags.map(({ name }, i) => [name, i]));
    this.#intervalMs = intervalMs;
  }

  ofTarget(tag: string, of: ResidualSpec['of']): number {
    return this.#of({ tag: this.#tags.get(tag)!, rowsAgo: 0, kind: of, harmonic: 0 });
  }

  ofTerm({ tag, rowsAgo, power }: Omit<ResidualTerm, 'weight'>): number {
    return this.#of({ tag: this.#tags.get(tag)!, rowsAgo, kind: power === 2 ? 'square' : 'value', harmonic: 0 });
  }

  /** @param k place among sin1, cos1, sin2, cos2 … */
  ofHour(k: number): number {
    return this.#of({ tag: -1, rowsAgo: 0, kind: k % 2 === 0 ? 'sine' : 'cosine', harmonic: 1 + Math.floor(k / 2) });
  }

  /** Every column's number in every row that is fitted to. */
  rows(episodes: readonly Pick<TwinEpisode, 'rows' | 'labels' | 'excluded'>[]): Float64Array[] {
    const lookBack = Math.max(...this.#list.map(({ kind, rowsAgo }) => (kind === 'change' ? 1 : rowsAgo)));
    const usable: (readonly [Pick<TwinEpisode, 'rows'>, number])[] = [];
    for (const episode of episodes) {
      let run = 0;
      for (const [i, row] of episode.rows.entries()) {
        const sinceMs = i === 0 ? this.#intervalMs : row.timeMs - episode.rows[i - 1]!.timeMs;
        if (sinceMs <= 0 || sinceMs > GAP_INTERVALS * this.#intervalMs) run = 0;
        run = episode.labels[i] === 0 && episode.excluded[i] !== 1 ? run + 1 : 0;
        if (run > lookBack) usable.push([episode, i]);
      }
    }
    const step = Math.max(1, usable.length / MAXIMUM_ROWS);
    const count = Math.floor(usable.length / step);
    return Array.from({ length: count }, (_, k) => {
      const [episode, i] = usable[Math.floor(k * step)]!;
      return Float64Array.from(this.#list, (column) => numberOf(column, episode.rows, i));
    }).filter((numbers) => numbers.every(Number.isFinite));
  }

  #of(column: Column): number {
    const key = JSON.stringify(column);
    const known = this.#index.get(key);
    if (known !== undefined) return known;
    this.#index.set(key, this.#list.length);
    return this.#list.push(column) - 1;
  }
}

function numberOf({ tag, rowsAgo, kind, harmonic }: Column, rows: TwinEpisode['rows'], i: number): number {
  if (kind === 'sine' || kind === 'cosine') {
    const angle = (harmonic * 2 * Math.PI * (rows[i]!.timeMs % DAY_MS)) / DAY_MS;
    return kind === 'sine' ? Math.sin(angle) : Math.cos(angle);
  }
  const value = rows[i - rowsAgo]!.values[tag]!;
  if (kind === 'change') return value - rows[i - 1]!.values[tag]!;
  return kind === 'square' ? value * value : value;
}
