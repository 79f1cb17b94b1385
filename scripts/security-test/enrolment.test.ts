import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '@twinwatch/core/runtime';
import { newTlsKey } from '@twinwatch/core/security/certificates';
import { loadAgentKeys, loadAgentRecords, loadServerKeys } from '@twinwatch/core/security/key-files';
import { keyId } from '@twinwatch/core/security/keys';
import { fetchTrust, join as joinBy, renew } from '@twinwatch/edge-agent/enrolment/enrolment-client';
import { renewIdentity } from '@twinwatch/edge-agent/enrolment/renewal';
import { openServerTrust } from '@twinwatch/twin-server/server-trust';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemTimers } from '../processes/node-runtime.js';
import { configFile } from '../processes/repository.js';
import { enrol, writeIdentity } from '../security/enrol.js';
import { type EnrolmentService, startEnrolment } from '../security/enrolment-service.js';
import { DAY_MS, type FederationDirectory } from '../security/federation-directory.js';
import { initFederation } from '../security/init.js';
import { listCertificates } from '../security/list-certificates.js';
import { revoke } from '../security/revoke.js';
import { retireAuthorities, rotateAuthority, rotateCertificate, rotateSigningKey } from '../security/rotate.js';
import { makeToken } from '../security/tokens.js';

const logged: string[] = [];
const write = (context: object, message: string) => void logged.push(JSON.stringify(context) + message);
const log: Logger = { debug: write, info: write, warn: write, error: write };
const text = (path: string) => readFile(path, 'utf8');
const openssl = existsSync('/usr/bin/openssl');

let folder: string;
let directory: FederationDirectory;
let clockMs: number;
let service: EnrolmentService | null;
const now = () => clockMs;
const clock = { now, monotonic: now };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'twinwatch-enrolment-'));
  clockMs = Date.now();
  service = null;
  logged.length = 0;
  ({ directory } = await initFederation(join(folder, 'f'), { name: 'works', host: ['127.0.0.1'] }, now()));
});
afterEach(async () => {
  await service?.close();
  await rm(folder, { recursive: true });
});

async function serve(of = directory): Promise<string> {
  service = await startEnrolment({ directory: of, host: '127.0.0.1', port: 0, now, log });
  return `https://127.0.0.1:${service.port}`;
}

async function identityTls(bundle: string) {
  const file = (name: string) => text(join(bundle, 'identity', name));
  return { ca: await file('ca.pem'), cert: await file('certificate.pem'), key: await file('key.pem') };
}

describe('init and enrol', () => {
  it('keep every private key to their owner, and write over nothing', async () => {
    const bundle = await enrol(directory, 'a', {}, now());
    const keys: string[] = [];
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const { mode } = await stat(path);
      if (entry.isDirectory()) expect([path, mode & 0o777]).toEqual([path, 0o700]);
      else if ((await text(path)).includes('PRIVATE KEY')) {
        keys.push(entry.name);
        expect([path, mode & 0o777]).toEqual([path, 0o600]);
      }
    }
    expect(keys.filter((name) => !name.startsWith('signing-')).sort()).toEqual([
      'ca-1-key.pem',
      ...Array(4).fill('key.pem'),
    ]);
    const before = await text(join(bundle, 'identity', 'key.pem'));
    const code = { code: 'SECURITY_EXISTS' };
    await expect(initFederation(directory.path, { name: 'other' }, now())).rejects.toMatchObject(code);
    await expect(enrol(directory, 'a', {}, now())).rejects.toMatchObject(code);
    await expect(enrol(directory, 'a', { out: join(folder, 'elsewhere') }, now())).rejects.toMatchObject(code);
    await expect(makeToken(directory, 'a', { validMs: 1 }, now())).rejects.toMatchObject(code);
    expect(await text(join(bundle, 'identity', 'key.pem'))).toBe(before);
  });

  it('make what agent and server load', async () => {
    const bundle = await enrol(directory, 'a', {}, now());
    const agent = await loadAgentKeys(join(bundle, 'identity'), text);
    const server = await loadServerKeys(directory.path, text, now());
    const { records } = await loadAgentRecords(directory.path, readdir, text);
    expect(records.get('a')?.publicKeys.map(({ publicKey }) => publicKey)).toEqual([agent.publicKey]);
    expect(agent.trust).toEqual(server.trust);
    expect(agent.trust.serverKeys.map(({ id }) => id)).toEqual([server.keyId]);
  });

  it.skipIf(!openssl)('make certificates that openssl verifies', async () => {
    const bundle = await enrol(directory, 'a', {}, now());
    const verify = (...args: string[]) =>
      execFileSync('openssl', ['verify', '-x509_strict', ...args], { encoding: 'utf8' });
    const ca = join(bundle, 'identity', 'ca.pem');
    expect(verify('-purpose', 'sslclient', '-CAfile', ca, join(bundle, 'identity', 'certificate.pem'))).toMatch(/OK/);
    for (const role of ['broker', 'server'])
      expect(
        verify(
          '-purpose',
          'sslserver',
          '-verify_ip',
          '127.0.0.1',
          '-CAfile',
          ca,
          directory.file(role, 'certificate.pem'),
        ),
      ).toMatch(/OK/);
  });
});

