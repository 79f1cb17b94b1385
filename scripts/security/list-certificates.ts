import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DAY_MS, type FederationDirectory } from './federation-directory.js';

export interface ListedCertificate {
  readonly holder: string;
  /** Of one that is damaged, what is wrong. */
  readonly serial: string;
  /** Negative for one that has ended; null where nobody knows. */
  readonly daysLeft: number | null;
  readonly state: 'good' | 'ends soon' | 'ended' | 'revoked' | 'damaged';
}

/** Time enough to notice, and to renew by hand where renewal by itself fails. */
export const WARNING_DAYS = 30;

/** Every certificate that counts: of authorities, broker, server, administrator, and of each agent the newest. */
export async function listCertificates(
  directory: FederationDirectory,
  nowMs: number,
): Promise<readonly ListedCertificate[]> {
  const row = (holder: string, serial: string, notAfterMs: number, isRevoked = false): ListedCertificate => {
    const daysLeft = Math.floor((notAfterMs - nowMs) / DAY_MS);
    const soon = daysLeft < WARNING_DAYS ? 'ends soon' : 'good';
    return { holder, serial, daysLeft, state: isRevoked ? 'revoked' : notAfterMs <= nowMs ? 'ended' : soon };
  };
  const ofPem = (holder: string, pem: string) => {
    const { serialNumber, validTo } = new X509Certificate(pem);
    return row(holder, serialNumber, Date.parse(validTo));
  };
  const authorities = (await directory.authorities()).map(({ number, certificatePem }) =>
    ofPem(`authority ${number}`, certificatePem),
  );
  const own = await Promise.all(
    ['broker', 'server', 'administrator'].map(async (folder) =>
      ofPem(folder, await readFile(directory.file(folder, 'certificate.pem'), 'utf8')),
    ),
  );
  const { records, damaged } = await directory.records();
  const agents = [...records.values()].flatMap(({ agent, certificates, revokedAtMs }) => {
    const newest = certificates.at(-1);
    return newest === undefined ? [] : [row(agent, newest.serial, newest.notAfterMs, revokedAtMs !== null)];
  });
  const unknown = [...damaged].map(
    ([holder, { message }]): ListedCertificate => ({ holder, serial: message, daysLeft: null, state: 'damaged' }),
  );
  return [...authorities, ...own, ...agents, ...unknown];
}

export function certificatesTable(rows: readonly ListedCertificate[]): string {
  const width = Math.max(...rows.map(({ holder }) => holder.length));
  return rows
    .map(
      ({ holder, daysLeft, state, serial }) =>
        `${holder.padEnd(width)}  ${String(daysLeft ?? '?').padStart(6)} days  ${state.padEnd(9)}  ${serial}`,
    )
    .join('\n');
}
