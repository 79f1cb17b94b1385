import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { httpAccess } from '@twinwatch/core/config/http-access';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { Logger } from '@twinwatch/core/runtime';
import { decodeEnvelope } from '@twinwatch/core/wire/envelope';
import type { ServerState } from '@twinwatch/core/wire/http';
import type { Hello } from '@twinwatch/core/wire/messages';
import { topics } from '@twinwatch/core/wire/topics';
import { type AgentRuntime, runAgent } from '@twinwatch/edge-agent/agent';
import { loadSite } from '@twinwatch/edge-agent/site-config';
import { tcpDevice } from '@twinwatch/edge-agent/sources/modbus/testing/scripted-device';
import { openJournal } from '@twinwatch/twin-server/aggregator/sqlite-journal';
import {
  plantRows,
  SILENT,
  syntheticConfig,
  syntheticTwin,
  TAGS,
} from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { type RunningServer, startServer } from '@twinwatch/twin-server/server';
import mqtt from 'mqtt';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { ROW_MS, SERVED_TEMPLATE, ServedRows, START_MS } from './served-rows.js';
import { startCommand } from './started-command.js';

/** What a person says in a terminal reaches the next fit on a device: command, server, broker, agent and Modbus device are the real ones. */

const QUARANTINE_ROWS = 8;
/** Normal rows, then a bypass that no twin knows of, then normal rows again. */
const BYPASS = [400, 412] as const;
const ROWS = plantRows('site', 6, 0, BYPASS).rows;
const within = { timeout: 20_000, interval: 20 };

const device = new ServedRows(ROWS, BYPASS[0]);
const hellos: Hello[] = [];
const fitted: { round: number; rows: number }[] = [];
let directory: string;
let broker: Awaited<ReturnType<typeof startBroker>>;
let plc: Awaited<ReturnType<typeof tcpDevice>>;
let observer: mqtt.MqttClient;
let server: RunningServer;
let agent: { readonly stop: AbortController; readonly done: Promise<void> } | null = null;
let url: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-decisions-'));
  plc = await tcpDevice((request) => ({ pdu: device.answer(request) }));
  const dataDir = join(directory, 'broker');
  broker = await startBroker({ host: '127.0.0.1', port: 0, dataDir, clock: systemClock, log: SILENT });
  url = `mqtt://127.0.0.1:${broker.port}`;
  observer = await mqtt.connectAsync(url);
  observer.on('message', (_topic, payload) => {
    const { message } = decodeEnvelope(payload);
    if (message.kind === 'hello') hellos.push(message);
  });
  await observer.subscribeAsync(topics('test').agent('site').hello);
  writeFileSync(join(directory, 'plc.yaml'), SERVED_TEMPLATE);
  writeFileSync(
    join(directory, 'agent.yaml'),
    `{ federation: test, agent: site, broker: { url: '${url}' }, dataDir: agent, interval: 15m, statusEvery: 1s, poll: { every: 0ms },
  buses: [{ url: 'tcp://127.0.0.1:${plc.port}', timeoutMs: 5000, devices: [{ name: PLC, template: plc.yaml }] }],
  training: { quarantine: 2h, engine: builtin } }
`,
  );
});

afterAll(async () => {
  await stopAgent();
  await server.stop();
  await observer.endAsync();
  await broker.close();
  await plc.close();
  rmSync(directory, { recursive: true });
});

async function serve(count: number): Promise<void> {
  const { rounds, ...rest } = syntheticConfig({ method: 'fedavg', count, quorum: 1 });
  server = await startServer({
    config: { ...rest, rounds, http: httpAccess.parse({ port: 0 }) },
    dataDir: join(directory, 'server'),
    dashboardDir: '/nowhere',
    twin: { tags: TAGS, intervalMs: ROW_MS, generate: async () => syntheticTwin(1) },
    twinHash: 'synthetic',
    createEngine: async () => new BuiltinEngine(),
    openJournal,
    broker: { url, connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions) },
    ...{ softwareVersion: 'test', clock: systemClock, timers: systemTimers, random: Math.random, log: SILENT },
  });
}

