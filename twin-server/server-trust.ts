import { readdir, readFile, stat } from 'node:fs/promises';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { loadAgentRecords, loadServerKeys, type TrustFile } from '@twinwatch/core/security/key-files';
import { signingEntry } from '@twinwatch/core/security/keys';
import { ed25519Signer, ed25519Verifier, keysOfAgents } from '@twinwatch/core/wire/ed25519';
import { type Trust, UNSIGNED } from '@twinwatch/core/wire/gate';
import type { CertificateView } from '@twinwatch/core/wire/http';
import { certificateEnds } from './certificate-ends.js';

/** Whom the server believes, what it signs with, and what agents are to know of its keys. Follows its directory while it runs. */
export interface ServerTrust extends Trust {
  /** What agents are told; another object whenever it has changed. */
  readonly announced: () => TrustFile | null;
  /** The agent was put out, or its file is damaged; not where only one of its keys has had its time. */
  readonly isRevoked: (agent: string) => boolean;
  /** What ends when; another object whenever it has changed. */
  readonly certificates: () => readonly CertificateView[];
}

const NONE: readonly CertificateView[] = [];
export const NO_KEYS: ServerTrust = {
  ...UNSIGNED,
  announced: () => null,
  isRevoked: () => false,
  certificates: () => NONE,
};

interface Options {
  readonly federation: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
}

/** Between two looks at the directory: the longest that a revoked agent is still believed. */
const LOOK_MS = 500;

/**
 * @param directory `security.directory`, absolute.
 * @param signal ends the following of the directory.
 * @throws TwinwatchError SECURITY_FILE_UNREADABLE, SECURITY_FILE_INVALID, SECURITY_KEY_INVALID.
 */
export async function openServerTrust(
  directory: string,
  { federation, clock, timers, log }: Options,
  signal: AbortSignal,
): Promise<ServerTrust> {
  const loadOwn = async () => {
    const keys = await loadServerKeys(directory, readText, clock.now());
    if (keys.trust.federation === federation) return keys;
    throw new TwinwatchError(
      'SECURITY_FILE_INVALID',
      `${directory}/server/trust.json is of federation '${keys.trust.federation}', the server's file says '${federation}'; use the directory that was made for it`,
    );
  };
  const loadAgents = async () => {
    const all = await loadAgentRecords(directory, names, readText);
    const { records, damaged } = all;
    for (const [agent, { message }] of damaged)
      log.error({ agent }, `agent ${agent} is not believed until its file is good again: ${message}`);
    return { keys: keysOfAgents(records.values()), damaged, all };
  };
  let looked = await looks(directory);
  let own = await loadOwn();
  let agents = await loadAgents();
  let ends = await certificateEnds(directory, agents.all, own.trust, readText);
  const follow = async () => {
    while (!signal.aborted) {
      await timers.sleep('keys', LOOK_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      const seen = await looks(directory);
      const due = signingEntry(own.trust.serverKeys, clock.now())?.id;
      if (seen === looked && due === own.keyId) continue;
      // First, and by themselves: whatever is wrong with the server's own keys, who was put out is out.
      if (seen !== looked) {
        agents = await loadAgents();
        log.info({ keys: agents.keys.length }, 'the keys of agents were read again');
      }
      try {
        const next = await loadOwn();
        if (next.keyId !== own.keyId) log.info({ keyId: next.keyId }, 'messages are signed with a new key from now on');
        own = { ...next, trust: next.trust.revision === own.trust.revision ? own.trust : next.trust };
      } catch (error) {
        // A file that is being written is whole at a later look.
        if (seen !== looked)
          log.error({ error: String(error) }, 'the changed keys cannot be used; those from before go on');
      }
      ends = await certificateEnds(directory, agents.all, own.trust, readText);
      looked = seen;
    }
  };
  void follow();
  return {
    signer: ed25519Signer(() => own.signingKey),
    verifier: ed25519Verifier(
      () => agents.keys,
      () => clock.now(),
    ),
    announced: () => own.trust,
    certificates: () => ends,
    isRevoked: (agent) => agents.damaged.has(agent) || agents.keys.some((key) => key.owner === agent && key.isRevoked),
  };
}

const readText = (path: string): Promise<string> => readFile(path, 'utf8');

const names = (path: string): Promise<readonly string[]> => readdir(path).catch(() => []);

/** Names, times and sizes of all files that keys and certificates are read from. */
async function looks(directory: string): Promise<string> {
  const files = await Promise.all(
    ['server', 'agents', 'broker'].map(async (folder) =>
      (await names(`${directory}/${folder}`))
        .filter((name) => /\.(json|pem)$/.test(name))
        .map((name) => `${folder}/${name}`),
    ),
  );
  const seen = await Promise.all(
    files.flat().map(async (file) => {
      const found = await stat(`${directory}/${file}`).catch(() => null);
      return `${file} ${found?.ctimeMs} ${found?.size} ${found?.ino}`;
    }),
  );
  return seen.sort().join('\n');
}
