import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { privateSigningKey } from '@twinwatch/core/security/keys';
import { ed25519Signer } from '@twinwatch/core/wire/ed25519';
import { decodeEnvelope, encodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { Manifest, ModelReport } from '@twinwatch/core/wire/messages';
import { topics } from '@twinwatch/core/wire/topics';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AGENTS, FEDERATION, SignedFederation } from './signed-federation.js';

const within = { timeout: 60_000, interval: 50 };
const LIMIT_MS = 90_000;
const { manifest: topic } = topics(FEDERATION);
const federation = new SignedFederation();
/** Whatever the numbers are, they are good enough: what is tried here is the way they go. */
const LENIENT = { validationMargin: 1, falseRateMargin: 1 };

const runningAt = (agent: string) => federation.statuses.get(agent)?.modelVersion;
const everywhere = (version: string | RegExp) =>
  vi.waitFor(() => {
    for (const agent of AGENTS) expect(runningAt(agent)).toMatch(version);
  }, within);
const registry = () => federation.service.registry.view();
const manifests = () =>
  federation.seen
    .filter((one) => one.topic === topic)
    .map(({ payload }) => decodeEnvelope(payload).message as Manifest);

/** Two rounds more, whose model is another one since people have decided something. */
async function learnMore(count: number, settings: object): Promise<void> {
  await federation.stopServing();
  await federation.serve({ count, quorum: 2 }, { ...LENIENT, ...settings });
  federation.service.runner.onLabels();
  await vi.waitFor(() => expect(federation.service.runner.state.committed).toBe(count), within);
}

beforeAll(async () => {
  await federation.start({ count: 1, quorum: 2 });
  await everywhere(/^v1-/);
}, LIMIT_MS);
afterAll(() => federation.close());