async function startAgent(): Promise<void> {
  const log: Logger = {
    ...SILENT,
    info(facts, message) {
      if (message === 'fitted') fitted.push(facts as { round: number; rows: number });
    },
  };
  const runtime: AgentRuntime = {
    ...{ softwareVersion: 'test', clock: systemClock, timers: systemTimers, random: Math.random, log },
    connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
    rssBytes: () => process.memoryUsage.rss(),
  };
  const site = await loadSite(join(directory, 'agent.yaml'));
  const stop = new AbortController();
  await new Promise<void>((ready) => {
    agent = { stop, done: runAgent(site, runtime, stop.signal, () => ready()) };
  });
}

async function stopAgent(): Promise<void> {
  agent?.stop.abort();
  await agent?.done;
  agent = null;
}

async function state(): Promise<ServerState> {
  return (await (await fetch(`http://127.0.0.1:${server.httpPort}/api/state`)).json()) as ServerState;
}

async function twinwatch(...args: string[]): Promise<string> {
  const command = startCommand(...args, '--server', `http://127.0.0.1:${server.httpPort}`);
  expect(await command.ended, command.output()).toBe(0);
  return command.output();
}

/** Rows that a fit takes, of those that may be learned from: decided ones all, of the others what is not held back. */
const trainedRows = (eligible: number, decided: number) =>
  decided + (eligible - decided) - Math.floor((eligible - decided) * 0.2);

it('a dismissed alarm is learned from in the next round, over restarts of both ends, and a labelled range overrules', {
  timeout: 90_000,
}, async () => {
  await serve(3);
  await startAgent();
  await vi.waitFor(async () => expect((await state()).agents[0]?.status?.modelVersion).toContain('-r'), within);
  device.limit = ROWS.length;
  await vi.waitFor(async () => {
    expect(device.row).toBe(ROWS.length - 1);
    expect((await state()).alarms.map(({ transition }) => transition)).toEqual(['raised', 'cleared']);
  }, within);
  const [raised, cleared] = (await state()).alarms;
  expect(raised!.atMs).toBe(START_MS + (BYPASS[0] + 1) * ROW_MS);
  const lasted = (cleared!.atMs - raised!.atMs) / ROW_MS;

  // A round without the decision, for comparison.
  await server.stop();
  await serve(4);
  await vi.waitFor(() => expect(fitted.at(-1)?.round).toBe(4), within);
  const before = hellos.at(-1)!;
  expect(before).toMatchObject({
    labelledRows: 0,
    eligibleRows: ROWS.length - QUARANTINE_ROWS - (lasted + 2 * QUARANTINE_ROWS + 1),
  });
  const undecided = fitted.at(-1)!.rows;

  // Decided while the agent is away; both ends start anew before it is delivered.
  await vi.waitFor(async () => expect((await state()).phase).toBe('finished'), within);
  await stopAgent();
  expect(await twinwatch('alarms')).toMatch(/site:\d+ .*FLOW.* -$/m);
  const said = await twinwatch('alarms', 'dismiss', raised!.alarmId, '--by', 'Ada', '--wait', '100ms');
  expect(said).toContain(`${raised!.alarmId}: dismissed by Ada; site has not answered yet`);
  await server.stop();
  await serve(5);
  await startAgent();
  await vi.waitFor(
    async () => expect((await state()).decisions[0]?.answer).toEqual({ verdict: 'done', detail: '', rows: lasted }),
    within,
  );
  await vi.waitFor(() => expect(hellos.at(-1)!.labelledRows).toBe(lasted), within);
  const { eligibleRows } = hellos.at(-1)!;
  expect(eligibleRows).toBe(ROWS.length - QUARANTINE_ROWS);
  await vi.waitFor(() => expect(fitted.at(-1)?.round).toBe(5), within);
  const gained = trainedRows(eligibleRows, lasted) - trainedRows(before.eligibleRows, 0);
  expect(fitted.at(-1)!.rows - undecided).toBe(gained);
  expect(gained).toBeGreaterThan(lasted);
  expect(await twinwatch('alarms', '--all')).toContain('dismissed by Ada');

  expect(await twinwatch('quarantine')).toContain('No agent is in quarantine.');
  expect(await twinwatch('quarantine', 'lift', 'site', '--by', 'Ada')).toContain('site is not in quarantine any more');

  const from = new Date(START_MS).toISOString();
  const range = [from, new Date(START_MS + 9 * ROW_MS).toISOString()] as const;
  const labelled = await twinwatch('label', 'site', ...range, '--attack', '--by', 'Ada');
  expect(labelled).toContain('labelled by Ada: 10 rows at site are learned as attacked');
  await vi.waitFor(() => expect(hellos.at(-1)!.labelledRows).toBe(lasted + 10), within);
});
