import { registryConfig } from '@twinwatch/core/config/registry';
import type { Manifest } from '@twinwatch/core/wire/messages';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import { listen } from '@twinwatch/twin-server/api/http';
import { smallApi } from '@twinwatch/twin-server/api/testing/small-api';
import { ModelRegistry } from '@twinwatch/twin-server/registry/model-registry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { startCommand } from '../test/started-command.js';

/** As a person types them, in processes of their own, against the server's registry behind its API. */
describe('twinwatch model', { timeout: 60_000 }, () => {
  const journal = openJournal(':memory:');
  const told: Manifest[] = [];
  const ignore = () => undefined;
  const registry = new ModelRegistry({
    ...{ journal, clock: systemClock, timers: systemTimers, agents: () => ['site-1', 'site-2'], onChange: ignore },
    log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    config: { ...registryConfig.parse({}), maximumFalseRate: 0.01 },
    publish: (manifest) => void told.push(manifest),
  });
  let api: Awaited<ReturnType<typeof smallApi>>;
  let server: string;

  beforeAll(async () => {
    for (const [i, version] of ['v1-r5-aaaa', 'v2-r9-bbbb'].entries()) {
      const blob = journal.putBlob(Uint8Array.of(i));
      const view = { modelVersion: version, round: 5 + 4 * i, threshold: 0.5, rocAuc: 0.9, releasedAtMs: i + 1 };
      const provenance = {
        ...{ method: 'fedavg', lineageHash: 'c'.repeat(64), parametersHash: 'd'.repeat(64), prAuc: 0.8125, loss: 0.1 },
        ...{ contributors: [{ agent: 'site-1', rows: 300 }], allowedFalseRate: 0.01, onnxDifference: 1e-7 },
      };
      const manifest: Manifest = { kind: 'manifest', ...view, model: blob, lineage: blob };
      journal.putModel('run', { ...view, ...blob, provenance }, manifest);
      registry.offer(manifest);
    }
    api = await smallApi({}, { models: registry });
    server = `http://127.0.0.1:${await listen(api.app, '127.0.0.1', 0)}`;
  });
  afterAll(async () => {
    await api.app.close();
    journal.close();
  });

  const model = async (...args: string[]) => {
    const command = startCommand('model', ...args, '--server', server);
    return { code: await command.ended, lines: command.output().trimEnd().split('\n') };
  };

  it('lists models with what became of each, and shows where one comes from and how its trial goes', async () => {
    const [list, show] = await Promise.all([model('list'), model('show', 'v2-r9-bbbb')]);
    expect(list.code).toBe(0);
    expect(list.lines[0]).toMatch(/^ {2}MODEL +STATE +SINCE +ROUND +BECAUSE$/);
    expect(list.lines[1]).toMatch(/^ {2}v2-r9-bbbb +shadow .* 9 +it has passed the gates of the server/);
    expect(list.lines[2]).toMatch(/^\* v1-r5-aaaa +released .* 5 +the first one$/);
    expect(show.code).toBe(0);
    for (const line of [
      /^state +shadow: it has passed/,
      /^PR AUC +0\.8125$/,
      /^learned by +site-1 \(300 rows\)$/,
      /^validation +passed: PR AUC 0\.813/,
      /^on trial +0 of 2 agents, 0 rows$/,
    ])
      expect(show.lines.filter((one) => line.test(one))).toHaveLength(1);
  });

  it('releases one at once and goes back, under the name of who says so, and tells the agents', async () => {
    const released = await model('release', 'v2-r9-bbbb', '--by', 'Ada');
    expect(released).toEqual({ code: 0, lines: ['agents are told to run v2-r9-bbbb'] });
    expect(told.at(-1)).toMatchObject({ modelVersion: 'v2-r9-bbbb' });
    expect(registry.view().models[0]).toMatchObject({ stage: 'released', reason: 'released by Ada' });
    const back = await model('rollback', '--by', 'Bob', '--reason', 'alarms at night');
    expect(back).toEqual({ code: 0, lines: ['agents are told to run v1-r5-aaaa'] });
    expect(told.at(-1)).toMatchObject({ modelVersion: 'v1-r5-aaaa', rollback: { from: 'v2-r9-bbbb', by: 'Bob' } });
    expect(registry.view().models[0]).toMatchObject({ stage: 'rolled-back', reason: 'alarms at night (Bob)' });
  });

  it('says in words, with exit code 2, of which model nobody knows, and of none to go back to', async () => {
    const before = registry.view();
    const unknown = await model('release', 'v7-r1-cccc');
    expect(unknown.code).toBe(2);
    expect(unknown.lines.join(' ')).toMatch(/there is no model 'v7-r1-cccc'; see `twinwatch model list`/);
    const shown = await model('show', 'v7-r1-cccc');
    expect(shown).toEqual({ code: 2, lines: ['there is no model v7-r1-cccc among the newest 2'] });
    expect((await model('rollback', 'v7-r1-cccc')).code).toBe(2);
    expect(registry.view()).toEqual(before);
  });
});
