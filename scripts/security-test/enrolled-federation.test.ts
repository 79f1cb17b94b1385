import { X509Certificate } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AgentView, CHANGE_HEADER, LOGIN_PATH, type ServerState } from '@twinwatch/core/wire/http';
import { topics } from '@twinwatch/core/wire/topics';
import { tcpDevice } from '@twinwatch/edge-agent/sources/modbus/testing/scripted-device';
import { plantRows } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import mqtt from 'mqtt';
import { afterAll, beforeAll, expect, it, onTestFailed, vi } from 'vitest';
import { parse, stringify } from 'yaml';
import { twinCsv } from '../federation-test/federation-processes.js';
import { choosePorts } from '../processes/ports.js';
import { FederationDirectory } from '../security/federation-directory.js';
import { SERVED_TEMPLATE, ServedRows } from '../test/served-rows.js';
import { type StartedCommand, startCommand } from '../test/started-command.js';

/** As on real machines: every process and device with a folder of its own, over mutual TLS, set up by nothing but the commands. */

const within = { timeout: 90_000, interval: 200 };
const running: StartedCommand[] = [];
const plcs: { close(): unknown }[] = [];
let folder: string;
let home: FederationDirectory;
let brokerPort: number;
let enrolmentPort: number;
let http: number;
let cookie = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'twinwatch-enrolled-'));
  home = new FederationDirectory(join(folder, 'home'));
  const ports = await choosePorts(['broker', 'enrolment'], 20_000 + (process.pid % 20_000), false);
  brokerPort = ports.broker;
  enrolmentPort = ports.enrolment;
});
afterAll(async () => {
  for (const { process } of running) process.kill('SIGKILL');
  await Promise.all(running.map(({ ended }) => ended));
  for (const plc of plcs) await plc.close();
  await rm(folder, { recursive: true, force: true });
});

/** To its end. @returns what it printed. */
async function run(...args: string[]): Promise<string> {
  const command = startCommand(...args);
  const code = await command.ended;
  if (code !== 0) throw new Error(`twinwatch ${args[0]} ended with ${code}:\n${command.output()}`);
  return command.output();
}

async function start(
  ...args: string[]
): Promise<{ readonly command: StartedCommand; readonly ready: { http?: number } }> {
  const command = startCommand(...args);
  running.push(command);
  return { command, ready: await command.told<{ ready: true; http?: number }>(({ ready }) => ready) };
}

/** What a person writes there: for the server, what the plant is; for an agent, what it reads. */
async function edit(file: string, change: (content: Record<string, unknown>) => object): Promise<string> {
  await writeFile(file, stringify(change(parse(await readFile(file, 'utf8')))));
  return file;
}

async function startAgent(id: string, device: string): Promise<StartedCommand> {
  const served = new ServedRows(plantRows(id, 4, 0, [380, 384]).rows, 300);
  const plc = await tcpDevice((request) => ({ pdu: served.answer(request) }));
  plcs.push(plc);
  await writeFile(join(device, 'plc.yaml'), SERVED_TEMPLATE);
  const config = await edit(join(device, 'agent.yaml'), ({ security, ...rest }) => ({
    ...rest,
    security: { ...(security as object), renewal: { url: `https://127.0.0.1:${enrolmentPort}`, every: '1s' } },
    ...{
      statusEvery: '1s',
      poll: { every: '0ms' },
      training: { quarantine: '2h', engine: 'builtin' },
    },
    buses: [{ url: `tcp://127.0.0.1:${plc.port}`, timeoutMs: 5_000, devices: [{ name: 'PLC', template: 'plc.yaml' }] }],
  }));
  return (await start('agent', '--config', config)).command;
}

/** As the administrator, with the password that `init` has printed. */
async function login(password: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${http}${LOGIN_PATH}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', [CHANGE_HEADER.name]: CHANGE_HEADER.value },
    body: JSON.stringify({ name: 'admin', password }),
  });
  expect(response.status).toBe(200);
  return response.headers.get('set-cookie')!.split(';')[0]!;
}

const state = async () =>
  (await (await fetch(`http://127.0.0.1:${http}/api/state`, { headers: { cookie } })).json()) as ServerState;
const agentOf = async (id: string): Promise<AgentView | undefined> =>
  (await state()).agents.find((one) => one.id === id);
const online = async () =>
  Object.fromEntries((await state()).agents.map(({ id, status }) => [id, status?.online === true]));
/** What the administrator, who may read everything at the broker, hears an agent say of itself, and by which key. */
async function heardStatuses(id: string) {
  const file = (name: string) => readFile(home.file('administrator', name), 'utf8');
  const client = await mqtt.connectAsync(`mqtts://127.0.0.1:${brokerPort}`, {
    ...{ ca: await file('ca.pem'), cert: await file('certificate.pem'), key: await file('key.pem') },
  });
  const heard: { readonly atMs: number; readonly keyId: string }[] = [];
  client.on('message', (_topic, payload) => {
    const { atMs, signature } = JSON.parse(payload.toString()) as { atMs: number; signature: string };
    heard.push({ atMs, keyId: signature.slice(0, 16) });
  });
  await client.subscribeAsync(topics((await home.federation()).name).agent(id).status, { qos: 1 });
  return { heard, close: () => client.endAsync(true) };
}

const authorityOf = async (id: string) => (await home.record(id))?.certificates.at(-1)?.authority;

