import { type ZodType, z } from 'zod';
import type { BlobRef } from '../messages.js';
import { PARAMETER_CODECS } from '../parameter-codec.js';
import type { ProtocolRange } from '../protocol.js';

/**
 * What may come off the wire, here what messages are made of. Each schema in this folder is held to the type of its message by its annotation.
 * Fields that it does not name are of a newer release, and are left out: see "Versions" in docs/topics.md.
 */

export const id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -');
export const name = z.string().min(1).max(128);
export const text = z.string().max(2048);
export const hash = z.string().regex(/^[0-9a-f]{64}$/, 'must be a hex SHA-256');
export const count = z.int().min(0);
export const positive = z.int().min(1);
export const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes');
export const codec = z.enum(PARAMETER_CODECS);
export const layerMask = z.array(z.boolean()).min(1).max(256).nullable();
export const blob: ZodType<BlobRef> = z.object({ hash, bytes: count });
export const protocols: ZodType<ProtocolRange> = z
  .object({ oldest: count, newest: count })
  .refine(({ oldest, newest }) => oldest <= newest, { path: ['newest'], message: 'must not be below oldest' });
