import { type TrustFile, trustFile } from '@twinwatch/core/security/key-files';
import type { TrustAnnouncement } from '@twinwatch/core/wire/messages';
import type { FederationContext } from './federation-context.js';

/** Other keys of the server, told in a message that one of those before has signed, and kept for the next start. */

/** In the store. */
const KEY = 'trust';

type Of = Pick<FederationContext, 'store' | 'trust' | 'log' | 'federation'>;

export async function restoreTrust({ store, trust, log }: Of): Promise<void> {
  const kept = await store.call('state', KEY);
  if (kept === null || trust.pinned === null) return;
  try {
    trust.pinned.take(trustFile.parse(JSON.parse(Buffer.from(kept).toString('utf8'))));
  } catch (error) {
    log.error({ error: String(error) }, "the server's keys that were kept cannot be read; those of enrolment count");
  }
}

/** False for what is not newer than what is believed. */
export function believe({ store, trust, log, federation }: Of, { revision, serverKeys }: TrustAnnouncement): boolean {
  const announced: TrustFile = { version: 1, federation, revision, serverKeys: [...serverKeys] };
  if (trust.pinned?.take(announced) !== true) return false;
  store.write({ op: 'state', key: KEY, value: JSON.stringify(announced) });
  log.info({ revision, keys: serverKeys.map(({ id }) => id) }, 'other keys of the server are believed from now on');
  return true;
}
