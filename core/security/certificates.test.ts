import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { certificateNameIn, commonName } from './certificate-name.js';
import {
  type Authority,
  issueCertificate,
  newAuthority,
  newRequest,
  newTlsKey,
  publicKeyOfRequest,
  revocationList,
  revokedSerials,
} from './certificates.js';

const YEAR_MS = 365 * 86_400_000;
const openssl = existsSync('/usr/bin/openssl');
let folder: string;
let ca: Authority;
let other: Authority;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'twinwatch-x509-'));
  ca = await newAuthority('works', Date.now() + 10 * YEAR_MS);
  other = await newAuthority('works', Date.now() + 10 * YEAR_MS);
});
afterAll(() => rm(folder, { recursive: true }));

const issue = async (authority: Authority, role: 'agent' | 'broker', name: string, hosts: string[] = []) =>
  issueCertificate({
    ...{ authority, hosts, name: { federation: 'works', role, name } },
    publicKeyDer: await publicKeyOfRequest(await newRequest(newTlsKey(), name)),
    notAfterMs: Date.now() + YEAR_MS,
  });

describe('certificates', () => {
  it('name an agent, signed by their authority and by no other of the same federation', async () => {
    const issued = await issue(ca, 'agent', 'site-1');
    const read = new X509Certificate(issued.certificatePem);
    expect(read.serialNumber).toBe(issued.serial);
    expect(read.subject).toContain('CN=site-1');
    expect(certificateNameIn(read.subjectAltName)).toEqual({ federation: 'works', role: 'agent', name: 'site-1' });
    expect(read.checkIssued(new X509Certificate(ca.certificatePem))).toBe(true);
    expect(read.verify(new X509Certificate(ca.certificatePem).publicKey)).toBe(true);
    expect(read.checkIssued(new X509Certificate(other.certificatePem))).toBe(false);
    expect(new Date(read.validFrom).getTime()).toBe(0);
  });

  it('name one holder only, and none in a name that could be an agent’s', () => {
    expect(certificateNameIn('URI:urn:twinwatch:a:agent:b, URI:urn:twinwatch:a:agent:c')).toBeNull();
    expect(certificateNameIn('DNS:urn:twinwatch:a:agent:b')).toBeNull();
    expect(certificateNameIn('URI:"urn:twinwatch:a:agent:b, x"')).toBeNull();
    expect(certificateNameIn('URI:urn:twinwatch:a:root:b')).toBeNull();
    expect(commonName({ federation: 'a', role: 'server', name: 'main' })).toBe('main.server');
  });

  it('are not issued for what is no request, of another kind of key, or for a key that its sender lacks', async () => {
    const code = { code: 'SECURITY_REQUEST_INVALID' };
    await expect(publicKeyOfRequest('-----BEGIN nothing')).rejects.toMatchObject(code);
    const good = await newRequest(newTlsKey(), 'site-1');
    const der = Buffer.from(good.split('\n').slice(1, -1).join(''), 'base64');
    der[der.length - 1]! ^= 1;
    const bent = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    await expect(publicKeyOfRequest(bent)).rejects.toMatchObject(code);
  });

  it('are taken back by lists that the authority signed, and no other', async () => {
    const { serial } = await issue(ca, 'agent', 'site-1');
    const list = await revocationList(ca, [{ serial, revokedAtMs: Date.now() }], Date.now());
    expect([...(await revokedSerials(list, other.certificatePem + ca.certificatePem))]).toEqual([serial]);
    await expect(revokedSerials(list, other.certificatePem)).rejects.toMatchObject({ code: 'SECURITY_FILE_INVALID' });
  });

  it.skipIf(!openssl)(
    'are what openssl holds for good, for the purpose they have, until they are revoked',
    async () => {
      const file = async (name: string, text: string) => {
        await writeFile(join(folder, name), text);
        return join(folder, name);
      };
      const caFile = await file('ca.pem', ca.certificatePem);
      const agent = await issue(ca, 'agent', 'site-1');
      const agentFile = await file('agent.pem', agent.certificatePem);
      const broker = await file(
        'broker.pem',
        (await issue(ca, 'broker', 'main', ['broker.example', '10.0.0.5', '::1'])).certificatePem,
      );
      const run = (...args: string[]) => {
        try {
          return execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });
        } catch (error) {
          return `failed: ${(error as { stderr: string; stdout: string }).stderr}${(error as { stdout: string }).stdout}`;
        }
      };
      const verify = (...args: string[]) => run('verify', '-x509_strict', '-CAfile', caFile, ...args);
      expect(verify('-purpose', 'sslclient', agentFile)).toMatch(/: OK/);
      expect(verify('-purpose', 'sslserver', agentFile)).toMatch(/unsuitable certificate purpose/);
      expect(verify('-purpose', 'sslserver', '-verify_hostname', 'broker.example', broker)).toMatch(/: OK/);
      expect(verify('-verify_ip', '10.0.0.5', broker)).toMatch(/: OK/);
      expect(verify('-verify_hostname', 'other.example', broker)).toMatch(/hostname mismatch/i);
      const revoked = [{ serial: agent.serial, revokedAtMs: Date.now() }];
      const crl = await file('crl.pem', await revocationList(ca, revoked, Date.now()));
      expect(verify('-crl_check', '-CRLfile', crl, agentFile)).toMatch(/certificate revoked/);
      expect(verify('-crl_check', '-CRLfile', crl, broker)).toMatch(/: OK/);
    },
  );
});
