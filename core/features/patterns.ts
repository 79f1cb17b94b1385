import { TwinwatchError } from '../errors.js';
import type { Tag } from '../scada/tag.js';
import { canonicalJson } from './schema.js';
import type { ControlRule, FeatureSpec, ResidualSpec, ResidualTerm, RuleCondition, RuleSpec } from './spec.js';

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

/** A rule that the file states; or, without `on` and `off`, every rule known of the plant whose state the pattern matches. */
interface RulePattern {
  readonly type: 'rule';
  readonly state: string;
  readonly on?: RuleCondition | undefined;
  readonly off?: RuleCondition | undefined;
  readonly windows: readonly number[];
}

type PlainSpec = Exclude<FeatureSpec, ResidualSpec | RuleSpec>;
type FeaturePattern = PlainSpec | ResidualPattern | RulePattern;
export type ExpandedFeature = PlainSpec | UnfittedResidual | RuleSpec;

/** A pattern that no tag matches, and where it stands from the list of features. */
interface Unmatched {
  readonly path: readonly (string | number)[];
  readonly pattern: string;
}

/** Patterns as a file has them, where any field may be missing because it is wrong. */
interface PatternFields {
  readonly type?: string | undefined;
  readonly tag?: string | undefined;
  readonly from?: readonly (string | undefined)[] | undefined;
  readonly squares?: readonly (string | undefined)[] | undefined;
  readonly state?: string | undefined;
  readonly on?: { readonly tag?: string | undefined } | undefined;
  readonly off?: { readonly tag?: string | undefined } | undefined;
}

/** Every pattern that matches none of the tags. */
export function unmatchedPatterns(
  features: readonly (PatternFields | undefined)[],
  tagNames: readonly string[],
): Unmatched[] {
  return features.flatMap((feature, i) => {
    const { tag, from = [], squares = [], state, on, off } = feature ?? {};
    const places: [readonly (string | number)[], string | undefined][] = [
      [[i, 'tag'], tag],
      [[i, 'state'], state],
      [[i, 'on', 'tag'], on?.tag],
      [[i, 'off', 'tag'], off?.tag],
      ...from.map((pattern, k): [(string | number)[], string | undefined] => [[i, 'from', k], pattern]),
      ...squares.map((pattern, k): [(string | number)[], string | undefined] => [[i, 'squares', k], pattern]),
    ];
    return places.flatMap(([path, pattern]) => {
      if (pattern === undefined || tagNames.some(globMatcher(pattern))) return [];
      return [{ path, pattern }];
    });
  });
}

/**
 * One feature per tag that a pattern matches, in the order of `patterns` and then of `tags`. A feature that two patterns give is taken
 * once. A tag never explains itself in the same row.
 *
 * @param rules of the plant's controllers, as far as they are known.
 * @throws TwinwatchError FEATURES_UNKNOWN_TAG naming every pattern that matches no tag, or no rule.
 */
export function expandFeatures(
  patterns: readonly FeaturePattern[],
  tags: readonly Tag[],
  rules: readonly ControlRule[] = [],
): ExpandedFeature[] {
  const names = tags.map((tag) => tag.name);
  const unmatched = unmatchedPatterns(patterns, names);
  if (unmatched.length > 0) {
    const named = unmatched.map(({ pattern }) => `'${pattern}'`).join(', ');
    throw new TwinwatchError(
      'FEATURES_UNKNOWN_TAG',
      `features name ${named}, which no tag matches; the tags are ${names.join(', ')}`,
      { context: { unmatched: unmatched.map(({ pattern }) => pattern) } },
    );
  }
  const matching = (pattern: string): string[] => names.filter(globMatcher(pattern));
  const expanded = patterns.flatMap((pattern): ExpandedFeature[] => {
    if (pattern.type === 'hourOfDay') return [pattern];
    if (pattern.type === 'rule') return expandRule(pattern, rules);
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
  const unique = new Map(expanded.map((spec) => [canonicalJson(spec), spec]));
  return [...unique.values()];
}

function expandRule({ type, state, on, off, windows }: RulePattern, rules: readonly ControlRule[]): RuleSpec[] {
  if (on !== undefined && off !== undefined) return [{ type, state, on, off, windows }];
  const matching = rules.filter((rule) => globMatcher(state)(rule.state));
  if (matching.length > 0) return matching.map((rule) => ({ type, ...rule, windows }));
  throw new TwinwatchError(
    'FEATURES_UNKNOWN_TAG',
    `a feature of type rule names '${state}', and the twin knows no on-off rule for such a state; state the rule with on and off, or remove the feature`,
  );
}

function globMatcher(pattern: string): (name: string) => boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name);
}
