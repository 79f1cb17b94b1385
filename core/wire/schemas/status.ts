import { type ZodType, z } from 'zod';
import type { AgentStatus, ServerStatus } from '../status.js';
import { count, name, protocols, text } from './fields.js';

/** Who is there, and how it is (JSON). */

const place = { sequence: count.exactOptional(), connectionSequence: count.exactOptional() };

export const agentStatusSchema: ZodType<AgentStatus> = z.object({
  online: z.boolean(),
  connectionId: name,
  atMs: z.number(),
  softwareVersion: name,
  modelVersion: name.nullable(),
  health: z
    .object({
      rowsAcquired: count,
      rowsMissing: count,
      badSamples: count,
      duplicateReadings: count,
      lateReadings: count,
      droppedTelemetry: count,
      outboxEvents: count,
      droppedEvents: count.exactOptional(),
      rssBytes: count,
      sensorToAlarmMsP50: z.number().nullable(),
      sensorToAlarmMsP99: z.number().nullable(),
      sensorToAlarmCount: count,
      deviceFaults: z.record(name, text),
      refusedMessages: z.record(name, count).exactOptional(),
    })
    .nullable(),
  instance: z.object({ id: name, startedAtMs: z.number(), host: z.string().max(256) }).exactOptional(),
  protocols: protocols.exactOptional(),
  ...place,
});

export const serverStatusSchema: ZodType<ServerStatus> = z.object({
  online: z.boolean(),
  connectionId: name,
  softwareVersion: name,
  protocols: protocols.exactOptional(),
  ...place,
});
