import { type ZodType, z } from 'zod';
import type { Manifest, ModelReport } from '../messages.js';
import { blob, count, id, name, text } from './fields.js';

/** Which detector to run, and how a candidate does. */

const released = {
  modelVersion: name,
  round: count,
  model: blob,
  lineage: blob,
  threshold: z.number().min(0).max(1),
  releasedAtMs: z.number(),
};

export const manifest: ZodType<Manifest> = z.object({
  kind: z.literal('manifest'),
  ...released,
  issuedAtMs: z.number().exactOptional(),
  rollback: z.object({ from: name, by: name, reason: text }).exactOptional(),
  candidate: z
    .object({ ...released, stage: z.enum(['shadow', 'canary']), agents: z.array(id).max(4096), rows: count })
    .exactOptional(),
});

export const modelReport: ZodType<ModelReport> = z.object({
  kind: z.literal('model-report'),
  modelVersion: name,
  rows: count,
  above: count,
  currentAbove: count,
  errors: count,
  failed: z.boolean(),
  detail: text,
});
