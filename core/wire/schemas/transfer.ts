import { type ZodType, z } from 'zod';
import type { BlobRequest, ChunkRequest } from '../messages.js';
import { blob, count, hash } from './fields.js';

/** What is asked for again. */

export const blobRequest: ZodType<BlobRequest> = z.object({
  kind: z.literal('blob-request'),
  blob,
  missing: z.array(count).min(1).max(65536).nullable(),
});

export const chunkRequest: ZodType<ChunkRequest> = z.object({
  kind: z.literal('chunk-request'),
  transfer: hash,
  missing: z.array(count).min(1).max(65536),
});
