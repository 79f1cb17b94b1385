import { createHash } from 'node:crypto';
import { TwinwatchError } from '../errors.js';
import type { Tag } from '../scada/tag.js';
import type { FeatureSchema, FeatureSpec } from './spec.js';

/** One input of the model, in the order of the declared features. */
export interface FeatureInput {
  /** 'L_T1', 'delta(L_T1,1)', 'hourOfDay.sin1'. */
  readonly name: string;
  /** The tag it is computed from; null for hourOfDay. */
  readonly tag: string | null;
}

/** Names and origins of the model's inputs. */
export function describeInputs(schema: FeatureSchema): FeatureInput[] {
  return schema.features.flatMap((spec): FeatureInput[] => {
    if (spec.type === 'hourOfDay') {
      return Array.from({ length: spec.harmonics }, (_, k) => [
        { name: `hourOfDay.sin${k + 1}`, tag: null },
        { name: `hourOfDay.cos${k + 1}`, tag: null },
      ]).flat();
    }
    return [{ name: spec.type === 'raw' ? spec.tag : `${spec.type}(${spec.tag},${spec.rows})`, tag: spec.tag }];
  });
}

/**
 * Turns the shorthand of configuration, where `tag` may be a pattern with * and ?, into one feature per matching tag, in the order of
 * `patterns` and then of `tags`. A feature that two patterns give is taken once.
 *
 * @throws TwinwatchError FEATURES_UNKNOWN_TAG naming every pattern that matches no tag.
 */
export function expandFeatures(patterns: readonly FeatureSpec[], tags: readonly Tag[]): FeatureSpec[] {
  const unmatched: string[] = [];
  const expanded = patterns.flatMap((pattern): FeatureSpec[] => {
    if (pattern.type === 'hourOfDay') return [pattern];
    const matches = globMatcher(pattern.tag);
    const found = tags.filter((tag) => matches(tag.name));
    if (found.length === 0) unmatched.push(pattern.tag);
    return found.map((tag) => ({ ...pattern, tag: tag.name }));
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

/** Hex SHA-256 of the schema's canonical JSON (keys sorted): equal exactly where every field is. */
export function schemaHash(schema: FeatureSchema): string {
  return createHash('sha256').update(canonicalJson(schema)).digest('hex');
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}

function globMatcher(pattern: string): (name: string) => boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${source}$`);
  return (name) => expression.test(name);
}
