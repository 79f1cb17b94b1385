import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brokerAccess, brokerConnectionSchema, readBrokerFiles } from '@twinwatch/core/config/broker-connection';
import type { AgentView, ServerState } from '@twinwatch/core/wire/http';
import { accessOptions } from '@twinwatch/core/wire/mqtt-client';
import { tcpDevice } from '@twinwatch/edge-agent/sources/modbus/testing/scripted-device';
import { plantRows, syntheticTwin } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import mqtt, { type MqttClient } from 'mqtt';
import { stringify } from 'yaml';
import { ROW_MS, SERVED_TEMPLATE, ServedRows, START_MS } from '../test/served-rows.js';
import { type StartedCommand, startCommand } from '../test/started-command.js';
import { type StartedBroker, TEST_PASSWORD, type TestedBroker } from './brokers/tested-broker.js';

/** A small federation as on real machines: `twinwatch server` and `twinwatch agent` as processes with files, Modbus devices, and any broker. */

const DAYS = 6;
/** Normal rows, then a bypass that no twin knows of, then normal rows again. */
export const BYPASS = [400, 412] as const;
const ROUNDS = 3;

interface Site {
  readonly device: ServedRows;
  readonly plc: Awaited<ReturnType<typeof tcpDevice>>;
}

export class FederationProcesses {
  readonly broker: StartedBroker;
  readonly #directory: string;
  readonly #sites = new Map<string, Site>();
  readonly #agents = new Map<string, StartedCommand>();
  #server: { readonly command: StartedCommand; readonly http: number } | null = null;

  private constructor(directory: string, broker: StartedBroker) {
    this.#directory = directory;
    this.broker = broker;
  }

