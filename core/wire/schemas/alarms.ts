import { type ZodType, z } from 'zod';
import type { AlarmEvent, SilentTags } from '../alarm-event.js';
import type { Receipt } from '../messages.js';
import { id, name } from './fields.js';

/** Alarms (JSON), and their receipts. */

export const alarmReceipt = z.object({
  kind: z.literal('alarm-receipt'),
  eventIds: z.array(name).min(1).max(1024),
}) satisfies ZodType<Receipt>;

const silentTags: ZodType<SilentTags> = z.object({
  tags: z.array(name).max(64),
  reason: z.string().max(1_024),
  devices: z.array(name).max(64).exactOptional(),
  sinceMs: z.number().exactOptional(),
});

export const alarmEventSchema: ZodType<AlarmEvent> = z.object({
  eventId: name,
  alarmId: name,
  agent: id,
  transition: z.enum(['raised', 'cleared', 'acknowledged', 'shelved', 'unshelved']),
  atMs: z.number(),
  score: z.number(),
  threshold: z.number(),
  modelVersion: name,
  contributions: z.array(z.object({ tag: name, share: z.number(), value: z.number() })).max(256),
  latencyMs: z.number(),
  communication: silentTags.exactOptional(),
  peakScore: z.number().exactOptional(),
});
