import { createHash } from 'node:crypto';
import type { FeatureSchema, FeatureSpec, ResidualSpec } from './spec.js';

/** One input of the model, in the order of the declared features. */
export interface FeatureInput {
  /** 'L_T1', 'delta(L_T1,1)', 'residual(L_T1,24)', 'rule.kept(S_PU1,6)', 'hourOfDay.sin1'. */
  readonly name: string;
  /** The tag it is computed from; of a residual, the tag that is explained; null for hourOfDay. */
  readonly tag: string | null;
  /** Rows whose independent errors a residual or a rule averages; 1 for everything else, which says what the tag says. */
  readonly averagedRows: number;
  /** The tag whose resolution is the input's; `tag` where absent. */
  readonly unitTag?: string;
}

/** What inputs follow from: residuals need no weights for that. */
export interface DeclaredInputs {
  readonly features: readonly (
    | Exclude<FeatureSpec, ResidualSpec>
    | Pick<ResidualSpec, 'type' | 'tag' | 'of' | 'windows'>
  )[];
}

/** Names and origins of the model's inputs. */
export function describeInputs(schema: DeclaredInputs): FeatureInput[] {
  return schema.features.flatMap((spec): FeatureInput[] => {
    if (spec.type === 'hourOfDay') {
      return Array.from({ length: spec.harmonics }, (_, k) => [
        { name: `hourOfDay.sin${k + 1}`, tag: null, averagedRows: 1 },
        { name: `hourOfDay.cos${k + 1}`, tag: null, averagedRows: 1 },
      ]).flat();
    }
    if (spec.type === 'residual') {
      const explained = spec.of === 'value' ? spec.tag : `delta(${spec.tag},1)`;
      return spec.windows.map((rows) => ({
        name: `residual(${explained},${rows})`,
        tag: spec.tag,
        averagedRows: rows,
      }));
    }
    if (spec.type === 'rule') {
      return spec.windows.flatMap((rows) =>
        ['kept', 'switched'].map((what) => ({
          name: `rule.${what}(${spec.state},${rows})`,
          tag: spec.state,
          averagedRows: rows,
          unitTag: spec.on.tag,
        })),
      );
    }
    const name = spec.type === 'raw' ? spec.tag : `${spec.type}(${spec.tag},${spec.rows})`;
    return [{ name, tag: spec.tag, averagedRows: 1 }];
  });
}

/** Hex SHA-256 of the schema's canonical JSON (keys sorted): equal exactly where every field is. */
export function schemaHash(schema: FeatureSchema): string {
  return createHash('sha256').update(canonicalJson(schema)).digest('hex');
}

/** JSON with the keys of every object sorted. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}
