import { type ZodType, z } from 'zod';
import type { Telemetry } from '../telemetry.js';
import { name } from './fields.js';

/** Values for the page (JSON). */

export const telemetrySchema: ZodType<Telemetry> = z.object({
  atMs: z.number(),
  score: z.number().nullable(),
  values: z.record(
    name,
    z.object({ value: z.number().nullable(), quality: z.string().max(16), text: z.string().max(256).exactOptional() }),
  ),
  isPartial: z.boolean().exactOptional(),
});
