import type { ZodType } from 'zod';
import { TwinwatchError } from '../errors.js';
import { decodeCbor, encodeCbor } from './cbor.js';
import type { Envelope, WireMessage } from './messages.js';
import { type ProtocolRange, requireSpoken, SPOKEN } from './protocol.js';
import { envelopeSchema, messageSchemas } from './schemas/message.js';
import { answeredTaskSchema } from './schemas/round.js';
import { SIGNATURE_BYTES, type Signer, signInPlace } from './signing.js';

/** Small messages stay far below; anything large is a transfer in chunks. A broker's payload limit must not be lower. */
export const MAXIMUM_ENVELOPE_BYTES = 256 * 1024;

export interface EnvelopeFields<M extends WireMessage = WireMessage> {
  readonly federation: string;
  /** Agent id, or 'server'. */
  readonly sender: string;
  readonly sequence: number;
  readonly sentAtMs: number;
  readonly message: M;
  /** That the other end reads; the newest of this release where absent. */
  readonly protocol?: number;
}

/**
 * @param seal signs it for the topic; unsigned where absent. @throws TwinwatchError WIRE_* for what the other end would refuse, so that the mistake shows where it is made.
 */
export function encodeEnvelope(
  fields: EnvelopeFields,
  maximumBytes = MAXIMUM_ENVELOPE_BYTES,
  seal: { readonly topic: string; readonly signer: Signer | null } | null = null,
): Uint8Array {
  const { protocol = SPOKEN.newest } = fields;
  const envelope = checkEnvelope({ ...fields, protocol, signature: null }, { oldest: protocol, newest: protocol });
  const signer = seal?.signer ?? null;
  // The last two fields, in this order: a signature is over every byte before its own.
  const { signature: unsigned, ...rest } = envelope;
  const bytes = encodeCbor(
    signer === null
      ? { ...rest, signature: unsigned }
      : { ...rest, keyId: signer.keyId, signature: new Uint8Array(SIGNATURE_BYTES) },
  );
  if (bytes.length > maximumBytes)
    throw new TwinwatchError(
      'WIRE_TOO_LARGE',
      `${fields.message.kind} of ${bytes.length} bytes is above the limit of ${maximumBytes}`,
      { context: { kind: fields.message.kind, bytes: bytes.length, maximumBytes } },
    );
  if (seal !== null && signer !== null) signInPlace(seal.topic, bytes, signer);
  return bytes;
}

/**
 * Everything that comes back has passed the schema of its kind.
 * @param maximumBytes an enveloped update comes out of a transfer and may be larger than a small message.
 * @param protocols that this end reads.
 * @throws TwinwatchError WIRE_TOO_LARGE, WIRE_MALFORMED, WIRE_PROTOCOL, WIRE_UNKNOWN_KIND, WIRE_INVALID (names the fields).
 */
export function decodeEnvelope(
  bytes: Uint8Array,
  maximumBytes = MAXIMUM_ENVELOPE_BYTES,
  protocols: ProtocolRange = SPOKEN,
): Envelope {
  return checkEnvelope(decodeCbor(bytes, maximumBytes), protocols);
}

/** What an update answers. */
export interface AnsweredTask {
  readonly round: number;
  readonly attempt: number;
}

/** What an update that decodeEnvelope refuses says it answers, for its receipt; null where even that cannot be read. */
export function readAnsweredTask(bytes: Uint8Array, maximumBytes = MAXIMUM_ENVELOPE_BYTES): AnsweredTask | null {
  try {
    const { message } = decodeCbor(bytes, maximumBytes) as { message?: unknown };
    return checked('update', answeredTaskSchema, message);
  } catch {
    return null;
  }
}

function checkEnvelope(value: unknown, protocols: ProtocolRange): Envelope {
  const protocol = (value as { protocol?: unknown } | null)?.protocol;
  if (typeof protocol === 'number') requireSpoken(protocol, protocols);
  const envelope = checked('envelope', envelopeSchema, value);
  const kind = (envelope.message as { kind?: unknown } | null)?.kind;
  if (typeof kind !== 'string' || !Object.hasOwn(messageSchemas, kind))
    throw new TwinwatchError('WIRE_UNKNOWN_KIND', `unknown message kind ${JSON.stringify(kind)?.slice(0, 80)}`, {
      context: { sender: envelope.sender },
    });
  const message = checked(kind, messageSchemas[kind as WireMessage['kind']] as ZodType<WireMessage>, envelope.message);
  return { ...envelope, message };
}

/** @throws TwinwatchError WIRE_INVALID naming up to five wrong fields. */
export function checked<T>(what: string, schema: ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const fields = result.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || '(all)'}: ${issue.message}`);
  throw new TwinwatchError('WIRE_INVALID', `${what} has wrong fields: ${fields.join('; ')}`, {
    context: { what, fields: result.error.issues.map((issue) => issue.path.join('.')) },
  });
}
