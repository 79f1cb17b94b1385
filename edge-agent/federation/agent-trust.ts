import type { KeyObject } from 'node:crypto';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger } from '@twinwatch/core/runtime';
import { type AgentKeys, loadAgentKeys, type ReadText, type TrustFile } from '@twinwatch/core/security/key-files';
import { ed25519Signer, ed25519Verifier, keysOfServer, type TrustedKey } from '@twinwatch/core/wire/ed25519';
import { type Trust, UNSIGNED } from '@twinwatch/core/wire/gate';

/** Whom an agent believes, and what it signs with. */
export interface AgentTrust extends Trust {
  /** Null in a federation that does not sign. */
  readonly pinned: PinnedKeys | null;
}

export const NO_KEYS: AgentTrust = { ...UNSIGNED, pinned: null };

/** The server's public keys as this agent knows them: from enrolment, or later, told in a message signed with one of those. */
export class PinnedKeys {
  #current: TrustFile;
  #keys: readonly TrustedKey[];

  constructor(trust: TrustFile) {
    this.#current = trust;
    this.#keys = keysOfServer(trust);
  }

  get current(): TrustFile {
    return this.#current;
  }

  get keys(): readonly TrustedKey[] {
    return this.#keys;
  }

  /** False for what is not newer, or of another federation. */
  take(trust: TrustFile): boolean {
    const { federation, revision } = this.#current;
    if (trust.federation !== federation || trust.revision <= revision) return false;
    this.#current = trust;
    this.#keys = keysOfServer(trust);
    return true;
  }
}

export interface OpenTrust {
  readonly trust: AgentTrust;
  /** Of the directory: what is looked at for changes. */
  readonly files: readonly string[];
  /** Takes up what has changed in the directory. @throws as openAgentTrust; what was before goes on then. */
  reload(): Promise<void>;
}

/**
 * @param directory `security.directory`, absolute.
 * @throws TwinwatchError SECURITY_FILE_UNREADABLE, SECURITY_FILE_INVALID, SECURITY_KEY_INVALID.
 */
export async function openAgentTrust(
  directory: string,
  federation: string,
  { readText, clock, log }: { readonly readText: ReadText; readonly clock: Clock; readonly log: Logger },
): Promise<OpenTrust> {
  const load = async (): Promise<AgentKeys> => {
    const keys = await loadAgentKeys(directory, readText);
    if (keys.trust.federation === federation) return keys;
    throw new TwinwatchError(
      'SECURITY_FILE_INVALID',
      `${directory}/trust.json is of federation '${keys.trust.federation}', this agent's file says '${federation}'; use the directory that was made for it`,
    );
  };
  const first = await load();
  let signingKey: KeyObject = first.signingKey;
  let publicKey = first.publicKey;
  const pinned = new PinnedKeys(first.trust);
  return {
    trust: {
      signer: ed25519Signer(() => signingKey),
      verifier: ed25519Verifier(
        () => pinned.keys,
        () => clock.now(),
      ),
      pinned,
    },
    files: [`${directory}/signing-key.pem`, `${directory}/trust.json`],
    async reload() {
      const keys = await load();
      if (keys.publicKey !== publicKey) log.info({}, 'messages are signed with a new key from now on');
      signingKey = keys.signingKey;
      publicKey = keys.publicKey;
      if (pinned.take(keys.trust)) log.info({ revision: keys.trust.revision }, 'other keys of the server are believed');
    },
  };
}
