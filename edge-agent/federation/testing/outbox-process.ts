import { setTimeout as delay } from 'node:timers/promises';
import type { Feedback } from '@twinwatch/core/wire/error-feedback';
import type { Link } from '@twinwatch/core/wire/link';
import type { Update } from '@twinwatch/core/wire/messages';
import { topics } from '@twinwatch/core/wire/topics';
import { Store } from '../../store/store.js';
import { systemClock, systemTimers } from '../../system-runtime.js';
import { NO_KEYS } from '../agent-trust.js';
import type { FederationContext } from '../federation-context.js';
import { UpdateOutbox } from '../update-outbox.js';

/** An outbox in a process of its own, to be killed: `node outbox-process.js DIRECTORY` sends an update, says so, and waits for what never comes. */

const silent = () => undefined;
export const LOG = { debug: silent, info: silent, warn: silent, error: silent };

export function openTestStore(directory: string): Promise<Store> {
  return Store.open(
    { directory, maximumRows: 9, maximumBytes: 1e9, maximumOutboxEvents: 9, maximumBlobBytes: 1e6 },
    { timers: systemTimers, log: LOG, maximumQueuedRows: 9 },
  );
}

/** With a link to a broker that takes everything and brings nothing. */
export function testContext(store: Store, onSent: (bytes: Uint8Array) => void): FederationContext {
  const link = {
    publish: async () => undefined,
    isArriving: () => false,
    sendTransfer: async (_topic: string, bytes: Uint8Array) => onSent(bytes),
  } as unknown as Link;
  return {
    ...{ federation: 'test', agent: 'site', topics: topics('test').agent('site'), link, store, trust: NO_KEYS },
    ...{ clock: systemClock, timers: systemTimers, log: LOG, nextSequence: () => 1, protocol: () => 1 },
  };
}

export function testUpdate(round: number): Update {
  return {
    ...{ kind: 'update', round, attempt: 0, baseHash: '0'.repeat(64), codec: 'topk-int8', layerMask: null },
    ...{ delta: Uint8Array.of(0, 0), rows: 1, loss: 0.5, trainingMs: 1, scores: null },
  };
}

export function testFeedback(round: number, before: Float32Array | null): Feedback {
  return { lineageHash: 'l', round, before, after: Float32Array.of(round, round / 3) };
}

if (process.argv[1] === import.meta.filename) {
  const store = await openTestStore(process.argv[2]!);
  const outbox = new UpdateOutbox(testContext(store, () => console.log('sent')));
  const { signal } = new AbortController();
  outbox.put(testUpdate(2), testFeedback(2, await outbox.owed('l', 2, signal)), 60_000, signal);
  await delay(600_000);
}
