import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { CertificateName } from '@twinwatch/core/security/certificate-name';
import {
  type Authority,
  type IssuedCertificate,
  issueCertificate,
  newAuthority,
  revocationList,
} from '@twinwatch/core/security/certificates';
import {
  type AgentRecord,
  type AgentRecords,
  agentRecord,
  loadAgentRecords,
  loadJson,
  type TrustFile,
  trustFile,
} from '@twinwatch/core/security/key-files';
import { type NewSigningKey, newSigningKey } from '@twinwatch/core/security/keys';
import { z } from 'zod';
import { createFile, isThere, makeDirectory, READABLE, replaceFile } from './private-files.js';

/**
 * The directory that `twinwatch init` makes, on the server's machine:
 *   federation.json                what agents are told: name, addresses, interval
 *   ca/ca-<n>.pem, ca-<n>-key.pem  authorities; the newest signs, all are trusted
 *   server/ broker/ administrator/ certificate.pem, key.pem, ca.pem of each; broker/ can be moved to another machine
 *   server/trust.json, signing-*   the server's signing keys (core/security/key-files)
 *   agents/<agent>.json            who was enrolled, and which certificates were issued
 *   tokens/<id>.json               join tokens, hashed
 *   revoked.json                   serials that count no more
 */

export const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 20 * 365;
export const CERTIFICATE_DAYS = 365;

const federationFile = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  /** Names and addresses of the server's machine; the first is what agents are told. */
  hosts: z.array(z.string().min(1)).min(1),
  brokerHosts: z.array(z.string().min(1)).min(1),
  brokerPort: z.int(),
  enrolmentPort: z.int(),
  /** Of its plant's rows, and so of every agent's; absent from those that an earlier release made. */
  intervalMs: z.number().positive().optional(),
});
export type FederationFile = z.infer<typeof federationFile>;

const revokedFile = z.array(z.strictObject({ serial: z.string(), authority: z.int(), revokedAtMs: z.number() }));

const readText = (path: string) => readFile(path, 'utf8');
export const json = (content: object) => `${JSON.stringify(content, null, 2)}\n`;

export interface NumberedAuthority extends Authority {
  readonly number: number;
}

/** Reads and writes one federation's directory. What changes it belongs into `alone`. */
export class FederationDirectory {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** @throws TwinwatchError SECURITY_FILE_UNREADABLE, SECURITY_FILE_INVALID. */
  federation(): Promise<FederationFile> {
    return loadJson(federationFile, this.file('federation.json'), readText);
  }

  /** Newest first. */
  async authorities(): Promise<readonly NumberedAuthority[]> {
    const numbers = (await readdir(this.file('ca')))
      .flatMap((name) => /^ca-(\d+)\.pem$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a);
    return Promise.all(
      numbers.map(async (number) => ({
        number,
        certificatePem: await readText(this.file('ca', `ca-${number}.pem`)),
        keyPem: await readText(this.file('ca', `ca-${number}-key.pem`)),
      })),
    );
  }

  async addAuthority(nowMs: number): Promise<void> {
    const { name } = await this.federation();
    const number = ((await this.authorities())[0]?.number ?? 0) + 1;
    const { certificatePem, keyPem } = await newAuthority(name, nowMs + AUTHORITY_DAYS * DAY_MS);
    await createFile(this.file('ca', `ca-${number}-key.pem`), keyPem);
    await createFile(this.file('ca', `ca-${number}.pem`), certificatePem, READABLE);
  }

  async removeAuthority(number: number): Promise<void> {
    await rm(this.file('ca', `ca-${number}.pem`));
    await rm(this.file('ca', `ca-${number}-key.pem`));
  }

  /** What everybody trusts, newest first: PEM. */
  async trustedCa(): Promise<string> {
    return (await this.authorities()).map(({ certificatePem }) => certificatePem).join('');
  }

  /** Signed by the newest authority. */
  async issue(
    name: Omit<CertificateName, 'federation'>,
    publicKeyDer: Uint8Array,
    notAfterMs: number,
    hosts: readonly string[] = [],
  ): Promise<IssuedCertificate & { readonly authority: number }> {
    const [authority] = await this.authorities();
    if (authority === undefined)
      throw new TwinwatchError('SECURITY_FILE_UNREADABLE', `${this.file('ca')} holds no authority; restore it`);
    const { name: federation } = await this.federation();
    const issued = await issueCertificate({
      ...{ authority, publicKeyDer, hosts, notAfterMs },
      name: { federation, ...name },
    });
    return { ...issued, authority: authority.number };
  }

  /** Null for one that was never enrolled. */
  async record(agent: string): Promise<AgentRecord | null> {
    const file = this.file('agents', `${agent}.json`);
    return (await isThere(file)) ? loadJson(agentRecord, file, readText) : null;
  }

  records(): Promise<AgentRecords> {
    return loadAgentRecords(this.path, readdir, readText);
  }

  writeRecord(record: AgentRecord): Promise<void> {
    return replaceFile(this.file('agents', `${record.agent}.json`), json(agentRecord.parse(record)));
  }

  trust(): Promise<TrustFile> {
    return loadJson(trustFile, this.file('server', 'trust.json'), readText);
  }

  writeTrust(trust: TrustFile): Promise<void> {
    return replaceFile(this.file('server', 'trust.json'), json(trustFile.parse(trust)));
  }

  /** Its private half lies in the directory before anything names it. */
  async addSigningKey(): Promise<NewSigningKey> {
    const key = newSigningKey();
    await createFile(this.file('server', `signing-${key.id}.pem`), key.privateKeyPem);
    return key;
  }

  async revoke(certificates: readonly { serial: string; authority: number }[], nowMs: number): Promise<void> {
    const before = await this.#revoked();
    const known = new Set(before.map(({ serial }) => serial));
    const added = certificates.filter(({ serial }) => !known.has(serial));
    await replaceFile(
      this.file('revoked.json'),
      json([...before, ...added.map(({ serial, authority }) => ({ serial, authority, revokedAtMs: nowMs }))]),
    );
  }

  /** Gives broker, server and administrator what they trust, and the broker who is revoked. */
  async publish(nowMs: number): Promise<void> {
    const authorities = await this.authorities();
    const revoked = await this.#revoked();
    const lists = await Promise.all(
      authorities.map((authority) =>
        revocationList(
          authority,
          revoked.filter((one) => one.authority === authority.number),
          nowMs,
        ),
      ),
    );
    // Authorities before lists: a list is good only with the authority that signed it.
    const ca = await this.trustedCa();
    for (const role of ['broker', 'server', 'administrator'])
      await replaceFile(this.file(role, 'ca.pem'), ca, READABLE);
    await replaceFile(this.file('broker', 'revoked.pem'), `${lists.join('\n')}\n`, READABLE);
  }

  async #revoked(): Promise<z.infer<typeof revokedFile>> {
    const file = this.file('revoked.json');
    return (await isThere(file)) ? loadJson(revokedFile, file, readText) : [];
  }
}

/** The parts of it that commands write into. */
export async function makeFolders(directory: FederationDirectory): Promise<void> {
  for (const folder of ['', 'ca', 'server', 'broker', 'administrator', 'agents', 'tokens', 'bundles'])
    await makeDirectory(directory.file(folder));
}

export function federationText(federation: FederationFile): string {
  return json(federationFile.parse(federation));
}
