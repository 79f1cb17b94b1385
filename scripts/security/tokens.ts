import { randomBytes, X509Certificate } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { TwinwatchError } from '@twinwatch/core/errors';
import { isSecretOf, type JoinToken, secretHash, writeToken } from '@twinwatch/core/security/join-token';
import { loadJson } from '@twinwatch/core/security/key-files';
import { z } from 'zod';
import { refuseMember } from './enrol.js';
import { type FederationDirectory, json } from './federation-directory.js';
import { alone, createFile } from './private-files.js';

const tokenFile = z.strictObject({ agent: z.string(), hash: z.string(), expiresMs: z.number(), again: z.boolean() });

const TOKEN_FILE = /^([0-9a-f]{16})\.json$/;
const readText = (path: string) => readFile(path, 'utf8');

function fingerprintOf(certificatePem: string): string {
  return new X509Certificate(certificatePem).fingerprint256.replaceAll(':', '').toLowerCase();
}

/** @throws TwinwatchError SECURITY_EXISTS where the agent belongs already. */
export async function makeToken(
  directory: FederationDirectory,
  agent: string,
  { validMs, again = false }: { readonly validMs: number; readonly again?: boolean },
  nowMs: number,
): Promise<string> {
  return alone(directory.path, async () => {
    await refuseMember(directory, agent, again);
    await forgetExpired(directory, nowMs);
    // Of the authority that has signed the certificate which the enrolment service shows.
    const shown = new X509Certificate(await readText(directory.file('server', 'certificate.pem')));
    const authorities = await directory.authorities();
    const issuer = authorities.find(({ certificatePem }) => shown.checkIssued(new X509Certificate(certificatePem)));
    if (issuer === undefined)
      throw new TwinwatchError(
        'SECURITY_AUTHORITY_NEEDED',
        'the server’s certificate is of no authority that is trusted; run `twinwatch rotate server`',
      );
    const token: JoinToken = {
      ...{ id: randomBytes(8).toString('hex'), secret: randomBytes(32) },
      caFingerprint: fingerprintOf(issuer.certificatePem),
    };
    const kept = { agent, hash: secretHash(token.secret), expiresMs: nowMs + validMs, again };
    await createFile(directory.file('tokens', `${token.id}.json`), json(kept));
    return writeToken(token);
  });
}

/**
 * The agent that a token is for. It is used up by that. Call it inside `alone`, together with what it allows.
 * @throws TwinwatchError SECURITY_TOKEN_INVALID, which does not say why.
 */
export async function spendToken(
  directory: FederationDirectory,
  { id, secret }: Pick<JoinToken, 'id' | 'secret'>,
  nowMs: number,
): Promise<{ readonly agent: string; readonly again: boolean }> {
  const file = directory.file('tokens', `${id}.json`);
  const kept = /^[0-9a-f]{16}$/.test(id) ? await loadJson(tokenFile, file, readText).catch(() => null) : null;
  if (kept === null || !isSecretOf(secret, kept.hash) || kept.expiresMs <= nowMs)
    throw new TwinwatchError(
      'SECURITY_TOKEN_INVALID',
      'the token was used, has expired, or was never made here; make another with `twinwatch token`',
    );
  await rm(file);
  return kept;
}

async function forgetExpired(directory: FederationDirectory, nowMs: number): Promise<void> {
  for (const name of await readdir(directory.file('tokens'))) {
    if (!TOKEN_FILE.test(name)) continue;
    const file = directory.file('tokens', name);
    const kept = await loadJson(tokenFile, file, readText).catch(() => null);
    if (kept === null || kept.expiresMs <= nowMs) await rm(file, { force: true });
  }
}