  static async create(tested: TestedBroker): Promise<FederationProcesses> {
    const directory = await mkdtemp(join(tmpdir(), 'twinwatch-conformance-'));
    try {
      await writeFile(join(directory, 'password'), `${TEST_PASSWORD}\n`, { mode: 0o600 });
      await writeFile(join(directory, 'plc.yaml'), SERVED_TEMPLATE);
      await writeFile(join(directory, 'twin.csv'), twinCsv());
      return new FederationProcesses(directory, await tested.start(directory));
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  async startServer(): Promise<void> {
    const file = join(this.#directory, 'server.yaml');
    const server = {
      ...{ federation: 'test', broker: this.broker.section('server'), dataDir: 'server', http: { port: 0 } },
      twin: { csv: { file: 'twin.csv', episodeColumn: 'episode' }, episodes: 8, days: 3 },
      detector: { hidden: [12, 6], maximumFalseRate: 0.01 },
      engine: 'builtin',
      rounds: {
        ...{ method: 'fedavg', count: ROUNDS, quorum: 2, minimumRows: 50, exchangeRows: 400 },
        ...{ batchSize: 32, learningRate: 0.01 },
      },
    };
    await writeFile(file, stringify(server));
    const command = startCommand('server', '--config', file);
    const { http } = await command.told<{ ready: true; http: number }>(({ ready }) => ready);
    this.#server = { command, http };
  }

  async stopServer(): Promise<void> {
    this.#server?.command.process.kill('SIGTERM');
    await this.#server?.command.ended;
    this.#server = null;
  }

  /** Its device serves rows up to the bypass until `serveAll`, also over restarts of the agent. */
  async startAgent(id: string): Promise<void> {
    const site = this.#sites.get(id) ?? (await openSite(id));
    this.#sites.set(id, site);
    const file = join(this.#directory, `${id}.yaml`);
    const agent = {
      ...{ federation: 'test', agent: id, broker: this.broker.section(id), dataDir: id, interval: '15m' },
      ...{ statusEvery: '10m', poll: { every: '0ms' }, training: { quarantine: '2h', engine: 'builtin' } },
      buses: [
        { url: `tcp://127.0.0.1:${site.plc.port}`, timeoutMs: 5_000, devices: [{ name: 'PLC', template: 'plc.yaml' }] },
      ],
    };
    await writeFile(file, stringify(agent));
    const command = startCommand('agent', '--config', file);
    await command.told<{ ready: true }>(({ ready }) => ready);
    this.#agents.set(id, command);
  }

  async killAgent(id: string): Promise<void> {
    const command = this.#agents.get(id);
    this.#agents.delete(id);
    command?.process.kill('SIGKILL');
    await command?.ended;
  }

  /** Lets the device of an agent go on through the bypass to the end of its rows. */
  serveAll(id: string): void {
    this.#sites.get(id)!.device.limit = DAYS * 96;
  }

  /** Everything that its device may serve was read. */
  isRead(id: string): boolean {
    const { row, limit } = this.#sites.get(id)!.device;
    return row === limit - 1;
  }

  /** A plain client with the login of a user, and the topics of what it hears. The caller ends it. */
  async client(user: string, clientId: string): Promise<{ readonly client: MqttClient; readonly heard: string[] }> {
    const section = brokerConnectionSchema.parse(this.broker.section(user));
    const { files } = await readBrokerFiles(section, {
      readText: (path) => readFile(join(this.#directory, path), 'utf8'),
      environment: {},
    });
    const { url, ...access } = accessOptions(brokerAccess(section, files), true);
    const client = await mqtt.connectAsync(url, { ...access, clientId, reconnectPeriod: 0 }, false);
    client.on('error', () => undefined);
    const heard: string[] = [];
    client.on('message', (topic) => heard.push(topic));
    return { client, heard };
  }

  /** `twinwatch broker-check`, as the server's user. */
  async checkBroker(): Promise<{ readonly code: number | NodeJS.Signals; readonly output: string }> {
    const { url, protocol, ca, cert, key } = this.broker.section('server') as Record<string, string>;
    const inDirectory = (path: string) => join(this.#directory, path);
    const files = Object.entries({ ca, cert, key }).flatMap(([name, path]) =>
      path === undefined ? [] : [`--${name}`, inDirectory(path)],
    );
    const command = startCommand(
      ...['broker-check', url!, '--username', 'server', '--password-file', inDirectory('password'), ...files],
      ...(protocol === undefined ? [] : ['--protocol', protocol]),
    );
    return { code: await command.ended, output: command.output() };
  }

  async state(): Promise<ServerState> {
    return (await (await fetch(`http://127.0.0.1:${this.#server!.http}/api/state`)).json()) as ServerState;
  }

  async agent(id: string): Promise<AgentView | undefined> {
    return (await this.state()).agents.find((agent) => agent.id === id);
  }

  /** What everything printed, for a test that fails. */
  output(): string {
    const agents = [...this.#agents].map(([id, command]) => `--- ${id}\n${command.output()}`);
    return [`--- server\n${this.#server?.command.output() ?? 'not running'}`, ...agents].join('\n');
  }

  async close(): Promise<void> {
    for (const id of [...this.#agents.keys()]) await this.killAgent(id);
    this.#server?.command.process.kill('SIGKILL');
    await this.#server?.command.ended;
    for (const { plc } of this.#sites.values()) await plc.close();
    await this.broker.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function openSite(id: string): Promise<Site> {
  const device = new ServedRows(plantRows(id, DAYS, 0, BYPASS).rows, BYPASS[0]);
  return { device, plc: await tcpDevice((request) => ({ pdu: device.answer(request) })) };
}

export function twinCsv(): string {
  const lines = ['time,label,episode,LEVEL,FLOW,PUMP'];
  for (const [episode, { rows, labels }] of syntheticTwin(1).episodes.entries())
    for (const [i, { values }] of rows.entries()) {
      const time = new Date(START_MS + (episode * 1_000 + i) * ROW_MS).toISOString();
      lines.push([time, labels[i], episode, ...values].join(','));
    }
  return `${lines.join('\n')}\n`;
}
