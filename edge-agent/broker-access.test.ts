import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type TLSSocket } from 'node:tls';
import { type Authority, issueCertificate, newAuthority, newTlsKey } from '@twinwatch/core/security/certificates';
import type { MqttConnectOptions } from '@twinwatch/core/wire/mqtt-client';
import { Aedes, type Client } from 'aedes';
import mqtt from 'mqtt';
import { afterEach, expect, it } from 'vitest';
import { sourceBrokerOf, sparkplugBrokerOf } from './broker-access.js';
import { checkSite } from './check.js';
import { loadSite } from './site-config.js';
import { openSource } from './sources/open-sources.js';
import { systemClock, systemTimers } from './system-runtime.js';

const YEAR_MS = 365 * 86_400_000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const slow = { timeout: 15_000, interval: 20 };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function holder(authority: Authority, role: 'agent' | 'broker', name: string) {
  const key = newTlsKey();
  const publicKeyDer = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const request = { authority, publicKeyDer, name: { federation: 'works', role, name }, hosts: ['127.0.0.1'] };
  const { certificatePem: cert } = await issueCertificate({ ...request, notAfterMs: Date.now() + YEAR_MS });
  return { cert, key };
}

/** Lets in who has a certificate of the authority and the right password; keeps who came. */
async function strictBroker(authority: Authority) {
  const broker = await Aedes.createBroker();
  const came: { cert: string; login: string }[] = [];
  const connections = new Map<Client, TLSSocket>();
  broker.authenticate = (client, username, password, done) => {
    const socket = (client as unknown as { conn: TLSSocket }).conn;
    came.push({ cert: String(socket.getPeerCertificate().subject.CN), login: `${username}:${password}` });
    connections.set(client, socket);
    done(null, String(password) === 'several words');
  };
  const listening = await holder(authority, 'broker', 'main');
  const server = createServer(
    { ...listening, ca: authority.certificatePem, requestCert: true, rejectUnauthorized: true },
    (socket) => broker.handle(socket),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cutOff = () => {
    for (const socket of connections.values()) socket.destroy();
  };
  cleanUps.push(async () => {
    cutOff();
    await new Promise<void>((resolve) => broker.close(() => resolve()));
    await new Promise((resolve) => server.close(resolve));
  });
  return { broker, came, cutOff, port: (server.address() as AddressInfo).port };
}

it('reaches a broker of its own over TLS, with a certificate as it is in its file at each connection and a password from a file', async () => {
  const authority = await newAuthority('works', Date.now() + YEAR_MS);
  const { broker, came, cutOff, port } = await strictBroker(authority);
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-source-tls-'));
  cleanUps.push(() => rmSync(directory, { recursive: true }));
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const first = await holder(authority, 'agent', 'first');
  write('ca.pem', authority.certificatePem);
  write('cert.pem', first.cert);
  write('key.pem', first.key);
  write('password', 'several words\n');
  const access = `url: 'mqtts://127.0.0.1:${port}', username: u, passwordFile: password, ca: ca.pem, cert: cert.pem, key: key.pem`;
  write(
    'agent.yaml',
    `federation: w\nagent: a\nbroker: { url: mqtt://127.0.0.1:1 }\ndataDir: d\ninterval: 1s
sparkplug: { group: G, ${access} }
sources: [{ kind: mqtt, name: M, ${access}, tags: [{ name: L, topic: plant/level }] }]\n`,
  );
  const site = await loadSite(join(directory, 'agent.yaml'));
  const [config] = site.config.sources;
  expect(sparkplugBrokerOf(site, site.config.sparkplug!)).toMatchObject({
    cert: first.cert,
    password: 'several words',
  });
  const stop = new AbortController();
  const values: number[] = [];
  let attempts = 0;
  const runtime = {
    ...{ clock: systemClock, timers: systemTimers, random: () => 0, log: quiet },
    connect: (options: MqttConnectOptions) => {
      attempts++;
      return mqtt.connect(options.url, options as mqtt.IClientOptions);
    },
  };
  const place = { agent: 'a', broker: sourceBrokerOf(site, config!), configPath: site.configPath };
  const running = openSource(config!, place, runtime).start(stop.signal, {
    reading: ({ samples: [sample] }) => values.push(sample!.value),
    fault: () => undefined,
  });
  cleanUps.push(async () => {
    stop.abort();
    await running;
  });
  const publishing = setInterval(
    () =>
      broker.publish(
        { cmd: 'publish', topic: 'plant/level', payload: Buffer.from('12.5'), qos: 0, retain: false, dup: false },
        () => undefined,
      ),
    50,
  );
  cleanUps.push(() => clearInterval(publishing));
  await expect.poll(() => values.at(-1), slow).toBe(12.5);
  expect(came).toEqual([{ cert: 'first', login: 'u:several words' }]);
  // A key that belongs to no certificate ends no source: it is tried again, and told.
  write('key.pem', 'no key');
  cutOff();
  await expect.poll(() => attempts, slow).toBeGreaterThan(2);
  const second = await holder(authority, 'agent', 'second');
  write('cert.pem', second.cert);
  write('key.pem', second.key);
  await expect.poll(() => came.at(-1)?.cert, slow).toBe('second');
});

it('is checked: the broker of the Sparkplug publisher, too, and a key that is none is told, not thrown', async () => {
  const authority = await newAuthority('works', Date.now() + YEAR_MS);
  const { port } = await strictBroker(authority);
  const directory = mkdtempSync(join(tmpdir(), 'twinwatch-check-'));
  cleanUps.push(() => rmSync(directory, { recursive: true }));
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text);
  const own = await holder(authority, 'agent', 'first');
  write('ca.pem', authority.certificatePem);
  write('cert.pem', own.cert);
  write('key.pem', own.key);
  write('other.pem', 'no key');
  const access = (key: string, password: string) =>
    `{ url: 'mqtts://127.0.0.1:${port}', username: u, password: ${password}, ca: ca.pem, cert: cert.pem, key: ${key} }`;
  write(
    'agent.yaml',
    `federation: w\nagent: a\nbroker: ${access('other.pem', 'several words')}\ndataDir: d\ninterval: 1s
sparkplug: ${access('key.pem', 'wrong').replace('{', '{ group: G,')}\n`,
  );
  const runtime = {
    ...{ clock: systemClock, timers: systemTimers, random: () => 0, log: quiet, softwareVersion: '0' },
    connect: (options: MqttConnectOptions) => mqtt.connect(options.url, options as mqtt.IClientOptions),
  };
  const told = async () => {
    const { ok, text } = await checkSite(await loadSite(join(directory, 'agent.yaml')), runtime);
    return { ok, lines: text.split('\n').slice(0, 2) };
  };
  expect(await told()).toEqual({
    ok: false,
    lines: [
      expect.stringMatching(/^broker mqtts:.*; check what the files of ca, cert and key hold$/),
      expect.stringMatching(/^Sparkplug broker mqtts:.*; check url, certificate/),
    ],
  });
  write(
    'agent.yaml',
    `federation: w\nagent: a\nbroker: ${access('key.pem', 'several words')}\ndataDir: d\ninterval: 1s
sparkplug: ${access('key.pem', 'several words').replace('{', '{ group: G,')}\n`,
  );
  const { ok, lines } = await told();
  expect({ ok, lines }).toEqual({
    ok: true,
    lines: [`broker mqtts://127.0.0.1:${port}: connected`, `Sparkplug broker mqtts://127.0.0.1:${port}: connected`],
  });
}, 30_000);
