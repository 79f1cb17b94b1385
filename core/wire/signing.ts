import { Buffer } from 'node:buffer';
import { TwinwatchError } from '../errors.js';

/**
 * Signatures over messages, as bytes: nothing is decoded, let alone believed, before its signature holds. What is signed is
 *
 *     'twinwatch/v1\0' · length of the topic (2 bytes, big-endian) · topic (UTF-8) · body
 *
 * so that a message counts on the topic it was written for, which names federation, agent and channel, and nowhere else. The body is the
 * payload as it was published, without what carries the signature; for an envelope that is everything but its last 64 bytes, hence federation,
 * sender, sequence, time, round, attempt and base are all in it.
 *
 * Pure: keys and Ed25519 itself are behind Signer and Verifier, see ed25519.ts.
 */

export interface Signer {
  /** [8] the first bytes of the SHA-256 of the raw public key. */
  readonly keyId: Uint8Array;
  /** @returns [64] */
  sign(bytes: Uint8Array): Uint8Array;
}

export type SignatureVerdict = 'valid' | 'unknown-key' | 'revoked' | 'invalid';

export interface Verifier {
  /** @param sender agent id, or 'server'. @param keyId [8] @param signature [64] */
  verify(sender: string, keyId: Uint8Array, bytes: Uint8Array, signature: Uint8Array): SignatureVerdict;
}

export const KEY_ID_BYTES = 8;
export const SIGNATURE_BYTES = 64;

const DOMAIN = Buffer.from('twinwatch/v1\0');
/** The end of every signed envelope: two CBOR fields, keyId (8 bytes) and signature (64 bytes). */
const KEY_FIELD = Buffer.concat([Buffer.from([0x65]), Buffer.from('keyId'), Buffer.from([0x48])]);
const SIGNATURE_FIELD = Buffer.concat([Buffer.from([0x69]), Buffer.from('signature'), Buffer.from([0x58, 0x40])]);
const TAIL_BYTES = KEY_FIELD.length + KEY_ID_BYTES + SIGNATURE_FIELD.length + SIGNATURE_BYTES;
/** What a signed JSON message ends with, in place of its closing brace. */
const JSON_TAIL = /,"signature":"([0-9a-f]{16})\.([A-Za-z0-9_-]{86})"\}$/;
const JSON_TAIL_BYTES = ',"signature":"'.length + 16 + 1 + 86 + 2;

interface Signed {
  readonly body: Uint8Array;
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

/** Bytes that are signed for a message on a topic. */
export function signedBytes(topic: string, body: Uint8Array): Uint8Array {
  const name = Buffer.from(topic);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(name.length);
  return Buffer.concat([DOMAIN, length, name, body]);
}

/** 16 hex digits, as people see it. */
export function keyIdText(keyId: Uint8Array): string {
  return Buffer.from(keyId).toString('hex');
}

/** Fills the 64 bytes that an encoded envelope ends with. */
export function signInPlace(topic: string, envelope: Uint8Array, signer: Signer): void {
  const body = envelope.subarray(0, envelope.length - SIGNATURE_BYTES);
  envelope.set(signer.sign(signedBytes(topic, body)), body.length);
}

/** A JSON object with one member more, which readers that do not know it ignore: `"signature":"<key id>.<base64url>"`. */
export function signJson(topic: string, json: Uint8Array, signer: Signer | null): Uint8Array {
  if (signer === null) return json;
  const signature = Buffer.from(signer.sign(signedBytes(topic, json))).toString('base64url');
  const tail = `,"signature":"${keyIdText(signer.keyId)}.${signature}"}`;
  return Buffer.concat([json.subarray(0, json.length - 1), Buffer.from(tail)]);
}

/** @throws TwinwatchError WIRE_UNSIGNED, WIRE_KEY_UNKNOWN, WIRE_KEY_REVOKED, WIRE_SIGNATURE_INVALID. @returns the key's id, in hex. */
export function verifyEnvelope(topic: string, payload: Uint8Array, sender: string, verifier: Verifier): string {
  return verify(topic, envelopeParts(payload), sender, verifier);
}

/** As verifyEnvelope, for a JSON message. */
export function verifyJson(topic: string, payload: Uint8Array, sender: string, verifier: Verifier): string {
  return verify(topic, jsonParts(payload), sender, verifier);
}

function envelopeParts(payload: Uint8Array): Signed | null {
  if (payload.length <= TAIL_BYTES) return null;
  const tail = Buffer.from(payload.buffer, payload.byteOffset + payload.length - TAIL_BYTES, TAIL_BYTES);
  const keyAt = KEY_FIELD.length;
  const signatureField = keyAt + KEY_ID_BYTES;
  if (!tail.subarray(0, keyAt).equals(KEY_FIELD)) return null;
  if (!tail.subarray(signatureField, signatureField + SIGNATURE_FIELD.length).equals(SIGNATURE_FIELD)) return null;
  return {
    body: payload.subarray(0, payload.length - SIGNATURE_BYTES),
    keyId: tail.subarray(keyAt, signatureField),
    signature: tail.subarray(TAIL_BYTES - SIGNATURE_BYTES),
  };
}

function jsonParts(payload: Uint8Array): Signed | null {
  if (payload.length <= JSON_TAIL_BYTES) return null;
  const at = payload.length - JSON_TAIL_BYTES;
  const found = JSON_TAIL.exec(Buffer.from(payload.subarray(at)).toString('latin1'));
  if (found === null) return null;
  return {
    body: Buffer.concat([payload.subarray(0, at), Buffer.from('}')]),
    keyId: Buffer.from(found[1]!, 'hex'),
    signature: Buffer.from(found[2]!, 'base64url'),
  };
}

function verify(topic: string, signed: Signed | null, sender: string, verifier: Verifier): string {
  if (signed === null)
    throw refusal('WIRE_UNSIGNED', sender, topic, 'it carries no signature, and this federation signs everything');
  const keyId = keyIdText(signed.keyId);
  const verdict = verifier.verify(sender, signed.keyId, signedBytes(topic, signed.body), signed.signature);
  switch (verdict) {
    case 'valid':
      return keyId;
    case 'unknown-key':
      throw refusal('WIRE_KEY_UNKNOWN', sender, topic, `key ${keyId} is not one that ${sender} was enrolled with`);
    case 'revoked':
      throw refusal('WIRE_KEY_REVOKED', sender, topic, `key ${keyId} of ${sender} was revoked`);
    case 'invalid':
      throw refusal(
        'WIRE_SIGNATURE_INVALID',
        sender,
        topic,
        'its signature is not over these bytes on this topic: it was changed, or written for another topic or federation',
      );
  }
}

function refusal(
  code: 'WIRE_UNSIGNED' | 'WIRE_KEY_UNKNOWN' | 'WIRE_KEY_REVOKED' | 'WIRE_SIGNATURE_INVALID',
  sender: string,
  topic: string,
  why: string,
): TwinwatchError {
  return new TwinwatchError(code, `a message on ${topic} is refused: ${why}`, { context: { sender, topic } });
}