describe('the interval of rows', () => {
  const intervalOf = async (folder: string) => /^interval: .*$/m.exec(await text(join(folder, 'agent.yaml')))?.[0];

  it("is that of the server's plant on every agent, by folder and by token", async () => {
    expect(await intervalOf(await enrol(directory, 'a', {}, now()))).toBe('interval: 15m');
    const plant = configFile('ctown', 'plant.yaml');
    const { directory: hourly } = await initFederation(join(folder, 'h'), { name: 'hourly', plant }, now());
    const token = await makeToken(hourly, 'b', { validMs: 60_000 }, now());
    const { membership, tlsKey, signingKey } = await joinBy(await serve(hourly), token);
    await writeIdentity(join(folder, 'device'), 'b', membership, { tlsKey, signingKey });
    expect(await intervalOf(join(folder, 'device'))).toBe('interval: 1h');
  });

  it('is asked of the plant before anything is written', async () => {
    const plant = join(folder, 'nowhere.yaml');
    const path = join(folder, 'new');
    await expect(initFederation(path, { name: 'new', plant }, now())).rejects.toMatchObject({
      code: 'CONFIG_UNREADABLE',
      message: expect.stringContaining(plant),
    });
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a join token', () => {
  it('lets one device in, whose keys stay there, and counts once', async () => {
    const url = await serve();
    const token = await makeToken(directory, 'a', { validMs: 60_000 }, now());
    const { membership, tlsKey, signingKey } = await joinBy(url, token);
    expect(membership.agent).toBe('a');
    expect(new X509Certificate(membership.certificate).subject).toContain('CN=a');
    await writeIdentity(join(folder, 'device'), 'a', membership, { tlsKey, signingKey });
    const { publicKey } = await loadAgentKeys(join(folder, 'device', 'identity'), text);
    expect((await directory.record('a'))?.publicKeys[0]?.publicKey).toBe(publicKey);
    await expect(joinBy(url, token)).rejects.toThrow(/was used/);
    // Neither the token's secret nor a private key is anywhere on the server, or in its log.
    const secret = Buffer.from(token.slice(4), 'base64url').subarray(8, 40);
    for (const name of await readdir(directory.path, { recursive: true })) {
      const content = await text(directory.file(name)).catch(() => '');
      for (const hidden of [token, secret.toString('hex'), secret.toString('base64url'), tlsKey, signingKey])
        expect(content.includes(hidden)).toBe(false);
    }
    expect(logged.join('\n')).not.toContain(token.slice(4));
  });

  it('is refused when it has expired, was guessed or bent, and after too many attempts nothing is heard', async () => {
    const url = await serve();
    const token = await makeToken(directory, 'a', { validMs: 60_000 }, now());
    const bytes = Buffer.from(token.slice(4), 'base64url');
    bytes[20]! ^= 1;
    await expect(joinBy(url, `tw1_${bytes.toString('base64url')}`)).rejects.toThrow(/was used, has expired/);
    await expect(joinBy(url, 'tw1_short')).rejects.toMatchObject({ code: 'SECURITY_TOKEN_INVALID' });
    const hash = await readdir(directory.file('tokens'));
    expect(hash).toHaveLength(1);
    clockMs += 60_001;
    await expect(joinBy(url, token)).rejects.toThrow(/has expired/);
    for (let i = 0; i < 9; i++) await joinBy(url, token).catch(() => undefined);
    const good = await makeToken(directory, 'b', { validMs: 600_000 }, now());
    await expect(joinBy(url, good)).rejects.toThrow(/too many attempts/);
    clockMs += 60_000;
    expect((await joinBy(url, good)).membership.agent).toBe('b');
    expect(await directory.record('a')).toBeNull();
  });

  it('is told to nobody but the federation that made it', async () => {
    const token = await makeToken(directory, 'a', { validMs: 60_000 }, now());
    const { directory: other } = await initFederation(
      join(folder, 'other'),
      { name: 'works', host: ['127.0.0.1'] },
      now(),
    );
    const url = await serve(other);
    await expect(joinBy(url, token)).rejects.toThrow(/is not the federation that made the token/);
    expect(await readdir(directory.file('tokens'))).toHaveLength(1);
  });
});

describe('members', () => {
  it('renew by their certificate, which a revoked one or a stranger cannot', async () => {
    const url = await serve();
    const bundle = await enrol(directory, 'a', {}, now());
    const tls = await identityTls(bundle);
    const identity = join(bundle, 'identity');
    const options = { directory: identity, url, clock, log };
    expect(await renewIdentity(options)).toEqual([]);
    clockMs += 310 * DAY_MS;
    expect(await renewIdentity(options)).toEqual(['certificate']);
    const renewed = await identityTls(bundle);
    expect(renewed.key).not.toBe(tls.key);
    expect(new X509Certificate(renewed.cert).serialNumber).not.toBe(new X509Certificate(tls.cert).serialNumber);
    expect((await stat(join(identity, 'key.pem'))).mode & 0o777).toBe(0o600);
    const before = (await loadAgentKeys(identity, text)).publicKey;
    await renewIdentity(options, { withSigningKey: true });
    const after = (await loadAgentKeys(identity, text)).publicKey;
    const keys = (await directory.record('a'))?.publicKeys ?? [];
    expect(keys.map(({ id, untilMs }) => [id, untilMs === null])).toEqual([
      [keyId(before), false],
      [keyId(after), true],
    ]);

    await expect(renew(url, { ...tls, cert: '', key: '' }, { tlsKey: newTlsKey(), publicKey: null })).rejects.toThrow();
    const { directory: stranger } = await initFederation(
      join(folder, 'other'),
      { name: 'works', host: ['127.0.0.1'] },
      now(),
    );
    const foreign = await identityTls(await enrol(stranger, 'a', {}, now()));
    await expect(fetchTrust(url, { ...foreign, ca: tls.ca })).rejects.toThrow(/not that of a member/);
    const operator = {
      ca: tls.ca,
      cert: await text(directory.file('administrator', 'certificate.pem')),
      key: await text(directory.file('administrator', 'key.pem')),
    };
    await expect(fetchTrust(url, operator)).rejects.toThrow(/not that of a member/);
    await revoke(directory, 'a', now());
    await expect(renewIdentity(options)).rejects.toThrow(/not that of a member/);
    expect((await listCertificates(directory, now())).find(({ holder }) => holder === 'a')?.state).toBe('revoked');
  });

  it('get ten new certificates in a day, and no more', async () => {
    const url = await serve();
    const tls = await identityTls(await enrol(directory, 'a', {}, now()));
    const once = () => renew(url, tls, { tlsKey: newTlsKey(), publicKey: null });
    for (let i = 0; i < 10; i++) await once();
    await expect(once()).rejects.toThrow(/more than 10 certificates within a day/);
    expect((await directory.record('a'))?.certificates).toHaveLength(11);
    clockMs += DAY_MS + 1_000;
    expect((await once()).agent).toBe('a');
  });

  it('follow a new authority, which may end the old one only when all have', async () => {
    const url = await serve();
    const bundles = [await enrol(directory, 'a', {}, now()), await enrol(directory, 'b', {}, now())];
    const options = bundles.map((bundle) => ({ directory: join(bundle, 'identity'), url, clock, log }));
    await rotateAuthority(directory, now());
    expect(await renewIdentity(options[0]!)).toEqual(['authorities', 'certificate']);
    await expect(retireAuthorities(directory, false, now())).rejects.toThrow(/^b would be shut out/);
    expect(await renewIdentity(options[1]!)).toEqual(['authorities', 'certificate']);
    await retireAuthorities(directory, false, now());
    await service?.close();
    const again = await serve();
    expect(await renewIdentity({ ...options[0]!, url: again })).toEqual(['authorities']);
    expect((await identityTls(bundles[0]!)).ca.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
  });

  it('hear of the server’s next signing key before it is used', async () => {
    const url = await serve();
    const bundle = await enrol(directory, 'a', {}, now());
    const first = (await loadServerKeys(directory.path, text, now())).keyId;
    const next = await rotateSigningKey(directory, DAY_MS, now());
    expect((await loadServerKeys(directory.path, text, now())).keyId).toBe(first);
    expect(await renewIdentity({ directory: join(bundle, 'identity'), url, clock, log })).toEqual(['server keys']);
    clockMs += DAY_MS;
    expect((await loadServerKeys(directory.path, text, now())).keyId).toBe(next);
    const { trust } = await loadAgentKeys(join(bundle, 'identity'), text);
    expect(trust.serverKeys.map(({ id }) => id)).toEqual([first, next]);
  });

  it('and their federation are told in time what ends', async () => {
    await enrol(directory, 'a', {}, now());
    const states = async () =>
      (await listCertificates(directory, now())).map(({ holder, state }) => `${holder} ${state}`);
    expect((await states()).every((line) => line.endsWith('good'))).toBe(true);
    clockMs += 340 * DAY_MS;
    await rotateCertificate(directory, 'broker', now());
    expect(await states()).toEqual(
      expect.arrayContaining(['authority 1 good', 'broker good', 'server ends soon', 'a ends soon']),
    );
    clockMs += 30 * DAY_MS;
    expect(await states()).toContain('a ended');
  });

  it('are shown by a running server with what ends when, which it follows', async () => {
    await enrol(directory, 'a', {}, now());
    await enrol(directory, 'b', {}, now());
    const stop = new AbortController();
    const runtime = { federation: 'works', clock, timers: systemTimers, log };
    const trust = await openServerTrust(directory.path, runtime, stop.signal);
    try {
      const ends = () =>
        Object.fromEntries(
          trust
            .certificates()
            .map(({ holder, notAfterMs }) => [
              holder,
              notAfterMs === null ? null : Math.round((notAfterMs - now()) / DAY_MS),
            ]),
        );
      const year = { server: 365, broker: 365, a: 365, b: 365 };
      expect(ends()).toEqual({ authority: 7_300, ...year });
      clockMs += 300 * DAY_MS;
      await rotateCertificate(directory, 'broker', now());
      await revoke(directory, 'b', now());
      await writeFile(directory.file('agents', 'a.json'), '{');
      await vi.waitFor(() => expect(ends()).toEqual({ authority: 7_000, server: 65, broker: 365, a: null }), {
        timeout: 20_000,
      });
    } finally {
      stop.abort();
    }
  });

  it('do not depend on the file of another that is damaged, which is named', async () => {
    for (const agent of ['a', 'b', 'c']) await enrol(directory, agent, {}, now());
    await writeFile(directory.file('agents', 'b.json'), '{');
    await revoke(directory, 'c', now());
    const rows = await listCertificates(directory, now());
    expect(rows.filter(({ state }) => state !== 'good').map(({ holder, state }) => `${holder} ${state}`)).toEqual([
      'c revoked',
      'b damaged',
    ]);
    expect(rows.at(-1)?.serial).toMatch(/b\.json is not usable: it is not JSON/);
    await rotateAuthority(directory, now());
    await expect(retireAuthorities(directory, false, now())).rejects.toThrow(/^a, b would be shut out/);
  });
});
