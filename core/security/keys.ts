import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { TwinwatchError } from '../errors.js';

/**
 * Ed25519 keys that messages are signed with, as they lie in files. A private key is PKCS#8 PEM in a file of its own (mode 0600); public keys are
 * their 32 raw bytes in base64url, as `x` of an RFC 8037 JWK.
 */

const PUBLIC_KEY = /^[A-Za-z0-9_-]{43}$/;

export const publicKeyText = z
  .string()
  .regex(PUBLIC_KEY, { error: 'must be an Ed25519 public key: 32 bytes in base64url, 43 characters' })
  .refine((text) => Buffer.from(text, 'base64url').toString('base64url') === text, {
    error: 'must be base64url as it is written, without stray bits at its end',
  });

/** One of several keys whose times of use overlap: a receiver accepts a signature by any that is valid, a signer takes the newest that is. */
export const publicKeyEntry = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/, { error: 'must be 16 hex digits' }),
  publicKey: publicKeyText,
  /** Signed with from then on, in ms since 1970; accepted from when it is known. */
  fromMs: z.number(),
  /** Not accepted from then on; null: until it is retired. */
  untilMs: z.number().nullable(),
});

export type PublicKeyEntry = z.infer<typeof publicKeyEntry>;

/** The first 16 hex digits of the SHA-256 of the 32 bytes: names a key in messages and files. */
export function keyId(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64url')).digest('hex').slice(0, 16);
}

/** @param publicKey 32 bytes in base64url. @throws TwinwatchError SECURITY_KEY_INVALID. */
export function publicKeyObject(publicKey: string): KeyObject {
  if (!PUBLIC_KEY.test(publicKey)) throw invalidKey('a public key is 32 bytes in base64url');
  try {
    return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
  } catch (cause) {
    throw invalidKey('the bytes are no point of the curve', cause);
  }
}

/** What may be shown of a private or public key. */
export function publicKeyOf(key: KeyObject): string {
  const { x } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  if (key.asymmetricKeyType !== 'ed25519' || x === undefined) throw invalidKey('it is not an Ed25519 key');
  return x;
}

/** @param pem PKCS#8. @throws TwinwatchError SECURITY_KEY_INVALID; its message never holds any of the text. */
export function privateSigningKey(pem: string, file: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw invalidKey(`${file} holds no private key in PEM; copy the file again from where it was made, or enrol anew`);
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw invalidKey(`${file} holds a key of type ${key.asymmetricKeyType}; messages are signed with Ed25519`);
  return key;
}

export interface NewSigningKey {
  /** PKCS#8 PEM. */
  readonly privateKeyPem: string;
  readonly publicKey: string;
  readonly id: string;
}

export function newSigningKey(): NewSigningKey {
  const { privateKey } = generateKeyPairSync('ed25519');
  const publicKey = publicKeyOf(privateKey);
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    publicKey,
    id: keyId(publicKey),
  };
}

/** The key to sign with now: the newest whose time has come. Null where none is. */
export function signingEntry(keys: readonly PublicKeyEntry[], nowMs: number): PublicKeyEntry | null {
  const usable = keys.filter(({ fromMs, untilMs }) => fromMs <= nowMs && (untilMs === null || nowMs < untilMs));
  return usable.reduce<PublicKeyEntry | null>(
    (newest, one) => (one.fromMs > (newest?.fromMs ?? -Infinity) ? one : newest),
    null,
  );
}

/** Those whose signatures count now. A key is accepted before it is used: others may have a clock that is ahead. */
export function acceptedKeys(keys: readonly PublicKeyEntry[], nowMs: number): readonly PublicKeyEntry[] {
  return keys.filter(({ untilMs }) => untilMs === null || nowMs < untilMs);
}

function invalidKey(what: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError('SECURITY_KEY_INVALID', `not a usable signing key: ${what}`, { cause });
}