it('joins by folder and by token, learns, releases, changes every key while it runs, and puts an agent out', {
  timeout: 400_000,
}, async () => {
  onTestFailed(() => console.log(running.map((command) => command.output().slice(-2_000)).join('\n=====\n')));
  const dir = ['--dir', home.path];
  const made = await run(
    'init',
    home.path,
    '--host',
    '127.0.0.1',
    '--broker-port',
    `${brokerPort}`,
    '--enrolment-port',
    `${enrolmentPort}`,
    '--http-port',
    '0',
  );
  await writeFile(join(home.path, 'twin.csv'), twinCsv());
  const serverConfig = await edit(home.file('server.yaml'), (content) => ({
    ...content,
    twin: { csv: { file: 'twin.csv', episodeColumn: 'episode' }, episodes: 8, days: 3 },
    detector: { hidden: [12, 6], maximumFalseRate: 0.01 },
    engine: 'builtin',
    rounds: {
      ...{ method: 'fedavg', count: 2, quorum: 2, minimumRows: 50, exchangeRows: 400 },
      ...{ batchSize: 32, learningRate: 0.01 },
    },
  }));
  const brokerConfig = home.file('broker', 'broker.yaml');
  const broker = await start('broker', '--config', brokerConfig);
  http = (await start('server', '--config', serverConfig)).ready.http!;
  expect((await fetch(`http://127.0.0.1:${http}/api/state`)).status).toBe(401);
  cookie = await login(/with the password (\S+)/.exec(made)![1]!);
  await start('enrolment', ...dir, '--host', '127.0.0.1');

  // One by a folder that is copied, one by a token.
  await run('enrol', 'site-1', ...dir);
  const first = join(folder, 'device-1');
  await cp(home.file('bundles', 'site-1'), first, { recursive: true });
  const token = /tw1_\S+/.exec(await run('token', 'site-2', ...dir))![0];
  const second = join(folder, 'device-2');
  await run('join', `https://127.0.0.1:${enrolmentPort}`, token, '--out', second);
  await startAgent('site-1', first);
  const revoked = await startAgent('site-2', second);

  await vi.waitFor(async () => {
    const { model, agents, phase } = await state();
    expect(phase).toBe('finished');
    expect(agents.map(({ status }) => status?.modelVersion)).toEqual([model!.modelVersion, model!.modelVersion]);
  }, within);
  expect((await state()).rounds.map(({ phase, accepted }) => [phase, accepted.length])).toEqual([
    ['committed', 2],
    ['committed', 2],
  ]);

  // Every key, while everything runs; nobody is cut off by it.
  const connections = async () => (await state()).agents.map(({ status }) => status?.connectionId);
  const before = await connections();
  const signing = (await home.trust()).serverKeys[0]!.id;
  for (const what of ['broker', 'server', 'administrator']) await run('rotate', what, ...dir);
  await run('rotate', 'signing', ...dir, '--overlap', '3s');
  await run('rotate', 'ca', ...dir);
  await vi.waitFor(
    async () => expect([await authorityOf('site-1'), await authorityOf('site-2')]).toEqual([2, 2]),
    within,
  );
  await run('rotate', 'ca', ...dir, '--finish');
  const agentTrust = async (device: string) =>
    JSON.parse(await readFile(join(device, 'identity', 'trust.json'), 'utf8'));
  await vi.waitFor(async () => {
    const { serverKeys } = (await agentTrust(first)) as { serverKeys: { id: string }[] };
    expect(serverKeys.map(({ id }) => id)).toContain((await home.trust()).serverKeys.at(-1)!.id);
  }, within);
  expect((await home.trust()).serverKeys.at(-1)!.id).not.toBe(signing);
  expect(await connections()).toEqual(before);

  // The broker starts anew: everybody has to connect with what is new, and nothing else is trusted.
  await vi.waitFor(async () => {
    const ca = await readFile(join(second, 'identity', 'ca.pem'), 'utf8');
    expect(ca).toBe(await home.trustedCa());
  }, within);
  broker.command.process.kill('SIGKILL');
  await broker.command.ended;
  await start('broker', '--config', brokerConfig);
  await vi.waitFor(async () => {
    expect(await online()).toEqual({ 'site-1': true, 'site-2': true });
    expect((await connections()).every((id, i) => id !== before[i])).toBe(true);
  }, within);

  // An agent's own signing key, while it runs: what it says from then on is signed with that one, and believed.
  const keysOf = async (id: string) => (await home.record(id))?.publicKeys.map((key) => key.id) ?? [];
  const [old = ''] = await keysOf('site-1');
  const now = await connections();
  const listening = await heardStatuses('site-1');
  try {
    await vi.waitFor(() => expect(listening.heard.at(-1)?.keyId).toBe(old), within);
    await run('renew', '--config', join(first, 'agent.yaml'), '--signing');
    const keys = await keysOf('site-1');
    expect(keys).toHaveLength(2);
    await vi.waitFor(async () => {
      const own = listening.heard.filter(({ keyId }) => keyId === keys[1]);
      const known = (await agentOf('site-1'))?.status?.atMs;
      expect(own.map(({ atMs }) => atMs)).toContain(known);
    }, within);
    const since = listening.heard.findIndex(({ keyId }) => keyId === keys[1]);
    expect(new Set(listening.heard.slice(since).map(({ keyId }) => keyId))).toEqual(new Set([keys[1]]));
    expect(await connections()).toEqual(now);
  } finally {
    await listening.close();
  }

  const serial = new X509Certificate(await readFile(join(second, 'identity', 'certificate.pem'))).serialNumber;
  await run('revoke', 'site-2', ...dir);
  await vi.waitFor(async () => expect(await online()).toEqual({ 'site-1': true, 'site-2': false }), within);
  const [, again] = running.filter((command) => command.output().includes('broker listens'));
  await again!.printed(new RegExp(`${serial}.*client cut off`));
  await again!.printed(/a certificate that was revoked.*client refused/);
  expect(revoked.process.exitCode).toBeNull();
  expect((await agentOf('site-1'))?.status?.online).toBe(true);
});
