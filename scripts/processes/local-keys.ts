import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentRecord, TrustFile } from '@twinwatch/core/security/key-files';
import { type NewSigningKey, newSigningKey, type PublicKeyEntry } from '@twinwatch/core/security/keys';

/** Where the keys of a federation lie whose processes all run on this machine. */
export interface LocalKeys {
  /** `security.directory` of the server. */
  readonly server: string;
  /** Agent → its `security.directory`. */
  readonly agents: Readonly<Record<string, string>>;
}

/**
 * Signing keys for a federation on one machine, made without being asked for; those that are there already stay. Private keys are readable by
 * this user only. Machines of their own are enrolled instead, so that no private key ever travels.
 */
export function writeLocalKeys(
  folder: string,
  federation: string,
  agents: readonly string[],
  nowMs: number,
): LocalKeys {
  const server = join(folder, 'federation');
  const directories = Object.fromEntries(agents.map((agent) => [agent, join(folder, 'identities', agent)]));
  const trustPath = join(server, 'server', 'trust.json');
  if (!existsSync(trustPath)) {
    const key = newSigningKey();
    write(join(server, 'server'), `signing-${key.id}.pem`, key.privateKeyPem);
    const trust: TrustFile = { version: 1, federation, revision: 1, serverKeys: [entry(key, nowMs)] };
    write(join(server, 'server'), 'trust.json', JSON.stringify(trust));
  }
  const trust = readFileSync(trustPath, 'utf8');
  for (const [agent, directory] of Object.entries(directories)) {
    if (existsSync(join(directory, 'signing-key.pem'))) continue;
    const key = newSigningKey();
    const record: AgentRecord = {
      ...{ version: 1, agent, publicKeys: [entry(key, nowMs)], certificates: [] },
      ...{ enrolledAtMs: nowMs, revokedAtMs: null },
    };
    write(directory, 'trust.json', trust);
    write(directory, 'signing-key.pem', key.privateKeyPem);
    write(join(server, 'agents'), `${agent}.json`, JSON.stringify(record));
  }
  return { server, agents: directories };
}

function entry({ id, publicKey }: NewSigningKey, nowMs: number): PublicKeyEntry {
  return { id, publicKey, fromMs: nowMs, untilMs: null };
}

function write(directory: string, name: string, text: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(join(directory, name), text, { mode: 0o600 });
}
