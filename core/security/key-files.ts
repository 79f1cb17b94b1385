import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { TwinwatchError } from '../errors.js';
import { privateSigningKey, publicKeyEntry, publicKeyOf, signingEntry } from './keys.js';

/**
 * Where keys lie. Every function takes the reading of a file, so that nothing here touches the disk.
 *
 * An agent's identity directory (`security.directory` of its file), as `twinwatch enrol` and `twinwatch join` make it:
 *   certificate.pem  key.pem  ca.pem     for TLS: its own certificate (newest first), P-256 private key, authorities it trusts
 *   signing-key.pem                      Ed25519 private key of this agent
 *   trust.json                           TrustFile: the federation's name and the server's public keys, pinned
 *
 * A federation's directory (`security.directory` of the server's file), as `twinwatch init` makes it:
 *   server/trust.json                    TrustFile, what agents are given
 *   server/signing-<key id>.pem          Ed25519 private keys of the server
 *   agents/<agent>.json                  AgentRecord, one for each agent that was ever enrolled
 */

/** As in topics and configurations, which lie above this folder. */
const identifier = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, { error: 'must be 1–64 letters, digits, _ or -' });

export const trustFile = z.strictObject({
  version: z.literal(1),
  federation: identifier,
  /** Rises with every change: an older file never takes the place of a newer one. */
  revision: z.int().min(1),
  serverKeys: z.array(publicKeyEntry).min(1).max(16),
});

export type TrustFile = z.infer<typeof trustFile>;

export const agentRecord = z.strictObject({
  version: z.literal(1),
  agent: identifier,
  /** Newest last. A signature by any whose time is not over counts, unless the agent is revoked. */
  publicKeys: z.array(publicKeyEntry).min(1).max(16),
  /** Every certificate that was issued, newest last. */
  certificates: z.array(
    z.strictObject({
      /** Hex, upper case, as `openssl x509 -serial` and node's X509Certificate.serialNumber write it. */
      serial: z.string().regex(/^[0-9A-F]{2,40}$/, { error: 'must be a serial number in hex' }),
      notAfterMs: z.number(),
      /** Number of the authority that signed it. */
      authority: z.int().min(1),
      /** Null while it is good. */
      revokedAtMs: z.number().nullable(),
    }),
  ),
  enrolledAtMs: z.number(),
  /** Null while the agent belongs; otherwise none of its messages count. */
  revokedAtMs: z.number().nullable(),
});

export type AgentRecord = z.infer<typeof agentRecord>;

export type ReadText = (path: string) => Promise<string>;

/** Names of the files in an agent's identity directory. */
export const IDENTITY_FILES = {
  certificate: 'certificate.pem',
  key: 'key.pem',
  ca: 'ca.pem',
  signingKey: 'signing-key.pem',
  trust: 'trust.json',
} as const;

export interface AgentKeys {
  readonly signingKey: KeyObject;
  readonly publicKey: string;
  readonly trust: TrustFile;
}

/**
 * What an agent signs with, and whom it believes.
 * @param directory `security.directory` of the agent's file, absolute.
 * @throws TwinwatchError SECURITY_FILE_UNREADABLE, SECURITY_FILE_INVALID, SECURITY_KEY_INVALID.
 */
export async function loadAgentKeys(directory: string, readText: ReadText): Promise<AgentKeys> {
  const keyFile = `${directory}/${IDENTITY_FILES.signingKey}`;
  const signingKey = privateSigningKey(await readOf(keyFile, readText), keyFile);
  const trust = await loadJson(trustFile, `${directory}/${IDENTITY_FILES.trust}`, readText);
  return { signingKey, publicKey: publicKeyOf(signingKey), trust };
}

export interface ServerKeys {
  /** Newest whose time has come. */
  readonly keyId: string;
  readonly signingKey: KeyObject;
  readonly trust: TrustFile;
}

/**
 * What the server signs with now, and what agents know of it.
 * @param directory `security.directory` of the server's file, absolute.
 * @throws TwinwatchError SECURITY_FILE_UNREADABLE, SECURITY_FILE_INVALID, SECURITY_KEY_INVALID.
 */
export async function loadServerKeys(directory: string, readText: ReadText, nowMs: number): Promise<ServerKeys> {
  const file = `${directory}/server/trust.json`;
  const trust = await loadJson(trustFile, file, readText);
  const entry = signingEntry(trust.serverKeys, nowMs);
  if (entry === null)
    throw new TwinwatchError(
      'SECURITY_KEY_INVALID',
      `${file} has no key whose time has come; make one with \`twinwatch rotate signing\`, or set this machine's clock`,
    );
  const keyFile = `${directory}/server/signing-${entry.id}.pem`;
  const signingKey = privateSigningKey(await readOf(keyFile, readText), keyFile);
  if (publicKeyOf(signingKey) !== entry.publicKey)
    throw new TwinwatchError(
      'SECURITY_KEY_INVALID',
      `${keyFile} does not hold the key that ${file} says; restore both`,
    );
  return { keyId: entry.id, signingKey, trust };
}

export interface AgentRecords {
  /** Every agent that was ever enrolled, by its name. */
  readonly records: ReadonlyMap<string, AgentRecord>;
  /** Agents whose file cannot be used, and why. Whether they were revoked nobody knows: they are not to be believed. */
  readonly damaged: ReadonlyMap<string, TwinwatchError>;
}

/**
 * A damaged file is that of one agent, and keeps nobody from learning about the others.
 * @param list names of the files in a directory; none where it is not there.
 */
export async function loadAgentRecords(
  directory: string,
  list: (path: string) => Promise<readonly string[]>,
  readText: ReadText,
): Promise<AgentRecords> {
  const folder = `${directory}/agents`;
  const names = (await list(folder)).filter((name) => name.endsWith('.json')).sort();
  const records = new Map<string, AgentRecord>();
  const damaged = new Map<string, TwinwatchError>();
  for (const name of names) {
    const agent = name.slice(0, -'.json'.length);
    try {
      records.set(agent, await loadAgentRecord(`${folder}/${name}`, agent, readText));
    } catch (error) {
      if (!(error instanceof TwinwatchError)) throw error;
      damaged.set(agent, error);
    }
  }
  return { records, damaged };
}

async function loadAgentRecord(file: string, agent: string, readText: ReadText): Promise<AgentRecord> {
  const record = await loadJson(agentRecord, file, readText);
  if (record.agent === agent) return record;
  throw invalidFile(file, `it is about agent '${record.agent}', whose file is ${record.agent}.json`);
}

/** @throws TwinwatchError SECURITY_FILE_UNREADABLE, SECURITY_FILE_INVALID naming what is wrong. */
export async function loadJson<S extends z.ZodType>(schema: S, file: string, readText: ReadText): Promise<z.output<S>> {
  const text = await readOf(file, readText);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw invalidFile(file, 'it is not JSON', cause);
  }
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'all of it'}: ${message}`);
  throw invalidFile(file, wrong.join('; '));
}

async function readOf(file: string, readText: ReadText): Promise<string> {
  try {
    return await readText(file);
  } catch (cause) {
    throw new TwinwatchError(
      'SECURITY_FILE_UNREADABLE',
      `${file} cannot be read: ${(cause as Error).message}; it is made by \`twinwatch init\` for a server, by \`twinwatch enrol\` or \`twinwatch join\` for an agent`,
      { cause, context: { file } },
    );
  }
}

function invalidFile(file: string, what: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError('SECURITY_FILE_INVALID', `${file} is not usable: ${what}; restore it from a backup`, {
    cause,
    context: { file },
  });
}
