import { createPublicKey } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import type { CertificateRole } from '@twinwatch/core/security/certificate-name';
import { type Authority, issueCertificate, newAuthority, newTlsKey } from '@twinwatch/core/security/certificates';
import { topics } from '@twinwatch/core/wire/topics';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { RunningBroker } from './broker.js';
import { TestBench, until } from './test-bench.js';
import type { BrokerTls } from './tls.js';

const YEAR_MS = 365 * 86_400_000;
let ca: Authority;
let foreign: Authority;
let listening: { cert: string; key: string };
beforeAll(async () => {
  ca = await newAuthority('works', Date.now() + YEAR_MS);
  foreign = await newAuthority('works', Date.now() + YEAR_MS);
  listening = await holder('broker', 'main');
});

async function holder(role: CertificateRole, name: string, authority = ca, federation = 'works') {
  const key = newTlsKey();
  const publicKeyDer = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const request = { authority, publicKeyDer, name: { federation, role, name }, hosts: ['127.0.0.1'] };
  const { certificatePem: cert, serial } = await issueCertificate({ ...request, notAfterMs: Date.now() + YEAR_MS });
  return { cert, key, serial };
}

const bench = new TestBench();
afterEach(() => bench.close());

const mutual = (changed: Partial<BrokerTls> = {}): BrokerTls => ({
  ...{ ...listening, ca: ca.certificatePem, clients: 'certificate', revoked: new Set(), ...changed },
});

async function connect({ port }: RunningBroker, options: IClientOptions): Promise<MqttClient> {
  const client = await mqtt.connectAsync(
    `mqtts://127.0.0.1:${port}`,
    { reconnectPeriod: 0, ca: ca.certificatePem, ...options },
    false,
  );
  client.on('error', () => undefined);
  bench.onClose(() => client.endAsync(true));
  return client;
}

const closeOf = (client: MqttClient) => new Promise<void>((resolve) => client.once('close', () => resolve()));

const of = (agent: string) => topics('works').agent(agent);

it('knows an agent by its certificate, and gives it its own topics only', async () => {
  const broker = await bench.broker({ tls: mutual() });
  const server = await connect(broker, { ...(await holder('server', 'main')), clientId: 'works-server' });
  const heard: string[] = [];
  server.on('message', (topic) => heard.push(topic));
  await server.subscribeAsync('#', { qos: 1 });
  const agent = await connect(broker, { ...(await holder('agent', 'a')), clientId: 'twinwatch-works-a' });
  await agent.publishAsync(of('b').hello, 'as b', { qos: 1 });
  await agent.publishAsync(topics('other').agent('a').hello, 'elsewhere', { qos: 1 });
  await agent.publishAsync(of('a').hello, 'as a', { qos: 1 });
  await until('the message that is its own', () => heard.length > 0);
  expect(heard).toEqual([of('a').hello]);
  expect(broker.counters.refusedPublishes).toBe(2);
  await expect(agent.subscribeAsync(of('b').task, { qos: 1 })).rejects.toThrow();
  const stranger = connect(broker, { ...(await holder('agent', 'b')), clientId: 'twinwatch-works-a' });
  await expect(stranger).rejects.toThrow();
  expect(agent.connected).toBe(true);
});

it('lets in nobody without a certificate, with a foreign one, with that of a broker, or in clear', async () => {
  const broker = await bench.broker({ tls: mutual() });
  await expect(connect(broker, {})).rejects.toThrow();
  await expect(connect(broker, await holder('agent', 'a', foreign))).rejects.toThrow();
  await expect(connect(broker, await holder('broker', 'main'))).rejects.toThrow(/Not authorized|Bad User/i);
  await expect(
    mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, { reconnectPeriod: 0, connectTimeout: 3_000 }, false),
  ).rejects.toThrow();
  await expect(connect(broker, { ...(await holder('agent', 'a')), ca: foreign.certificatePem })).rejects.toThrow();
  expect(broker.counters.refusedConnections).toBeGreaterThanOrEqual(4);
  await connect(broker, await holder('agent', 'a'));
});

it('takes passwords beside certificates where it is told to, over TLS', async () => {
  const credentials = [{ username: 'u', password: 'several words', role: 'agent' as const, agent: 'a' }];
  const broker = await bench.broker({ tls: mutual({ clients: 'certificate-or-password' }), credentials });
  await expect(connect(broker, {})).rejects.toThrow();
  await expect(connect(broker, { username: 'u', password: 'several other words' })).rejects.toThrow();
  const byPassword = await connect(broker, { username: 'u', password: 'several words' });
  const byCertificate = await connect(broker, await holder('agent', 'b'));
  await byPassword.subscribeAsync(of('a').task, { qos: 1 });
  await byCertificate.subscribeAsync(of('b').task, { qos: 1 });
  const gone = closeOf(byPassword);
  broker.setAccess({ tls: mutual({ clients: 'certificate-or-password' }), credentials: [] });
  await gone;
  expect(byCertificate.connected).toBe(true);
});

it('cuts off a revoked agent that is connected, refuses it from then on, and disturbs nobody else', async () => {
  const broker = await bench.broker({ tls: mutual() });
  const bad = await holder('agent', 'a');
  const revoked = await connect(broker, { ...bad, clientId: 'twinwatch-works-a' });
  const other = await connect(broker, { ...(await holder('agent', 'b')), clientId: 'twinwatch-works-b' });
  const server = await connect(broker, { ...(await holder('server', 'main')), clientId: 'works-server' });
  const heard: string[] = [];
  server.on('message', (topic) => heard.push(topic));
  await server.subscribeAsync(topics('works').everyAgent.hello, { qos: 1 });
  const gone = closeOf(revoked);
  broker.setAccess({ tls: mutual({ revoked: new Set([bad.serial]) }) });
  await gone;
  await expect(connect(broker, { ...bad, clientId: 'twinwatch-works-a' })).rejects.toThrow(/Bad User|Not authorized/i);
  await other.publishAsync(of('b').hello, 'still here', { qos: 1 });
  await until('what the other says', () => heard.length > 0);
  expect(broker.counters.cutOff).toBe(1);
  // The same agent enrolled anew has another serial.
  await connect(broker, { ...(await holder('agent', 'a')), clientId: 'twinwatch-works-a' });
});

it('changes its certificate and authority while clients stay connected', async () => {
  const broker = await bench.broker({ tls: mutual() });
  const before = await connect(broker, await holder('agent', 'a'));
  const next = await newAuthority('works', Date.now() + YEAR_MS);
  const both = ca.certificatePem + next.certificatePem;
  broker.setAccess({ tls: mutual({ ...(await holder('broker', 'main', next)), ca: both }) });
  await expect(connect(broker, await holder('agent', 'b'))).rejects.toThrow();
  await connect(broker, { ...(await holder('agent', 'b')), ca: both });
  await connect(broker, { ...(await holder('agent', 'c', next)), ca: both });
  expect(() => broker.setAccess({ tls: mutual({ key: newTlsKey() }) })).toThrow();
  await connect(broker, { ...(await holder('agent', 'd', next)), ca: both });
  expect(before.connected).toBe(true);
});

it('is closed in time although a handshake never ends', async () => {
  const broker = await bench.broker({ tls: mutual() });
  const silent = connectTls({ port: broker.port, host: '127.0.0.1', ca: ca.certificatePem });
  silent.on('error', () => undefined);
  await delay(20);
  await broker.close();
});
