import { createPublicKey } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { durationText } from '@twinwatch/core/config/duration';
import { TwinwatchError } from '@twinwatch/core/errors';
import { newTlsKey } from '@twinwatch/core/security/certificates';
import { type AgentRecord, IDENTITY_FILES } from '@twinwatch/core/security/key-files';
import { keyId, newSigningKey } from '@twinwatch/core/security/keys';
import { CERTIFICATE_DAYS, DAY_MS, type FederationDirectory, json } from './federation-directory.js';
import { urlHost } from './init.js';
import { alone, createFile, exists, isThere, makeDirectory, READABLE } from './private-files.js';

/** What a device is given: everything public. */
export interface Membership {
  readonly certificate: string;
  readonly ca: string;
  readonly trust: object;
  readonly federation: string;
  readonly brokerUrl: string;
  readonly enrolmentUrl: string;
  /** Of the rows of its agents; absent where it does not say. */
  readonly intervalMs?: number | undefined;
}

/** What a device has made, or had made, for an agent: everything public. */
export interface NewMember {
  readonly agent: string;
  /** SPKI, DER. */
  readonly tlsKeyDer: Uint8Array;
  /** Ed25519, base64url; the one before goes on where it is null. */
  readonly publicKey: string | null;
}

/** Where the federation does not say. */
const USUAL_INTERVAL_MS = 60_000;
/** An agent's signatures by the key before count for this long, for what is under way. */
const SIGNING_OVERLAP_MS = 7 * DAY_MS;

/** Writes down that an agent belongs. Call it inside `alone`. An agent that was revoked belongs again, by its new certificate and key only. */
export async function admitMember(
  directory: FederationDirectory,
  { agent, tlsKeyDer, publicKey }: NewMember,
  nowMs: number,
): Promise<Membership> {
  const before = await directory.record(agent);
  const wasRevoked = before === null || before.revokedAtMs !== null;
  const issued = await directory.issue({ role: 'agent', name: agent }, tlsKeyDer, nowMs + CERTIFICATE_DAYS * DAY_MS);
  const kept = before?.publicKeys ?? [];
  const record: AgentRecord = {
    ...{ version: 1, agent },
    publicKeys: publicKey === null ? kept : withKey(kept, publicKey, nowMs, wasRevoked ? 0 : SIGNING_OVERLAP_MS),
    certificates: [
      ...(before?.certificates ?? []).filter(({ notAfterMs }) => notAfterMs > nowMs),
      { ...{ serial: issued.serial, notAfterMs: issued.notAfterMs }, authority: issued.authority, revokedAtMs: null },
    ],
    ...{ enrolledAtMs: before?.enrolledAtMs ?? nowMs, revokedAtMs: null },
  };
  await directory.writeRecord(record);
  return { certificate: issued.certificatePem, ...(await publicPart(directory)) };
}

/** What every member may know. */
export async function publicPart(directory: FederationDirectory): Promise<Omit<Membership, 'certificate'>> {
  const { name, hosts, brokerHosts, brokerPort, enrolmentPort, intervalMs } = await directory.federation();
  return {
    ...{ ca: await directory.trustedCa(), trust: await directory.trust(), federation: name, intervalMs },
    brokerUrl: `mqtts://${urlHost(brokerHosts[0]!)}:${brokerPort}`,
    enrolmentUrl: `https://${urlHost(hosts[0]!)}:${enrolmentPort}`,
  };
}

function withKey(keys: AgentRecord['publicKeys'], publicKey: string, nowMs: number, overlapMs: number) {
  const ending = keys
    .filter((key) => key.publicKey !== publicKey && (key.untilMs === null || key.untilMs > nowMs))
    .map((key) => ({ ...key, untilMs: Math.min(key.untilMs ?? Number.POSITIVE_INFINITY, nowMs + overlapMs) }))
    .filter(({ untilMs }) => untilMs > nowMs);
  return [...ending, { id: keyId(publicKey), publicKey, fromMs: nowMs, untilMs: null }].slice(-16);
}

/**
 * Makes an agent's bundle: a folder to be copied to its device as it is.
 * @param out the folder; `bundles/<agent>` of the federation's directory where absent.
 * @throws TwinwatchError SECURITY_EXISTS where the agent belongs already, or the folder is there.
 */
export async function enrol(
  directory: FederationDirectory,
  agent: string,
  { out, again = false }: { readonly out?: string | undefined; readonly again?: boolean },
  nowMs: number,
): Promise<string> {
  const bundle = out ?? directory.file('bundles', agent);
  if (await isThere(bundle)) throw exists(bundle);
  await alone(directory.path, async () => {
    await refuseMember(directory, agent, again);
    const tlsKey = newTlsKey();
    const signing = newSigningKey();
    const tlsKeyDer = createPublicKey(tlsKey).export({ type: 'spki', format: 'der' });
    const membership = await admitMember(directory, { agent, tlsKeyDer, publicKey: signing.publicKey }, nowMs);
    await writeIdentity(bundle, agent, membership, { tlsKey, signingKey: signing.privateKeyPem });
  });
  return bundle;
}

/** @throws TwinwatchError SECURITY_EXISTS where the agent belongs, and `again` does not say that this is known. */
export async function refuseMember(directory: FederationDirectory, agent: string, again: boolean): Promise<void> {
  const record = await directory.record(agent);
  if (record === null || record.revokedAtMs !== null || again) return;
  throw new TwinwatchError(
    'SECURITY_EXISTS',
    `agent '${agent}' belongs to this federation already; where its device was replaced, say --again`,
    { context: { agent } },
  );
}

/** An agent's folder: its configuration, and beside it `identity/`. @throws TwinwatchError SECURITY_EXISTS. */
export async function writeIdentity(
  folder: string,
  agent: string,
  { certificate, ca, trust, federation, brokerUrl, enrolmentUrl, intervalMs = USUAL_INTERVAL_MS }: Membership,
  keys: { readonly tlsKey: string; readonly signingKey: string },
): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const identity = join(folder, 'identity');
  await makeDirectory(folder);
  await makeDirectory(identity);
  await createFile(join(identity, IDENTITY_FILES.key), keys.tlsKey);
  await createFile(join(identity, IDENTITY_FILES.signingKey), keys.signingKey);
  await createFile(join(identity, IDENTITY_FILES.certificate), certificate, READABLE);
  await createFile(join(identity, IDENTITY_FILES.ca), ca, READABLE);
  await createFile(join(identity, IDENTITY_FILES.trust), json(trust), READABLE);
  const files = 'ca: identity/ca.pem, cert: identity/certificate.pem, key: identity/key.pem';
  await createFile(
    join(folder, 'agent.yaml'),
    `# Start: twinwatch agent --config agent.yaml
federation: ${federation}
agent: ${agent}
broker: { url: ${brokerUrl}, ${files} }
security: { directory: identity, renewal: { url: ${enrolmentUrl} } }
dataDir: data
# Of its rows. The same on every agent, and that of the plant in server.yaml.
interval: ${durationText(intervalMs)}
# What it reads, see docs/devices.md:
# buses:
#   - url: tcp://10.0.0.17:502
#     devices: [{ name: PLC1, unit: 1, template: plc1.yaml }]
`,
    READABLE,
  );
}
