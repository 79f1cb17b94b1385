import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { agentSchema } from '@twinwatch/core/config/agent';
import type { plantSimSchema } from '@twinwatch/core/config/plant-sim';
import type { serverConfig } from '@twinwatch/core/config/server';
import { stringify } from 'yaml';
import type { z } from 'zod';
import { agentConfig } from '../processes/agent-config.js';
import { type LocalKeys, writeLocalKeys } from '../processes/local-keys.js';
import { configFile } from '../processes/repository.js';
import { COMMISSIONING_HOURS, DETECTOR, ROUNDS, siteSeed, TWIN } from './reference-detector.js';

/** The configuration files of the demonstration, written into its data directory for whoever wants to start a part by hand. */

const FEDERATION = 'demo';
export interface DemoPlan {
  /** Absolute. */
  readonly dataDir: string;
  readonly sites: readonly string[];
  readonly plcs: readonly string[];
  readonly intervalMs: number;
  readonly rowsPerSecond: number;
  readonly rounds: number;
  readonly method: 'cwa' | 'fedavg' | 'fedprox';
  readonly ports: {
    readonly broker: number;
    readonly page: number;
    /** Site → PLC → port. */
    readonly plcs: Readonly<Record<string, Readonly<Record<string, number>>>>;
  };
}

export interface DemoFiles {
  readonly broker: string;
  readonly server: string;
  readonly plant: string;
  /** Site → file. */
  readonly agents: Readonly<Record<string, string>>;
}

const PLANT = ['reference-plant', 'plant.yaml'] as const;

export const referencePlant = (): string => configFile(...PLANT);

export function commissioningRows({ intervalMs }: Pick<DemoPlan, 'intervalMs'>): number {
  return Math.round((COMMISSIONING_HOURS * 3_600_000) / intervalMs);
}

export function writeDemoConfigs(plan: DemoPlan): DemoFiles {
  const folder = join(plan.dataDir, 'configs');
  mkdirSync(folder, { recursive: true });
  const write = (name: string, content: object) => {
    const file = join(folder, `${name}.yaml`);
    writeFileSync(file, stringify(content));
    return file;
  };
  const keys = writeLocalKeys(join(plan.dataDir, 'keys'), FEDERATION, plan.sites, Date.now());
  const agents = plan.sites.map((site) => [site, write(`agent-${site}`, agentOf(plan, site, keys))] as const);
  return {
    broker: write('broker', { host: '127.0.0.1', port: plan.ports.broker, dataDir: '../broker' }),
    server: write('server', serverOf(plan, keys)),
    plant: write('plant', plantOf(plan)),
    agents: Object.fromEntries(agents),
  };
}

function agentOf(plan: DemoPlan, site: string, keys: LocalKeys): z.input<typeof agentSchema> {
  return {
    ...agentConfig({
      federation: FEDERATION,
      agent: site,
      brokerPort: plan.ports.broker,
      dataDir: `../${site}`,
      intervalMs: plan.intervalMs,
      plcPorts: plan.ports.plcs[site] ?? {},
      templateOf: (plc) => configFile(PLANT[0], `${plc.toLowerCase()}.yaml`),
    }),
    security: { directory: keys.agents[site]! },
    training: { quarantine: '12h' },
    telemetry: { everyMs: 250 },
  };
}

function serverOf(plan: DemoPlan, keys: LocalKeys): z.input<typeof serverConfig> {
  return {
    federation: FEDERATION,
    broker: { url: `mqtt://127.0.0.1:${plan.ports.broker}` },
    security: { directory: keys.server },
    dataDir: '../server',
    http: { host: '127.0.0.1', port: plan.ports.page },
    twin: { plant: referencePlant(), ...TWIN },
    detector: DETECTOR,
    rounds: {
      ...ROUNDS,
      method: plan.method,
      count: plan.rounds,
      quorum: Math.max(1, Math.ceil(plan.sites.length * 0.6)),
      minimumRows: Math.round(commissioningRows(plan) * 0.9),
      deadline: '30s',
    },
  };
}

function plantOf(plan: DemoPlan): z.input<typeof plantSimSchema> {
  return {
    plant: referencePlant(),
    // The ports were looked for a moment ago; one that was taken since is an error, as the agents are told these.
    ports: 'fixed',
    dataDir: '../plant',
    commissioningRows: commissioningRows(plan),
    rowsPerSecond: plan.rowsPerSecond,
    sites: plan.sites.map((name, i) => ({ name, seed: siteSeed(i), ports: { ...plan.ports.plcs[name] } })),
  };
}
