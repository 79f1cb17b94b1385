import { X509Certificate } from 'node:crypto';
import type { AgentRecords, ReadText, TrustFile } from '@twinwatch/core/security/key-files';
import type { CertificateView } from '@twinwatch/core/wire/http';

/** What of a federation's directory ends when, as far as a server can see it: for people, who are to replace it in time. */

const CERTIFICATES = [
  ['authority', 'server/ca.pem'],
  ['server', 'server/certificate.pem'],
  // Not there where the broker runs on another machine.
  ['broker', 'broker/certificate.pem'],
] as const;

/** @param directory of the federation, absolute. What is not there, or no certificate, is left out: whoever needs it says so. */
export async function certificateEnds(
  directory: string,
  { records, damaged }: AgentRecords,
  { serverKeys }: Pick<TrustFile, 'serverKeys'>,
  readText: ReadText,
): Promise<readonly CertificateView[]> {
  const files = await Promise.all(
    CERTIFICATES.map(async ([holder, file]) =>
      endsOfPem(holder, await readText(`${directory}/${file}`).catch(() => '')),
    ),
  );
  const keys = serverKeys
    .filter(({ untilMs }) => untilMs !== null)
    .map(({ untilMs }) => ({ holder: 'signing key', isAgent: false, notAfterMs: untilMs }));
  // One that is being replaced is no loss.
  const lastKey = serverKeys.some(({ untilMs }) => untilMs === null) ? [] : keys.slice(-1);
  const agents = [...records.values()].flatMap(({ agent, certificates, revokedAtMs }) => {
    const newest = certificates.at(-1);
    return revokedAtMs !== null || newest === undefined
      ? []
      : [{ holder: agent, isAgent: true, notAfterMs: newest.notAfterMs }];
  });
  const unknown = [...damaged.keys()].map((holder) => ({ holder, isAgent: true, notAfterMs: null }));
  return [...files.flat(), ...lastKey, ...agents, ...unknown];
}

/** Of each certificate in it; none where it cannot be read as one. */
export function endsOfPem(holder: string, pem: string): readonly CertificateView[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).flatMap((one) => {
    try {
      return [{ holder, isAgent: false, notAfterMs: Date.parse(new X509Certificate(one).validTo) }];
    } catch {
      return [];
    }
  });
}
