import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentRecord, TrustFile } from '@twinwatch/core/security/key-files';
import { newSigningKey, privateSigningKey } from '@twinwatch/core/security/keys';
import { ed25519Signer } from '@twinwatch/core/wire/ed25519';
import { decodeEnvelope, encodeEnvelope } from '@twinwatch/core/wire/envelope';
import { parseAgentStatus } from '@twinwatch/core/wire/json-messages';
import type { Manifest, WireMessage } from '@twinwatch/core/wire/messages';
import { type AgentTopics, topics } from '@twinwatch/core/wire/topics';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AGENTS, FEDERATION, SignedFederation } from './signed-federation.js';

const within = { timeout: 60_000, interval: 50 };
const all = topics(FEDERATION);
const [first, second] = AGENTS.map((agent) => all.agent(agent)) as [AgentTopics, AgentTopics];
const federation = new SignedFederation();
const stranger = newSigningKey();
const strangersKey = privateSigningKey(stranger.privateKeyPem, 'memory');

beforeAll(async () => {
  await federation.start({ count: 2, quorum: 2 });
  await vi.waitFor(() => {
    expect(federation.service.runner.state.committed).toBe(2);
    for (const agent of AGENTS) expect(federation.statuses.get(agent)?.modelVersion).toMatch(/^v1-/);
  }, within);
}, 90_000);
afterAll(() => federation.close());

/** Of what a server was sent in the name of an agent. */
const refusedAtServer = (agent: string, code: string) => federation.service.refused.get(agent)?.byCode[code] ?? 0;
const refusedAtAgent = (agent: string, code: string) =>
  federation.statuses.get(agent)?.health?.refusedMessages?.[code] ?? 0;
const runningAt = (agent: string) => federation.statuses.get(agent)?.modelVersion;

const lastOn = (topic: string) => federation.seen.findLast((one) => one.topic === topic)!.payload;
const firstOn = (topic: string) => federation.seen.find((one) => one.topic === topic)!.payload;

/** As whoever has this key would write it. */
function forged(topic: string, message: WireMessage, sender: string, isSigned = true): Uint8Array {
  const signer = isSigned ? ed25519Signer(() => strangersKey) : null;
  const fields = { federation: FEDERATION, sender, sequence: Date.now() * 1_000 + 900_000, sentAtMs: Date.now() };
  return encodeEnvelope({ ...fields, message }, undefined, { topic, signer });
}

