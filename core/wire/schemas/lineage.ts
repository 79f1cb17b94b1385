import { type ZodType, z } from 'zod';
import type { FeatureSchema, FeatureSpec } from '../../features/spec.js';
import type { Lineage } from '../messages.js';
import { blob, count, hash, name, positive } from './fields.js';

/** What is frozen for as long as parameters are averaged with each other. */

const tag = z.object({
  name,
  unit: z.string().max(32),
  kind: z.enum(['analog', 'status']),
  resolution: z.number().positive(),
});

const ruleCondition = z
  .object({ tag: name, below: z.number().optional(), above: z.number().optional() })
  .refine(({ below, above }) => (below === undefined) !== (above === undefined), 'must have one of below and above');

const feature: ZodType<FeatureSpec> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('raw'), tag: name }),
  z.object({ type: z.literal('delta'), tag: name, rows: positive }),
  z.object({ type: z.literal('lag'), tag: name, rows: positive }),
  z.object({ type: z.literal('rollingMean'), tag: name, rows: positive }),
  z.object({ type: z.literal('rollingStd'), tag: name, rows: positive }),
  z.object({ type: z.literal('hourOfDay'), harmonics: positive }),
  z.object({
    type: z.literal('residual'),
    tag: name,
    of: z.enum(['value', 'change']),
    terms: z
      .array(z.object({ tag: name, rowsAgo: count.max(10_000), power: z.literal([1, 2]), weight: z.number() }))
      .max(4096),
    hours: z.array(z.number()).max(64),
    offset: z.number(),
    windows: z.array(positive.max(10_000)).min(1).max(64),
  }),
  z.object({
    type: z.literal('rule'),
    state: name,
    on: ruleCondition,
    off: ruleCondition,
    windows: z.array(positive.max(10_000)).min(1).max(64),
  }),
]);

export const featureSchema: ZodType<FeatureSchema> = z.object({
  tags: z.array(tag).min(1).max(4096),
  features: z.array(feature).min(1).max(16384),
  intervalMs: z.number().positive(),
  holdRows: count,
});

export const scalerSchema: ZodType<Lineage['scaler']> = z.object({
  mean: z.array(z.number()).max(16384),
  scale: z.array(z.number().positive()).max(16384),
  clip: z.number().positive(),
});

export const architectureSchema: ZodType<Lineage['architecture']> = z.object({
  inputs: positive.max(16384),
  hidden: z.array(positive.max(8192)).max(16),
  members: positive.max(64),
});

export const lineageSchema: ZodType<Lineage> = z
  .object({
    schema: featureSchema,
    schemaHash: hash,
    scaler: scalerSchema,
    architecture: architectureSchema,
    exchange: blob.nullable(),
  })
  .refine(
    ({ scaler, architecture }) =>
      scaler.mean.length === architecture.inputs && scaler.scale.length === architecture.inputs,
    { path: ['scaler'], message: 'must have one mean and one scale per input of the architecture' },
  );
