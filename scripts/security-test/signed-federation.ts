import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { agentSchema } from '@twinwatch/core/config/agent';
import { registryConfig } from '@twinwatch/core/config/registry';
import { type ProtocolRange, SPOKEN } from '@twinwatch/core/wire/protocol';
import type { AgentStatus } from '@twinwatch/core/wire/status';
import { topics } from '@twinwatch/core/wire/topics';
import { type AgentRuntime, runAgent } from '@twinwatch/edge-agent/agent';
import { type OpenTrust, openAgentTrust } from '@twinwatch/edge-agent/federation/agent-trust';
import type { SiteConfig } from '@twinwatch/edge-agent/site-config';
import type { Journal } from '@twinwatch/twin-server/aggregator/journal';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import { normalClients, SILENT, TAGS } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import type { FederationService } from '@twinwatch/twin-server/federation-service';
import { openServerTrust } from '@twinwatch/twin-server/server-trust';
import mqtt from 'mqtt';
import { type LocalKeys, writeLocalKeys } from '../processes/local-keys.js';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { importHistory, liveService } from '../test/live-federation.js';

/** A federation that signs, with a real broker, server and agents, and somebody else at the same broker who may publish what they like. */

export const FEDERATION = 'works';
const TAG_NAMES = TAGS.map(({ name }) => name);
export const AGENTS = ['site-1', 'site-2'] as const;

export interface Published {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
}

export class SignedFederation {
  readonly directory = mkdtempSync(join(tmpdir(), 'twinwatch-signed-'));
  readonly statuses = new Map<string, AgentStatus>();
  /** Everything that was published in this federation, in order. */
  readonly seen: Published[] = [];
  readonly keys: LocalKeys;
  readonly trusts = new Map<string, OpenTrust>();
  /** What agents have logged as errors. */
  readonly errors = new Map<string, string[]>();
  readonly #running = new Map<string, { readonly stop: AbortController; readonly ended: Promise<void> }>();
  #broker: Awaited<ReturnType<typeof startBroker>> | null = null;
  #url = '';
  #attacker: mqtt.MqttClient | null = null;
  #service: FederationService | null = null;
  #journal: Journal | null = null;
  #serving = new AbortController();

  constructor() {
    this.keys = writeLocalKeys(join(this.directory, 'keys'), FEDERATION, AGENTS, Date.now());
  }

  get service(): FederationService {
    return this.#service!;
  }

  /** @param agents what they speak, those of this release where absent; so for the server. */
  async start(
    rounds: object,
    agents: Readonly<Record<string, ProtocolRange>> = {},
    server?: ProtocolRange,
  ): Promise<void> {
    const dataDir = join(this.directory, 'broker');
    this.#broker = await startBroker({ host: '127.0.0.1', port: 0, dataDir, clock: systemClock, log: SILENT });
    this.#url = `mqtt://127.0.0.1:${this.#broker.port}`;
    this.#attacker = await mqtt.connectAsync(this.#url);
    this.#attacker.on('message', (topic, payload, { retain }) => {
      this.seen.push({ topic, payload, retain });
      const agent = AGENTS.find((one) => topic === topics(FEDERATION).agent(one).status);
      if (agent !== undefined) this.statuses.set(agent, JSON.parse(payload.toString()) as AgentStatus);
    });
    await this.#attacker.subscribeAsync(`tw/v1/${FEDERATION}/#`, { qos: 1 });
    await this.serve(rounds, {}, server);
    await Promise.all(AGENTS.map((agent) => this.startAgent(agent, agents[agent])));
  }

  /** What the attacker does. */
  async publish(topic: string, payload: Uint8Array, retain = false): Promise<void> {
    await this.#attacker!.publishAsync(topic, Buffer.from(payload), { qos: 1, retain });
  }

  async serve(rounds: object, registry: object = {}, protocols: ProtocolRange = SPOKEN): Promise<void> {
    this.#serving = new AbortController();
    const runtime = { clock: systemClock, timers: systemTimers, log: SILENT };
    const trust = await openServerTrust(this.keys.server, { federation: FEDERATION, ...runtime }, this.#serving.signal);
    this.#journal = openJournal(join(this.directory, 'server.db'));
    this.#service = liveService(
      { federation: FEDERATION, rounds },
      {
        ...{ journal: this.#journal, run: 'run', trust, protocols, registry: registryConfig.parse(registry) },
        broker: { url: this.#url, connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions) },
      },
    );
    this.#service.start();
  }

  async stopServing(): Promise<void> {
    this.#serving.abort();
    await this.#service?.stop();
    this.#journal?.close();
    this.#service = null;
    this.#journal = null;
  }

  async close(): Promise<void> {
    await Promise.all(AGENTS.map((agent) => this.stopAgent(agent)));
    await this.stopServing();
    await this.#attacker?.endAsync(true);
    await this.#broker?.close();
    rmSync(this.directory, { recursive: true });
  }

  async stopAgent(agent: string): Promise<void> {
    const running = this.#running.get(agent);
    running?.stop.abort();
    await running?.ended;
  }

  site(agent: string): SiteConfig {
    const dataDir = join(this.directory, agent);
    const config = agentSchema.parse({
      ...{ federation: FEDERATION, agent, broker: { url: this.#url }, dataDir, interval: '15m', statusEvery: '1s' },
      training: { engine: 'builtin' },
    });
    return { config, configPath: dataDir, dataDir, buses: [], tags: TAG_NAMES };
  }

  async startAgent(agent: (typeof AGENTS)[number], protocols: ProtocolRange = SPOKEN): Promise<void> {
    const { rows } = normalClients(AGENTS.length, 2)[AGENTS.indexOf(agent)]!;
    const site = this.site(agent);
    mkdirSync(site.dataDir, { recursive: true });
    const errors: string[] = [];
    this.errors.set(agent, errors);
    const log = { ...SILENT, error: (_context: object, message: string) => void errors.push(message) };
    const keys = await openAgentTrust(this.keys.agents[agent]!, FEDERATION, {
      ...{ clock: systemClock, log: SILENT },
      readText: (path) => readFile(path, 'utf8'),
    });
    this.trusts.set(agent, keys);
    const runtime: AgentRuntime = {
      ...{ softwareVersion: 'test', clock: systemClock, timers: systemTimers, random: Math.random, log, protocols },
      ...{ trust: keys.trust, rssBytes: () => process.memoryUsage.rss() },
      connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
    };
    await importHistory(site, runtime, rows);
    await new Promise<void>((onReady) => {
      const stop = new AbortController();
      this.#running.set(agent, { stop, ended: runAgent(site, runtime, stop.signal, () => onReady()) });
    });
  }
}
