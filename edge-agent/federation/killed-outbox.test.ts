import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { UpdateVerdict } from '@twinwatch/core/wire/messages';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../store/store.js';
import { decodeFeedback } from './stored-update.js';
import { openTestStore, testContext, testFeedback, testUpdate } from './testing/outbox-process.js';
import { UpdateOutbox } from './update-outbox.js';

const PROCESS = fileURLToPath(new URL('./testing/outbox-process.js', import.meta.url));
/** What update 1 left out, and update 2, which had that added. */
const AFTER_ONE = testFeedback(1, null).after;
const AFTER_TWO = testFeedback(2, AFTER_ONE).after;

let directory: string;
let store: Store;
let child: ChildProcess | null = null;
const { signal } = new AbortController();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-killed-'));
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await store.close();
  rmSync(directory, { recursive: true });
});

/** Update 1 counted; the process that sent update 2 was killed before its receipt. */
async function killedAfterSending(): Promise<Uint8Array[]> {
  const first = await openTestStore(directory);
  const outbox = new UpdateOutbox(testContext(first, () => undefined));
  outbox.put(testUpdate(1), testFeedback(1, await outbox.owed('l', 1, signal)), 60_000, signal);
  outbox.received({ kind: 'update-receipt', round: 1, attempt: 0, verdict: 'accepted', detail: '' });
  outbox.flush();
  await first.close();
  child = spawn(process.execPath, [PROCESS, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  store = await openTestStore(directory);
  return [];
}

describe('an agent that is killed between sending an update and its receipt', () => {
  it.each<[UpdateVerdict, Float32Array | null]>([
    ['accepted', AFTER_TWO],
    ['duplicate', AFTER_TWO],
    ['stale-round', AFTER_ONE],
    ['too-large', null],
  ])('sends the same bytes again, and owes by the verdict: %s', async (verdict, owed) => {
    const sent = await killedAfterSending();
    const again = new UpdateOutbox(testContext(store, (bytes) => sent.push(bytes)));
    await again.restore(signal);
    await expect.poll(() => sent.length).toBeGreaterThan(0);
    expect(again.holds(2, 0, '0'.repeat(64))).toBe(true);
    // A fit for the next round waits for the verdict, and asks for it.
    const before = sent.length;
    const waiting = again.owed('l', 3, signal);
    await expect.poll(() => sent.length).toBeGreaterThan(before);
    for (const bytes of sent) expect(bytes).toEqual(sent[0]);
    const receipt = { kind: 'update-receipt', round: 2, attempt: 0, verdict, detail: '' } as const;
    again.received(receipt);
    again.received(receipt);
    expect(await waiting).toEqual(owed);
    // Once more started, with the receipt come: nothing is added twice.
    again.flush();
    const third = new UpdateOutbox(testContext(store, () => undefined));
    expect(await third.owed('l', 3, signal)).toEqual(owed);
    expect(await store.call('state', 'pending-update')).toBeNull();
  });

  it('asks again for a verdict that it was killed with before it was written, and owes the same', async () => {
    await killedAfterSending();
    const heard = new UpdateOutbox(testContext(store, () => undefined));
    await heard.restore(signal);
    heard.received({ kind: 'update-receipt', round: 2, attempt: 0, verdict: 'accepted', detail: '' });
    expect(await store.call('state', 'pending-update')).not.toBeNull();
    const sent: Uint8Array[] = [];
    const again = new UpdateOutbox(testContext(store, (bytes) => sent.push(bytes)));
    await again.restore(signal);
    await expect.poll(() => sent.length).toBeGreaterThan(0);
    again.received({ kind: 'update-receipt', round: 2, attempt: 0, verdict: 'duplicate', detail: '' });
    expect(await again.owed('l', 3, signal)).toEqual(AFTER_TWO);
    // With the next update, what was settled is written.
    again.put(testUpdate(3), testFeedback(3, AFTER_TWO), 60_000, signal);
    const written = decodeFeedback((await store.call('state', 'residual'))!);
    expect(written).toMatchObject({ round: 2, before: AFTER_ONE, after: AFTER_TWO });
  });

  it('forgets at once what a verdict takes away that nobody says twice', async () => {
    await killedAfterSending();
    const heard = new UpdateOutbox(testContext(store, () => undefined));
    await heard.restore(signal);
    heard.received({ kind: 'update-receipt', round: 2, attempt: 0, verdict: 'too-large', detail: '' });
    expect(await store.call('state', 'pending-update')).toBeNull();
    expect(await new UpdateOutbox(testContext(store, () => undefined)).owed('l', 3, signal)).toBeNull();
  });

  it('takes back what is owed when a round in which its update counted is asked for again', async () => {
    await killedAfterSending();
    const again = new UpdateOutbox(testContext(store, () => undefined));
    await again.restore(signal);
    again.received({ kind: 'update-receipt', round: 2, attempt: 0, verdict: 'accepted', detail: '' });
    expect(await again.owed('l', 2, signal)).toEqual(AFTER_ONE);
    expect(await again.owed('l', 3, signal)).toEqual(AFTER_TWO);
    expect(await again.owed('another lineage', 3, signal)).toBeNull();
    // The server kept the first after all: what the second left out is nobody's.
    again.put({ ...testUpdate(2), attempt: 1 }, { ...testFeedback(2, AFTER_ONE), after: AFTER_ONE }, 60_000, signal);
    again.received({ kind: 'update-receipt', round: 2, attempt: 1, verdict: 'duplicate', detail: '' });
    expect(await again.owed('l', 3, signal)).toEqual(AFTER_TWO);
  });
});
