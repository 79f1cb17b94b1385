import { type ZodType, z } from 'zod';
import type { EvaluateTask, FitTask, Receipt, TeacherTask, Update } from '../messages.js';
import { blob, bytes, codec, count, hash, layerMask, name, positive, text } from './fields.js';

/** A round: tasks, updates and their receipts. */

const share = z.number().min(0).max(1e6);

const teacherTask: ZodType<TeacherTask> = z.object({
  teacher: blob,
  codec,
  alpha: z.number().min(0).max(1),
  temperature: z.number().positive().max(1e6),
  softLabels: z.enum(['stored', 'onTheFly']),
  unlabelled: z.enum(['soft', 'normal']),
});

export const fit: ZodType<FitTask> = z.object({
  kind: z.literal('fit'),
  round: count,
  attempt: count,
  method: name,
  lineage: blob,
  parameters: blob,
  inline: bytes.optional(),
  epochs: positive,
  batchSize: positive,
  learningRate: z.number().positive(),
  proximalMu: z.number().min(0),
  exchangeShare: share,
  codec,
  topKShare: z.number().gt(0).max(1).optional(),
  layerMask,
  distillation: teacherTask.optional(),
  seed: z.int(),
  deadlineMs: positive,
});

export const evaluate: ZodType<EvaluateTask> = z.object({
  kind: z.literal('evaluate'),
  round: count,
  attempt: count,
  lineage: blob,
  parameters: blob,
  inline: bytes.optional(),
  deadlineMs: positive,
});

export const update: ZodType<Update> = z.object({
  kind: z.literal('update'),
  round: count,
  attempt: count,
  baseHash: hash,
  codec,
  layerMask,
  delta: bytes,
  rows: count,
  window: z.object({ fromMs: z.number(), toMs: z.number() }).exactOptional(),
  loss: z.number(),
  trainingMs: z.number().min(0),
  scores: z.object({ counts: z.array(count).max(4096), rows: count }).nullable(),
});

/** The little of an update that its receipt needs. */
export const answeredTaskSchema = z
  .object({ kind: z.literal('update'), round: count, attempt: count })
  .transform(({ round, attempt }) => ({ round, attempt }));

export const updateReceipt = z.object({
  kind: z.literal('update-receipt'),
  round: count,
  attempt: count,
  verdict: z.enum([
    'accepted',
    'duplicate',
    'stale-round',
    'unknown-agent',
    'wrong-base',
    'wrong-shape',
    'not-finite',
    'too-large',
    'implausible-rows',
    'malformed',
    'quarantined',
  ]),
  detail: text,
}) satisfies ZodType<Receipt>;
