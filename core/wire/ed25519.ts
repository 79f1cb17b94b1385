import { type KeyObject, sign, verify } from 'node:crypto';
import type { AgentRecord, TrustFile } from '../security/key-files.js';
import { keyId, publicKeyObject, publicKeyOf } from '../security/keys.js';
import { keyIdText, type Signer, type Verifier } from './signing.js';

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

/** @param key private, Ed25519; asked for with every message, so that another one can take its place. */
export function ed25519Signer(key: () => KeyObject): Signer {
  let known: { readonly key: KeyObject; readonly id: Uint8Array } | null = null;
  const current = () => {
    const now = key();
    if (known?.key !== now) known = { key: now, id: Buffer.from(keyId(publicKeyOf(now)), 'hex') };
    return known;
  };
  return {
    get keyId() {
      return current().id;
    },
    sign: (bytes) => sign(null, bytes, current().key),
  };
}

/**
 * @param keys looked at for every message, so that a revocation counts at once; the same array means the same keys.
 * @throws TwinwatchError SECURITY_KEY_INVALID with the first message, where a key is none.
 */
export function ed25519Verifier(keys: () => readonly TrustedKey[], now: () => number): Verifier {
  let indexed: { readonly of: readonly TrustedKey[]; readonly byId: ReadonlyMap<string, Known> } | null = null;
  return {
    verify(sender, id, bytes, signature) {
      const trusted = keys();
      if (indexed?.of !== trusted) indexed = { of: trusted, byId: indexOf(trusted) };
      const known = indexed.byId.get(`${sender} ${keyIdText(id)}`);
      if (known === undefined) return 'unknown-key';
      if (known.isRevoked || now() >= known.untilMs) return 'revoked';
      return verify(null, bytes, known.key, signature) ? 'valid' : 'invalid';
    },
  };
}

/** The server's keys that an agent believes. */
export function keysOfServer({ serverKeys }: Pick<TrustFile, 'serverKeys'>): readonly TrustedKey[] {
  return serverKeys.map(({ publicKey, untilMs }) => ({ owner: 'server', publicKey, untilMs, isRevoked: false }));
}

/** The keys of agents that a server believes; a revoked agent has none that count. */
export function keysOfAgents(records: Iterable<AgentRecord>): readonly TrustedKey[] {
  return [...records].flatMap(({ agent, publicKeys, revokedAtMs }) =>
    publicKeys.map(({ publicKey, untilMs }) => ({
      ...{ owner: agent, publicKey, untilMs },
      isRevoked: revokedAtMs !== null,
    })),
  );
}

interface Known {
  readonly key: KeyObject;
  readonly isRevoked: boolean;
  readonly untilMs: number;
}

function indexOf(keys: readonly TrustedKey[]): ReadonlyMap<string, Known> {
  return new Map(
    keys.map(({ owner, publicKey, isRevoked, untilMs }) => {
      const known = { key: publicKeyObject(publicKey), isRevoked, untilMs: untilMs ?? Number.POSITIVE_INFINITY };
      return [`${owner} ${keyId(publicKey)}`, known];
    }),
  );
}
