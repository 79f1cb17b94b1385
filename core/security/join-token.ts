import { createHash, timingSafeEqual } from 'node:crypto';
import { TwinwatchError } from '../errors.js';

/**
 * A join token: `tw1_` and 72 bytes in base64url: 8 that name it, 32 that are secret, and the SHA-256 of the authority (DER) that the enrolment service
 * has to show, so that a device knows whom it talks to before it trusts anybody. Only a hash of the secret is kept where tokens are made.
 */
export interface JoinToken {
  /** Hex. */
  readonly id: string;
  readonly secret: Uint8Array;
  /** Hex, of the authority's certificate. */
  readonly caFingerprint: string;
}

const PREFIX = 'tw1_';
const TOKEN = /^tw1_[A-Za-z0-9_-]{96}$/;

export function writeToken({ id, secret, caFingerprint }: JoinToken): string {
  const bytes = Buffer.concat([Buffer.from(id, 'hex'), secret, Buffer.from(caFingerprint, 'hex')]);
  return PREFIX + bytes.toString('base64url');
}

/** @throws TwinwatchError SECURITY_TOKEN_INVALID; its message never holds the token. */
export function readToken(text: string): JoinToken {
  if (!TOKEN.test(text.trim()))
    throw new TwinwatchError(
      'SECURITY_TOKEN_INVALID',
      'not a join token; copy the whole line that `twinwatch token` printed, which begins with tw1_',
    );
  const bytes = Buffer.from(text.trim().slice(PREFIX.length), 'base64url');
  return {
    id: bytes.subarray(0, 8).toString('hex'),
    secret: bytes.subarray(8, 40),
    caFingerprint: bytes.subarray(40).toString('hex'),
  };
}

/** Hex. Random bytes need no slow hash. */
export function secretHash(secret: Uint8Array): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function isSecretOf(secret: Uint8Array, hash: string): boolean {
  const expected = Buffer.from(hash, 'hex');
  const actual = Buffer.from(secretHash(secret), 'hex');
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}
