import { TwinwatchError } from '../errors.js';
import type { Tag } from '../scada/tag.js';
import { canonicalJson } from './schema.js';
import type { FeatureSpec, ResidualSpec, ResidualTerm } from './spec.js';

/** Features as configuration declares them: tags are patterns with * and ?, and residuals have no weights yet. */

type FittedElsewhere = 'terms' | 'hours' | 'offset';

interface ResidualPattern extends Omit<ResidualSpec, FittedElsewhere> {
  /** Tags that may explain: each at every one of `rowsAgo`; those of `squares` by their square, too. */
  readonly from: readonly string[];
  readonly squares: readonly string[];
  readonly rowsAgo: readonly number[];
  /** Pairs of sine and cosine of the time of day that may explain. */
  readonly harmonics: number;
}

/** A residual of one tag, before its weights are fitted. */
export interface UnfittedResidual extends Omit<ResidualSpec, FittedElsewhere> {
  readonly candidates: readonly Omit<ResidualTerm, 'weight'>[];
  readonly harmonics: number;
}

type PlainSpec = Exclude<FeatureSpec, ResidualSpec>;
type FeaturePattern = PlainSpec | ResidualPattern;
export type ExpandedFeature = PlainSpec | UnfittedResidual;

/**
 * One feature per tag that a pattern matches, in the order of `patterns` and then of `tags`. A feature that two patterns give is taken
 * once. A tag never explains itself in the same row.
 *
 * @throws TwinwatchError FEATURES_UNKNOWN_TAG naming every pattern that matches no tag.
 */
export function expandFeatures(patterns: readonly FeaturePattern[], tags: readonly Tag[]): ExpandedFeature[] {
  const unmatched: string[] = [];
  const matching = (pattern: string): string[] => {
    const matches = globMatcher(pattern);
    const found = tags.map((tag) => tag.name).filter(matches);
    if (found.length === 0) unmatched.push(pattern);
    return found;
  };
  const expanded = patterns.flatMap((pattern): ExpandedFeature[] => {
    if (pattern.type === 'hourOfDay') return [pattern];
    if (pattern.type !== 'residual') return matching(pattern.tag).map((tag) => ({ ...pattern, tag }));
    const { type, of, from, squares, rowsAgo, harmonics, windows } = pattern;
    const candidates = [
      ...[...new Set(from.flatMap(matching))].map((tag) => ({ tag, power: 1 as const })),
      ...[...new Set(squares.flatMap(matching))].map((tag) => ({ tag, power: 2 as const })),
    ].flatMap((term) => [...new Set(rowsAgo)].map((ago) => ({ ...term, rowsAgo: ago })));
    return matching(pattern.tag).map((tag) => ({
      ...{ type, tag, of, harmonics, windows },
      candidates: candidates.filter((term) => term.tag !== tag || term.rowsAgo > 0),
    }));
  });
  if (unmatched.length > 0) {
    const known = tags.map((tag) => tag.name).join(', ');
    throw new TwinwatchError(
      'FEATURES_UNKNOWN_TAG',
      `features name ${unmatched.map((pattern) => `'${pattern}'`).join(', ')}, which no tag matches; the tags are ${known}`,
      { context: { unmatched } },
    );
  }
  const unique = new Map(expanded.map((spec) => [canonicalJson(spec), spec]));
  return [...unique.values()];
}

function globMatcher(pattern: string): (name: string) => boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name);
}
