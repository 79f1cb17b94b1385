import { type ZodType, z } from 'zod';
import type { AlarmCommand, CommandReceipt, LabelCommand } from '../commands.js';
import { count, name, positive, text } from './fields.js';

/** What people decided, and what an agent answers. */

const decided = { commandId: name, by: name, decidedAtMs: z.number() };

export const alarmCommand: ZodType<AlarmCommand> = z.object({
  kind: z.literal('alarm-command'),
  ...decided,
  action: z.enum(['acknowledge', 'shelve', 'unshelve', 'confirm', 'dismiss']),
  alarmId: name,
  shelveMs: positive.nullable(),
});

export const labelCommand: ZodType<LabelCommand> = z
  .object({
    kind: z.literal('label-command'),
    ...decided,
    fromMs: z.number(),
    toMs: z.number(),
    label: z.enum(['normal', 'anomalous']),
  })
  .refine(({ fromMs, toMs }) => fromMs <= toMs, { path: ['toMs'], message: 'must not be before fromMs' });

export const commandReceipt: ZodType<CommandReceipt> = z.object({
  kind: z.literal('command-receipt'),
  commandId: name,
  verdict: z.enum(['done', 'unchanged', 'superseded', 'unknown-alarm']),
  detail: text,
  rows: count,
});
