import { type ZodType, z } from 'zod';
import { publicKeyEntry } from '../../security/keys.js';
import type { Hello, TrustAnnouncement, WireMessage } from '../messages.js';
import { alarmReceipt } from './alarms.js';
import { calibrate, calibration } from './calibration.js';
import { alarmCommand, commandReceipt, labelCommand } from './commands.js';
import { bytes, count, hash, id, name, positive, protocols } from './fields.js';
import { manifest, modelReport } from './model.js';
import { evaluate, fit, update, updateReceipt } from './round.js';
import { blobRequest, chunkRequest } from './transfer.js';

/** One schema for each kind of CBOR message, and the envelope around them. */

const hello: ZodType<Hello> = z.object({
  kind: z.literal('hello'),
  softwareVersion: name,
  tags: z.array(name).max(4096),
  eligibleRows: count,
  labelledRows: count,
  codecs: z.array(z.string().min(1).max(32)).min(1).max(32),
  engine: name,
  lineageHash: hash.nullable(),
  modelVersion: name.nullable(),
  publicKeyId: name.nullable(),
  trustRevision: count.optional(),
  protocols: protocols.exactOptional(),
});

const trust: ZodType<TrustAnnouncement> = z.object({
  kind: z.literal('trust'),
  revision: positive,
  serverKeys: z.array(publicKeyEntry.strip()).min(1).max(16),
});

export const messageSchemas: { readonly [K in WireMessage['kind']]: ZodType<Extract<WireMessage, { kind: K }>> } = {
  hello,
  calibration,
  calibrate,
  fit,
  evaluate,
  update,
  'update-receipt': updateReceipt,
  'alarm-receipt': alarmReceipt,
  'blob-request': blobRequest,
  'chunk-request': chunkRequest,
  manifest,
  trust,
  'model-report': modelReport,
  'alarm-command': alarmCommand,
  'label-command': labelCommand,
  'command-receipt': commandReceipt,
};

/** `message` is checked afterwards by the schema of its kind, so that errors name that kind's fields. */
export const envelopeSchema = z.object({
  protocol: z.int(),
  federation: id,
  sender: id,
  sequence: count,
  sentAtMs: z.number(),
  message: z.unknown(),
  keyId: bytes.refine((value) => value.length === 8, 'must be 8 bytes').exactOptional(),
  signature: bytes.refine((value) => value.length === 64, 'must be 64 bytes').nullable(),
});