describe('the registry', () => {
  it(
    'lets agents judge a new model on their own rows before it is released, and keeps where it comes from',
    async () => {
      await learnMore(2, { shadow: { rows: 100 } });
      await everywhere(/^v2-/);
      const [second, first] = registry().models;
      expect(second).toMatchObject({
        stage: 'released',
        reason: expect.stringMatching(/ % of [1-9]\d* rows are above/),
      });
      expect(second?.provenance?.contributors.map(({ agent }) => agent)).toEqual([...AGENTS]);
      for (const { rows, window } of second!.provenance!.contributors) {
        expect(rows).toBeGreaterThan(0);
        expect(window!.fromMs).toBeLessThan(window!.toMs);
      }
      expect(second?.gates.map(({ gate, passed }) => [gate, passed])).toEqual([
        ['onnxruntime', true],
        ['validation', true],
      ]);
      expect(first).toMatchObject({ stage: 'replaced' });
      const reports = federation.seen
        .filter((one) => one.topic.endsWith('/answer'))
        .map(({ payload }) => decodeEnvelope(payload).message as ModelReport);
      for (const report of reports) expect(Object.keys(report)).not.toContain('values');
      expect(reports.some(({ modelVersion, rows }) => modelVersion === second?.modelVersion && rows >= 100)).toBe(true);
    },
    LIMIT_MS,
  );

  it(
    'refuses a model that is worse than the current one, and agents go on',
    async () => {
      await learnMore(3, { validationMargin: 0, shadow: { rows: 0 } });
      // Worse or not is up to the rounds: one that is let in is not below the one before.
      await vi.waitFor(() => expect(registry().models.length).toBe(3), within);
      const [third, second] = registry().models;
      const isWorse = third!.provenance!.prAuc < second!.provenance!.prAuc;
      expect(third?.stage).toBe(isWorse ? 'refused' : 'released');
      await everywhere(isWorse ? second!.modelVersion : third!.modelVersion);
    },
    LIMIT_MS,
  );

  it(
    'tries one on a share of the agents, and goes back on all of them when a person says so',
    async () => {
      const before = registry().current!;
      await learnMore(4, { shadow: { rows: 0 }, canary: { share: 0.5, minimumAgents: 2, rows: 0, time: '1h' } });
      await vi.waitFor(() => expect(registry().candidate).toMatchObject({ stage: 'canary' }), within);
      const { modelVersion, agents } = registry().candidate!;
      expect(agents).toHaveLength(1);
      await vi.waitFor(() => {
        for (const agent of AGENTS) expect(runningAt(agent)).toBe(agents.includes(agent) ? modelVersion : before);
      }, within);
      federation.service.registry.rollback(null, 'Ada', 'alarms at night');
      await everywhere(before);
      expect(registry().models[0]).toMatchObject({ stage: 'rolled-back', reason: 'alarms at night (Ada)' });
      expect(manifests().at(-1)?.rollback).toMatchObject({ from: modelVersion });
      federation.service.registry.release(modelVersion, 'Ada');
      await everywhere(modelVersion);
      federation.service.registry.rollback(null, 'Ada', 'after all');
      await everywhere(before);
    },
    LIMIT_MS,
  );

  it(
    'goes back on every agent by itself, when those that run a new model tell of too many alarms',
    async () => {
      const before = registry().current!;
      const canary = { share: 0.5, minimumAgents: 2, rows: 1_000, time: '1h' };
      await learnMore(5, { shadow: { rows: 0 }, canary, falseRateMargin: 0.02 });
      await vi.waitFor(() => expect(registry().candidate).toMatchObject({ stage: 'canary' }), within);
      const { modelVersion, agents } = registry().candidate!;
      const [canaryAgent = ''] = agents;
      await vi.waitFor(() => expect(runningAt(canaryAgent)).toBe(modelVersion), within);
      // In that agent's name, as its rows are all stored ones, and a canary is judged by live ones.
      const pem = readFileSync(join(federation.keys.agents[canaryAgent]!, 'signing-key.pem'), 'utf8');
      const signer = ed25519Signer(() => privateSigningKey(pem, 'test'));
      const { answer } = topics(FEDERATION).agent(canaryAgent);
      const counts = { rows: 100, above: 30, currentAbove: 1, errors: 0, failed: false, detail: '' };
      const sealed = encodeEnvelope(
        {
          ...{ federation: FEDERATION, sender: canaryAgent, sequence: Date.now() * 1_000, sentAtMs: Date.now() },
          message: { kind: 'model-report', modelVersion, ...counts },
        },
        undefined,
        { topic: answer, signer },
      );
      await federation.publish(answer, sealed);
      await everywhere(before);
      expect(registry()).toMatchObject({ current: before, candidate: null });
      expect(registry().models[0]).toMatchObject({
        ...{ modelVersion, stage: 'rolled-back' },
        reason: expect.stringMatching(/30.00 % of 100 rows/),
      });
      expect(manifests().at(-1)?.rollback).toMatchObject({ from: modelVersion, by: 'the server' });
    },
    LIMIT_MS,
  );

  it(
    'agents refuse an older model that nobody said to go back to, though the server signed it, also in a new message',
    async () => {
      const running = runningAt('site-1');
      const old = manifests().find(({ modelVersion }) => modelVersion.startsWith('v1-'))!;
      const folder = join(federation.keys.server, 'server');
      const pem = readFileSync(join(folder, readdirSync(folder).find((name) => name.endsWith('.pem'))!), 'utf8');
      const signer = ed25519Signer(() => privateSigningKey(pem, 'test'));
      const refused = () => federation.statuses.get('site-1')?.health?.refusedMessages ?? {};
      const recorded = federation.seen.find((one) => one.topic === topic)!.payload;
      await federation.publish(topic, recorded);
      await vi.waitFor(() => expect(refused().WIRE_REPLAYED).toBe(1), within);
      const { issuedAtMs: _, ...undated } = old;
      for (const [i, message] of [old, undated].entries()) {
        const fields = { federation: FEDERATION, sender: 'server', sequence: Date.now() * 1_000 + 10_000_000 + i };
        const sealed = encodeEnvelope({ ...fields, sentAtMs: Date.now(), message }, undefined, { topic, signer });
        await federation.publish(topic, sealed);
      }
      await vi.waitFor(() => expect(refused().MODEL_DOWNGRADE).toBe(2), within);
      expect(runningAt('site-1')).toBe(running);
    },
    LIMIT_MS,
  );
});
