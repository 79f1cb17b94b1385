import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { TwinwatchError } from '@twinwatch/core/errors';
import { newRequest, newTlsKey } from '@twinwatch/core/security/certificates';
import {
  authoritiesAnswer,
  type MemberKnowledge,
  type MembershipAnswer,
  memberKnowledge,
  membershipAnswer,
} from '@twinwatch/core/security/enrolment-messages';
import { readToken } from '@twinwatch/core/security/join-token';
import { newSigningKey } from '@twinwatch/core/security/keys';

/** A device's side of the enrolment service. Private keys are made here, and stay. */

const TIMEOUT_MS = 15_000;
const MAXIMUM_ANSWER_BYTES = 256 * 1024;

/** A zod schema, as far as it is needed. */
interface Reader<T> {
  safeParse(answer: unknown): { readonly success: true; readonly data: T } | { readonly success: false };
}

/** What a connection shows and trusts; all PEM. */
export interface MemberTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * Makes keys and gets a certificate for them. The service has to show a certificate of the authority whose fingerprint is in the token.
 * @throws TwinwatchError SECURITY_TOKEN_INVALID, SECURITY_ENROLMENT_FAILED.
 */
export async function join(
  url: string,
  tokenText: string,
): Promise<{ readonly membership: MembershipAnswer; readonly tlsKey: string; readonly signingKey: string }> {
  const token = readToken(tokenText);
  // Whoever answers this is not known yet: of its answer only the authority with the right fingerprint is used.
  const { ca: offered } = await ask(authoritiesAnswer, {
    url,
    path: '/v1/ca',
    tls: { rejectUnauthorized: false },
  });
  const ca = certificatesIn(offered).find((pem) => fingerprintOf(pem) === token.caFingerprint);
  if (ca === undefined)
    throw new TwinwatchError(
      'SECURITY_ENROLMENT_FAILED',
      `${url} is not the federation that made the token: its authority is another one; check the address, or somebody is in between`,
    );
  const tlsKey = newTlsKey();
  const signing = newSigningKey();
  const body = { token: tokenText.trim(), request: await newRequest(tlsKey, 'join'), publicKey: signing.publicKey };
  return {
    membership: await ask(membershipAnswer, { url, path: '/v1/join', tls: { ca }, body }),
    ...{ tlsKey, signingKey: signing.privateKeyPem },
  };
}

/** @throws TwinwatchError SECURITY_ENROLMENT_FAILED. */
export function fetchTrust(url: string, tls: MemberTls): Promise<MemberKnowledge> {
  return ask(memberKnowledge, { url, path: '/v1/trust', tls });
}

/** @param publicKey of a new Ed25519 key, or null to keep the one before. @throws TwinwatchError SECURITY_ENROLMENT_FAILED. */
export async function renew(
  url: string,
  tls: MemberTls,
  { tlsKey, publicKey }: { readonly tlsKey: string; readonly publicKey: string | null },
): Promise<MembershipAnswer> {
  const body = { request: await newRequest(tlsKey, 'renew'), publicKey };
  return ask(membershipAnswer, { url, path: '/v1/renew', tls, body });
}

interface Question {
  readonly url: string;
  readonly path: string;
  readonly tls: Partial<MemberTls> & { readonly rejectUnauthorized?: boolean };
  readonly body?: object;
}

async function ask<T>(reader: Reader<T>, { url, path, tls, body }: Question): Promise<T> {
  const fail = (why: string, cause?: unknown) =>
    new TwinwatchError('SECURITY_ENROLMENT_FAILED', `${url}: ${why}`, { cause, retryable: true });
  let address: URL;
  try {
    address = new URL(path, url);
  } catch (cause) {
    throw fail('is no URL; write one such as https://plant-server:8884', cause);
  }
  if (address.protocol !== 'https:') throw fail('must begin with https://');
  const { status, text } = await exchange(address, tls, body).catch((cause: Error) => {
    throw fail(`does not answer as it should: ${cause.message}; check that \`twinwatch enrolment\` runs there`, cause);
  });
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    throw fail(`answered ${status} with something that is not JSON`, cause);
  }
  if (status !== 200) {
    const { message = 'no reason given' } = answer as { message?: string };
    throw fail(`refused: ${String(message).slice(0, 300)}`);
  }
  const parsed = reader.safeParse(answer);
  if (!parsed.success) throw fail('answered without what was asked for; is it of another version?');
  return parsed.data;
}

function exchange(
  url: URL,
  tls: Question['tls'],
  body: object | undefined,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { method: body === undefined ? 'GET' : 'POST', agent: false, timeout: TIMEOUT_MS, ...tls },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > MAXIMUM_ANSWER_BYTES) response.destroy(new Error('the answer is too large'));
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

export function certificatesIn(pem: string): readonly string[] {
  return pem.match(PEM_CERTIFICATE) ?? [];
}

function fingerprintOf(pem: string): string {
  try {
    return new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
  } catch {
    return '';
  }
}