describe('a federation that signs', () => {
  it('learns and releases with every message signed', () => {
    expect(federation.service.refused.size).toBe(0);
    const enveloped = [first.hello, first.task, first.receipt, all.manifest];
    for (const topic of enveloped) expect(decodeEnvelope(lastOn(topic)).signature, topic).toHaveLength(64);
    expect(lastOn(first.status).toString()).toMatch(/,"signature":"[0-9a-f]{16}\.[\w-]{86}"\}$/);
    expect(parseAgentStatus(lastOn(first.status))).toMatchObject({ online: true });
  });

  it('takes no model from a server with another key, or without one', async () => {
    const genuine = decodeEnvelope(lastOn(all.manifest)).message as Manifest;
    const evil: Manifest = { ...genuine, modelVersion: 'evil', releasedAtMs: genuine.releasedAtMs + 1 };
    await federation.publish(all.manifest, forged(all.manifest, evil, 'server'));
    await federation.publish(all.manifest, forged(all.manifest, evil, 'server', false));
    await vi.waitFor(() => {
      expect(refusedAtAgent('site-1', 'WIRE_KEY_UNKNOWN')).toBe(1);
      expect(refusedAtAgent('site-1', 'WIRE_UNSIGNED')).toBe(1);
    }, within);
    expect(runningAt('site-1')).toBe(genuine.modelVersion);
  });

  it('takes no message of an agent from whoever has not its key, and holds none against it', async () => {
    const hello = decodeEnvelope(lastOn(first.hello)).message;
    await federation.publish(first.hello, forged(first.hello, hello, 'site-1'));
    await federation.publish(first.hello, forged(first.hello, hello, 'site-1', false));
    await federation.publish(first.up, lastOn(second.up));
    await vi.waitFor(() => {
      expect(refusedAtServer('site-1', 'WIRE_KEY_UNKNOWN')).toBe(1);
      expect(refusedAtServer('site-1', 'WIRE_UNSIGNED')).toBe(1);
    }, within);
    expect(federation.service.runner.state.agents['site-1']).toMatchObject({ strikes: [], rejectedUpdates: 0 });
  });

  it('refuses what is published on the topic of another agent or of another channel', async () => {
    await federation.publish(second.hello, firstOn(first.hello));
    await federation.publish(first.answer, firstOn(first.hello));
    await federation.publish(second.task, firstOn(first.task));
    await vi.waitFor(() => {
      expect(refusedAtServer('site-2', 'WIRE_KEY_UNKNOWN')).toBe(1);
      expect(refusedAtServer('site-1', 'WIRE_SIGNATURE_INVALID')).toBe(1);
      expect(refusedAtAgent('site-2', 'WIRE_SIGNATURE_INVALID')).toBe(1);
    }, within);
  });

  it('refuses messages of another federation, though it has the same keys', async () => {
    const [name = ''] = Object.keys(federation.keys.agents);
    const pem = readFileSync(join(federation.keys.agents[name]!, 'signing-key.pem'), 'utf8');
    const signer = ed25519Signer(() => privateSigningKey(pem, 'test'));
    const { message } = decodeEnvelope(firstOn(first.hello));
    const fields = { sender: 'site-1', sequence: Date.now() * 1_000, sentAtMs: Date.now(), message };
    const elsewhere = topics('other').agent('site-1').hello;
    await federation.publish(
      first.hello,
      encodeEnvelope({ federation: 'other', ...fields }, undefined, { topic: elsewhere, signer }),
    );
    await federation.publish(
      first.hello,
      encodeEnvelope({ federation: 'other', ...fields }, undefined, { topic: first.hello, signer }),
    );
    await vi.waitFor(() => {
      expect(refusedAtServer('site-1', 'WIRE_SIGNATURE_INVALID')).toBe(2);
      expect(refusedAtServer('site-1', 'WIRE_FOREIGN')).toBe(1);
    }, within);
  });

  it('refuses recorded messages, also after the server was started again', async () => {
    const [oldHello, oldTask] = [firstOn(first.hello), firstOn(first.task)];
    await federation.publish(first.hello, oldHello);
    await federation.publish(first.task, oldTask);
    await vi.waitFor(() => {
      expect(refusedAtServer('site-1', 'WIRE_REPLAYED')).toBe(1);
      expect(refusedAtAgent('site-1', 'WIRE_REPLAYED')).toBe(1);
    }, within);
    const hellos = federation.seen.filter(({ topic }) => topic === first.hello).length;
    await federation.stopServing();
    await federation.serve({ count: 2, quorum: 2 });
    // The agent greets the server that has come back, so its link is up.
    await vi.waitFor(
      () => expect(federation.seen.filter(({ topic }) => topic === first.hello).length).toBeGreaterThan(hellos),
      within,
    );
    await federation.publish(first.hello, oldHello);
    await vi.waitFor(() => expect(refusedAtServer('site-1', 'WIRE_REPLAYED')).toBe(1), within);
    // Nor is a server back, or of another release, that said so once.
    await federation.publish(all.serverStatus, firstOn(all.serverStatus));
    await vi.waitFor(() => expect(refusedAtAgent('site-1', 'WIRE_REPLAYED')).toBe(2), within);
  });

  it('follows the server to a new key, told with the old one, and forgets the old one', async () => {
    const folder = join(federation.keys.server, 'server');
    const trust = JSON.parse(readFileSync(join(folder, 'trust.json'), 'utf8')) as TrustFile;
    const next = newSigningKey();
    writeFileSync(join(folder, `signing-${next.id}.pem`), next.privateKeyPem, { mode: 0o600 });
    const overlap = {
      ...trust,
      revision: 2,
      serverKeys: [
        ...trust.serverKeys,
        { id: next.id, publicKey: next.publicKey, fromMs: Date.now() + 4_000, untilMs: null },
      ],
    };
    writeFileSync(join(folder, 'trust.json'), JSON.stringify(overlap));
    const believes = (agent: string) => federation.trusts.get(agent)!.trust.pinned!.current;
    await vi.waitFor(() => {
      for (const agent of AGENTS)
        expect(believes(agent)).toMatchObject({ revision: 2, serverKeys: overlap.serverKeys });
    }, within);
    writeFileSync(
      join(folder, 'trust.json'),
      JSON.stringify({ ...overlap, revision: 3, serverKeys: overlap.serverKeys.slice(1) }),
    );
    await vi.waitFor(() => {
      for (const agent of AGENTS) expect(believes(agent).serverKeys.map(({ id }) => id)).toEqual([next.id]);
    }, within);
    // What was signed with the old one counts no more, and the server goes on with the new one.
    const before = refusedAtAgent('site-1', 'WIRE_KEY_UNKNOWN');
    await federation.publish(first.task, firstOn(first.task));
    await vi.waitFor(() => expect(refusedAtAgent('site-1', 'WIRE_KEY_UNKNOWN')).toBe(before + 1), within);
  });

  it('refuses recorded states: one that has ended is not back by them, and one that is there not away', async () => {
    const online = () => federation.service.runner.state.agents['site-1']?.online;
    const states = () => federation.seen.filter(({ topic }) => topic === first.status).map(({ payload }) => payload);
    const [before, newest] = [firstOn(first.status), lastOn(first.status)];
    const refused = refusedAtServer('site-1', 'WIRE_REPLAYED');
    await federation.stopAgent('site-1');
    await vi.waitFor(() => expect(online()).toBe(false), within);
    const end = states().at(-1)!;
    expect(parseAgentStatus(end).online).toBe(false);
    for (const state of [before, newest, end]) await federation.publish(first.status, state);
    await vi.waitFor(() => expect(refusedAtServer('site-1', 'WIRE_REPLAYED')).toBe(refused + 2), within);
    expect(online()).toBe(false);
    await federation.startAgent('site-1');
    await vi.waitFor(() => expect(online()).toBe(true), within);
    for (const state of [end, newest]) await federation.publish(first.status, state);
    await vi.waitFor(() => expect(refusedAtServer('site-1', 'WIRE_REPLAYED')).toBe(refused + 4), within);
    expect(online()).toBe(true);
  });

  it('counts no agent as away because somebody names a key that it had before', async () => {
    const file = join(federation.keys.server, 'agents', 'site-1.json');
    const record = JSON.parse(readFileSync(file, 'utf8')) as AgentRecord;
    const { id, publicKey } = stranger;
    const retired = { id, publicKey, fromMs: 0, untilMs: Date.now() - 1 };
    writeFileSync(file, JSON.stringify({ ...record, publicKeys: [retired, ...record.publicKeys] }));
    const online = () => federation.service.runner.state.agents['site-1']?.online;
    await vi.waitFor(() => expect(online()).toBe(true), within);
    const before = refusedAtServer('site-1', 'WIRE_KEY_REVOKED');
    const ofNobody = lastOn(first.status)
      .toString()
      .replace(/"signature":"[0-9a-f]{16}\.[\w-]{86}"/, `"signature":"${id}.${'A'.repeat(86)}"`);
    const seen: (boolean | undefined)[] = [];
    await vi.waitFor(async () => {
      await federation.publish(first.status, Buffer.from(ofNobody));
      seen.push(online());
      expect(refusedAtServer('site-1', 'WIRE_KEY_REVOKED')).toBeGreaterThan(before + 2);
    }, within);
    expect(new Set(seen)).toEqual(new Set([true]));
    writeFileSync(file, JSON.stringify(record));
  });

  it('refuses a revoked agent at once, while it is connected', async () => {
    const file = join(federation.keys.server, 'agents', 'site-2.json');
    const record = JSON.parse(readFileSync(file, 'utf8')) as AgentRecord;
    expect(refusedAtServer('site-2', 'WIRE_KEY_REVOKED')).toBe(0);
    writeFileSync(file, JSON.stringify({ ...record, revokedAtMs: Date.now() }));
    await vi.waitFor(() => expect(refusedAtServer('site-2', 'WIRE_KEY_REVOKED')).toBeGreaterThan(0), within);
    await vi.waitFor(() => expect(federation.service.runner.state.agents['site-2']?.online).toBe(false), within);
    expect(federation.service.runner.state.agents['site-1']?.online).toBe(true);
  });

  it('believes an agent no more whose file is damaged, and goes on following the files of others', async () => {
    const file = (agent: string) => join(federation.keys.server, 'agents', `${agent}.json`);
    const records = AGENTS.map((agent) => JSON.parse(readFileSync(file(agent), 'utf8')) as AgentRecord);
    const online = (agent: string) => federation.service.runner.state.agents[agent]?.online;
    writeFileSync(file('site-1'), '{"version":1,"agent":"site-1",');
    await vi.waitFor(() => expect(online('site-1')).toBe(false), within);
    writeFileSync(file('site-2'), JSON.stringify({ ...records[1], revokedAtMs: null }));
    await vi.waitFor(() => expect(online('site-2')).toBe(true), within);
    writeFileSync(file('site-2'), JSON.stringify(records[1]));
    await vi.waitFor(() => expect(online('site-2')).toBe(false), within);
    writeFileSync(file('site-1'), JSON.stringify(records[0]));
    await vi.waitFor(() => expect(online('site-1')).toBe(true), within);
  });
});
