import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { KEY_ID_BYTES, keyIdText, type Signer, type Verifier } from './signing.js';

/** Ed25519 (RFC 8032) by Node's own cryptography, for both ends. Computes; reads no file. */

/** A public key that somebody's messages are checked with. */
export interface TrustedKey {
  /** Agent id, or 'server'. */
  readonly owner: string;
  /** 32 bytes, base64url. */
  readonly publicKey: string;
  /** From then on nothing signed with it counts, whenever it was signed; null for no end. Wall clock of who checks. */
  readonly untilMs: number | null;
  readonly isRevoked: boolean;
}

/** @param privateKey PEM (PKCS #8), or the key that was read from one. @throws where it is not an Ed25519 key. */
export function ed25519Signer(privateKey: string | KeyObject): Signer {
  const key = requireEd25519(typeof privateKey === 'string' ? createPrivateKey(privateKey) : privateKey);
  return { keyId: keyIdOf(rawPublicKey(key)), sign: (bytes) => sign(null, bytes, key) };
}

/** 32 bytes in base64url, of the public half of a private key. */
export function rawPublicKey(privateKey: string | KeyObject): string {
  return createPublicKey(privateKey as string).export({ format: 'jwk' }).x ?? '';
}

/**
 * @param keys looked at for every message, so that a revocation counts at once; the same array means the same keys.
 * @throws with the first message, where a key is not an Ed25519 key.
 */
export function ed25519Verifier(keys: () => readonly TrustedKey[], now: () => number): Verifier {
  let indexed: { readonly of: readonly TrustedKey[]; readonly byId: ReadonlyMap<string, Known> } | null = null;
  return {
    verify(sender, keyId, bytes, signature) {
      const trusted = keys();
      if (indexed?.of !== trusted) indexed = { of: trusted, byId: indexOf(trusted) };
      const known = indexed.byId.get(`${sender} ${keyIdText(keyId)}`);
      if (known === undefined) return 'unknown-key';
      if (known.isRevoked || now() >= known.untilMs) return 'revoked';
      return verify(null, bytes, known.key, signature) ? 'valid' : 'invalid';
    },
  };
}

interface Known {
  readonly key: KeyObject;
  readonly isRevoked: boolean;
  readonly untilMs: number;
}

function indexOf(keys: readonly TrustedKey[]): ReadonlyMap<string, Known> {
  return new Map(
    keys.map(({ owner, publicKey, isRevoked, untilMs }) => {
      const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
      return [
        `${owner} ${keyIdText(keyIdOf(publicKey))}`,
        { key, isRevoked, untilMs: untilMs ?? Number.POSITIVE_INFINITY },
      ];
    }),
  );
}

function keyIdOf(publicKey: string): Uint8Array {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64url')).digest().subarray(0, KEY_ID_BYTES);
}

function requireEd25519(key: KeyObject): KeyObject {
  if (key.asymmetricKeyType === 'ed25519') return key;
  throw new Error(`the key is of type ${key.asymmetricKeyType}, not ed25519`);
}
