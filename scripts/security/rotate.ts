import { TwinwatchError } from '@twinwatch/core/errors';
import type { FederationDirectory } from './federation-directory.js';
import { certify } from './init.js';
import { alone } from './private-files.js';

/** New keys in the place of old ones. Broker and server take them up while they run; connections stay. */

/** A new key and certificate by the newest authority. */
export async function rotateCertificate(
  directory: FederationDirectory,
  role: 'broker' | 'server' | 'operator',
  nowMs: number,
): Promise<void> {
  await alone(directory.path, () => certify(directory, role, nowMs));
}

/**
 * The server signs with a new key once `overlapMs` are over, which is the time for agents to hear of it; the one before counts for as long again.
 * @returns the new key's id.
 */
export async function rotateSigningKey(
  directory: FederationDirectory,
  overlapMs: number,
  nowMs: number,
): Promise<string> {
  return alone(directory.path, async () => {
    const trust = await directory.trust();
    const { id, publicKey } = await directory.addSigningKey();
    const fromMs = nowMs + overlapMs;
    const before = trust.serverKeys
      .filter(({ untilMs }) => untilMs === null || untilMs > nowMs)
      .map((key) => ({ ...key, untilMs: Math.min(key.untilMs ?? Number.POSITIVE_INFINITY, fromMs + overlapMs) }))
      .filter(({ untilMs }) => untilMs > nowMs);
    await directory.writeTrust({
      ...trust,
      revision: trust.revision + 1,
      serverKeys: [...before, { id, publicKey, fromMs, untilMs: null }].slice(-16),
    });
    return id;
  });
}

/** From now on a new authority signs; both are trusted. Everybody who renews gets both, and a certificate of the new one. */
export async function rotateAuthority(directory: FederationDirectory, nowMs: number): Promise<void> {
  await alone(directory.path, async () => {
    await directory.addAuthority(nowMs);
    await directory.publish(nowMs);
  });
}

/**
 * Ends the trust in all authorities but the newest.
 * @param force although agents hold certificates of theirs only: these are out until they are enrolled again.
 * @throws TwinwatchError SECURITY_AUTHORITY_NEEDED naming those agents.
 */
export async function retireAuthorities(directory: FederationDirectory, force: boolean, nowMs: number): Promise<void> {
  await alone(directory.path, async () => {
    const [newest, ...older] = await directory.authorities();
    const { records, damaged } = await directory.records();
    const behind = [...records.values()]
      .filter(
        ({ revokedAtMs, certificates }) =>
          revokedAtMs === null &&
          !certificates.some(({ authority, notAfterMs }) => authority === newest?.number && notAfterMs > nowMs),
      )
      .map(({ agent }) => agent)
      // Nobody knows what these have.
      .concat(...damaged.keys());
    if (behind.length > 0 && !force)
      throw new TwinwatchError(
        'SECURITY_AUTHORITY_NEEDED',
        `${behind.join(', ')} would be shut out: without a certificate of the newest authority yet; let them renew (\`twinwatch renew\`), or add --force`,
      );
    for (const { number } of older) await directory.removeAuthority(number);
    // Their own certificates may be of an authority that is gone.
    for (const role of ['broker', 'server', 'operator'] as const) await certify(directory, role, nowMs);
    await directory.publish(nowMs);
  });
}
