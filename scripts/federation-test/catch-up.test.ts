import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import type { Logger } from '@twinwatch/core/runtime';
import { parseTopic, topics } from '@twinwatch/core/wire/topics';
import { model, SCHEMA } from '@twinwatch/edge-agent/detection/testing/hand-made-model';
import mqtt from 'mqtt';
import { expect, it, vi } from 'vitest';
import { systemClock } from '../processes/node-runtime.js';
import { announceModel, FEDERATION, openAgent, openServer } from './bed.js';

const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const within = { timeout: 60_000, interval: 20 };
const AGENT = 'site-1';
const RELEASES = 8;
const LINEAGE = '0'.repeat(64);
/** Fields of the chunks. */
const CHUNKS_OVERHEAD = 1.1;

it('catches up with one download after several releases without it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-catch-up-'));
  const broker = await startBroker({
    ...{ host: '127.0.0.1', port: 0, dataDir: join(directory, 'broker'), clock: systemClock, log },
  });
  const { port } = broker;
  const server = openServer({ port, directory, log });
  const watcher = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`);
  const heard = { requests: 0, chunks: 0, bytes: 0 };
  watcher.on('message', (topic, payload) => {
    if (parseTopic(topic)?.channel === 'request') heard.requests++;
    else {
      heard.chunks++;
      heard.bytes += payload.length;
    }
  });
  const { request, down } = topics(FEDERATION).agent(AGENT);
  await watcher.subscribeAsync([request, down], { qos: 1 });

  const release = async (version: number) => {
    const modelVersion = `v${version}`;
    // Large enough to come in many chunks.
    const bytes = model({
      ...{ federation: FEDERATION, modelVersion, round: version, lineageHash: LINEAGE },
      provenance: { note: `${version} `.repeat(20_000) },
    });
    const blob = server.journal.putBlob(bytes);
    await announceModel(port, blob, {
      modelVersion,
      round: version,
      releasedAtMs: version,
      lineage: { hash: LINEAGE, bytes: 1 },
    });
    return blob;
  };
  const open = () =>
    openAgent({
      ...{ agent: AGENT, port, directory: join(directory, AGENT), log },
      rest: { siteTags: () => SCHEMA.tags.map(({ name }) => name) },
    });
  const runs = (modelVersion: string) =>
    vi.waitFor(() => expect(server.statusOf(AGENT)).toMatchObject({ online: true, modelVersion }), within);

  const before = await open();
  await release(1);
  await runs('v1');
  await before.close();
  await vi.waitFor(() => expect(server.statusOf(AGENT)?.online).toBe(false), within);
  Object.assign(heard, { requests: 0, chunks: 0, bytes: 0 });
  let newest = { hash: '', bytes: 0 };
  for (let version = 2; version <= RELEASES; version++) newest = await release(version);
  const after = await open();
  await runs(`v${RELEASES}`);
  console.log(
    `${RELEASES - 1} releases missed: ${heard.chunks} chunks, ${heard.bytes} bytes down for a model of ${newest.bytes}, ${heard.requests} requests`,
  );
  expect(heard.bytes).toBeGreaterThanOrEqual(newest.bytes);
  expect(heard.bytes).toBeLessThan(newest.bytes * CHUNKS_OVERHEAD);

  await after.close();
  await watcher.endAsync();
  await server.close();
  await broker.close();
  rmSync(directory, { recursive: true });
}, 120_000);
