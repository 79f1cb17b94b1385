import { X509Certificate } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { IDENTITY_FILES, trustFile } from '@twinwatch/core/security/key-files';

/** Keeps an agent's identity directory good: a new certificate before the old one ends, and the authorities that are trusted now. */

const DAY_MS = 86_400_000;
/** Of a year: time for many attempts, and for somebody to look after what fails. */
const RENEW_BEFORE_MS = 60 * DAY_MS;
const WARN_BEFORE_MS = 30 * DAY_MS;

export interface RenewalOptions {
  /** Absolute. */
  readonly directory: string;
  readonly url: string;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
}

/** Looks at once, and then again and again until the signal aborts. A failure is told, and tried again. */
export async function keepRenewed(options: RenewalOptions, signal: AbortSignal): Promise<void> {
  const { everyMs, timers, log } = options;
  while (!signal.aborted) {
    try {
      const done = await renewIdentity(options);
      if (done.length > 0) log.info({ done }, 'the identity of this agent was renewed');
    } catch (error) {
      log.warn({ reason: (error as Error).message }, 'cannot look for a newer certificate; tried again later');
    }
    await timers.sleep('renewal', everyMs, signal).catch(() => undefined);
  }
}

type Renewal = 'authorities' | 'server keys' | 'certificate' | 'signing key';

/**
 * One look. @param force renews although there is no need; `withSigningKey` with a new key for signatures, too.
 * @throws TwinwatchError SECURITY_ENROLMENT_FAILED; what was before stays.
 */
export async function renewIdentity(
  { directory, url, clock, log }: Pick<RenewalOptions, 'directory' | 'url' | 'clock' | 'log'>,
  { force = false, withSigningKey = false } = {},
): Promise<readonly Renewal[]> {
  const read = (name: string) => readFile(join(directory, name), 'utf8');
  // All of them are on the disk before the first takes its place: a key without its certificate would shut the agent out.
  const replace = async (...files: readonly (readonly [name: string, text: string, mode: number])[]) => {
    for (const [name, text, mode] of files)
      await writeFile(join(directory, `.${name}.draft`), text, { mode, flush: true });
    for (const [name] of files) await rename(join(directory, `.${name}.draft`), join(directory, name));
  };
  const tls = {
    ca: await read(IDENTITY_FILES.ca),
    cert: await read(IDENTITY_FILES.certificate),
    key: await read(IDENTITY_FILES.key),
  };
  const certificate = new X509Certificate(tls.cert);
  const leftMs = Date.parse(certificate.validTo) - clock.now();
  if (leftMs < WARN_BEFORE_MS)
    log.warn({ daysLeft: Math.floor(leftMs / DAY_MS) }, "this agent's certificate ends soon; renewal is tried");
  // Loads what makes certificates, which an agent seldom needs.
  const { certificatesIn, fetchTrust, renew } = await import('./enrolment-client.js');
  const { ca, trust } = await fetchTrust(url, tls);
  const done: Renewal[] = [];
  if (ca !== tls.ca) {
    await replace([IDENTITY_FILES.ca, ca, 0o644]);
    done.push('authorities');
  }
  const pinned = trustFile.parse(JSON.parse(await read(IDENTITY_FILES.trust)));
  if (trust.federation === pinned.federation && trust.revision > pinned.revision) {
    await replace([IDENTITY_FILES.trust, `${JSON.stringify(trust, null, 2)}\n`, 0o644]);
    done.push('server keys');
  }
  const newest = certificatesIn(ca)[0];
  const isOfNewest = newest !== undefined && certificate.checkIssued(new X509Certificate(newest));
  if (!force && !withSigningKey && isOfNewest && leftMs > RENEW_BEFORE_MS) return done;
  const { newTlsKey } = await import('@twinwatch/core/security/certificates');
  const { newSigningKey } = await import('@twinwatch/core/security/keys');
  const tlsKey = newTlsKey();
  const signing = withSigningKey ? newSigningKey() : null;
  const renewed = await renew(url, tls, { tlsKey, publicKey: signing?.publicKey ?? null });
  await replace(
    [IDENTITY_FILES.key, tlsKey, 0o600],
    [IDENTITY_FILES.certificate, renewed.certificate, 0o644],
    ...(signing === null ? [] : [[IDENTITY_FILES.signingKey, signing.privateKeyPem, 0o600] as const]),
  );
  done.push('certificate', ...(signing === null ? [] : (['signing key'] as const)));
  return done;
}
