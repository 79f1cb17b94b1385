import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { parseConfig } from '@twinwatch/core/config/load';
import { serverConfig } from '@twinwatch/core/config/server';
import { type AgentRuntime, runAgent } from '@twinwatch/edge-agent/agent';
import { importCsv } from '@twinwatch/edge-agent/main';
import { loadSite } from '@twinwatch/edge-agent/site-config';
import { SILENT } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { openTwin } from '@twinwatch/twin-server/open-twin';
import { demandFileSchema } from '@twinwatch/twin-server/twin/demand/demand-file';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import mqtt from 'mqtt';
import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import { agentConfig } from '../processes/agent-config.js';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { readTextFile } from '../processes/read-config.js';
import { configFile } from '../processes/repository.js';

/** Two sites with history tell a server over a real broker how they run, and its twin takes that up. */

const DAYS = 28;

it('a server fits its twin to what its agents tell, once', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-survey-'));
  const broker = await startBroker({
    ...{ host: '127.0.0.1', port: 0, dataDir: join(directory, 'broker'), clock: systemClock, log: SILENT },
  });
  const url = `mqtt://127.0.0.1:${broker.port}`;
  const stop = new AbortController();
  const runtime: AgentRuntime = {
    ...{ softwareVersion: 'test', clock: systemClock, timers: systemTimers, random: Math.random, log: SILENT },
    connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
    rssBytes: () => process.memoryUsage.rss(),
  };
  const agents: Promise<void>[] = [];
  const sizes: Record<string, number[]> = { hello: [], up: [] };
  const observer = await mqtt.connectAsync(url);
  observer.on('message', (topic, payload) => sizes[topic.split('/').at(-1)!]?.push(payload.length));
  await observer.subscribeAsync('tw/v1/survey/agents/+/+', { qos: 1 });
  try {
    for (const [i, name] of ['north', 'south'].entries()) {
      const file = await siteWithHistory(directory, name, i, broker.port);
      agents.push(runAgent(await loadSite(file), runtime, stop.signal, () => undefined));
    }
    const config = parseConfig(
      serverConfig,
      stringify({
        ...{ federation: 'survey', broker: { url }, dataDir: directory },
        twin: { plant: configFile('reference-plant', 'plant.yaml'), demands: 'agents' },
        rounds: { quorum: 2, minimumRows: 500 },
      }),
      'server.yaml',
    );
    const open = () =>
      openTwin({
        ...{ config, dataDir: join(directory, 'server'), beside: (path) => path, readText: readTextFile, log: SILENT },
        survey: { ...runtime, broker: { url, connect: runtime.connect } },
      });
    const first = await open();
    // One message of many kilobytes would hold up an alarm on a slow line.
    expect(sizes.up!.length).toBeGreaterThan(4);
    expect(Math.max(...sizes.up!, ...sizes.hello!)).toBeLessThanOrEqual(4_096);
    const written = readFileSync(join(directory, 'server', 'demands.yaml'), 'utf8');
    const { multipliers, hourNoise } = parseConfig(demandFileSchema, written, 'demands.yaml');
    expect(written).toContain('the summaries of north, south');
    // Both sites draw a fifth more than the network file says; within an instance's own factors that is what is found.
    for (const values of Object.values(multipliers)) {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      expect(mean).toBeGreaterThan(1.1);
      expect(mean).toBeLessThan(1.3);
    }
    expect(hourNoise).toBeGreaterThan(0.05);
    // The second start asks nobody: the agents are gone.
    stop.abort();
    await Promise.all(agents);
    expect((await open()).twinHash).toBe(first.twinHash);
  } finally {
    stop.abort();
    await Promise.all(agents);
    await observer.endAsync(true);
    await broker.close();
    rmSync(directory, { recursive: true });
  }
}, 60_000);

async function siteWithHistory(directory: string, name: string, seed: number, brokerPort: number): Promise<string> {
  const { config, network } = await loadPlant(configFile('reference-plant', 'plant.yaml'), readTextFile);
  const plant = await Plant.open({ config, network, variation: { seed: 700 + seed, demandScale: 1.2 } });
  const lines = Array.from({ length: DAYS * 96 }, () => {
    const { timeMs, scada } = plant.step();
    return [new Date(timeMs).toISOString(), ...scada].join();
  });
  plant.close();
  const csv = join(directory, `${name}.csv`);
  writeFileSync(csv, [['time', ...config.tags.map((tag) => tag.name)].join(), ...lines].join('\n'));
  const file = join(directory, `${name}.yaml`);
  const facts = { federation: 'survey', agent: name, brokerPort, dataDir: join(directory, name) };
  const agent = agentConfig({ ...facts, intervalMs: config.interval, plcPorts: {}, templateOf: () => '' });
  writeFileSync(file, stringify(agent));
  await importCsv(file, csv);
  return file;
}
