import { sign, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type AgentRecord, loadAgentKeys, loadAgentRecords, loadServerKeys, type TrustFile } from './key-files.js';
import { acceptedKeys, keyId, newSigningKey, type PublicKeyEntry, publicKeyObject, signingEntry } from './keys.js';

const entry = (id: string, publicKey: string, fromMs: number, untilMs: number | null = null): PublicKeyEntry => ({
  ...{ id, publicKey, fromMs, untilMs },
});

const reading = (files: Readonly<Record<string, string>>) => async (path: string) => {
  const text = files[path];
  if (text === undefined) throw new Error('ENOENT');
  return text;
};

const own = newSigningKey();
const old = newSigningKey();
const next = newSigningKey();
const trust: TrustFile = {
  ...{ version: 1, federation: 'works', revision: 2 },
  serverKeys: [entry(old.id, old.publicKey, 0, 300), entry(next.id, next.publicKey, 200)],
};
const record: AgentRecord = {
  ...{ version: 1, agent: 'site-1', publicKeys: [entry(own.id, own.publicKey, 0)] },
  ...{
    certificates: [{ serial: '0A', notAfterMs: 9, authority: 1, revokedAtMs: null }],
    enrolledAtMs: 0,
    revokedAtMs: null,
  },
};

describe('keys in files', () => {
  it('sign for an agent, and are verified by the public key in its record', async () => {
    const keys = await loadAgentKeys(
      '/id',
      reading({ '/id/signing-key.pem': own.privateKeyPem, '/id/trust.json': JSON.stringify(trust) }),
    );
    const [known] = record.publicKeys;
    const message = Buffer.from('an update');
    expect(keys.publicKey).toBe(known?.publicKey);
    expect(keyId(keys.publicKey)).toBe(known?.id);
    expect(verify(null, message, publicKeyObject(known!.publicKey), sign(null, message, keys.signingKey))).toBe(true);
    expect(verify(null, message, publicKeyObject(old.publicKey), sign(null, message, keys.signingKey))).toBe(false);
    expect(keys.trust).toEqual(trust);
  });

  it('overlap: the newest whose time has come signs, all that are not over count', async () => {
    const files = reading({
      '/f/server/trust.json': JSON.stringify(trust),
      [`/f/server/signing-${old.id}.pem`]: old.privateKeyPem,
      [`/f/server/signing-${next.id}.pem`]: next.privateKeyPem,
    });
    expect((await loadServerKeys('/f', files, 199)).keyId).toBe(old.id);
    expect((await loadServerKeys('/f', files, 200)).keyId).toBe(next.id);
    expect(acceptedKeys(trust.serverKeys, 199).map(({ id }) => id)).toEqual([old.id, next.id]);
    expect(acceptedKeys(trust.serverKeys, 300).map(({ id }) => id)).toEqual([next.id]);
    expect(signingEntry([entry(old.id, old.publicKey, 5)], 4)).toBeNull();
  });

  it('are refused where they are not what they say', async () => {
    const server = { '/f/server/trust.json': JSON.stringify(trust) };
    await expect(loadServerKeys('/f', reading(server), 0)).rejects.toMatchObject({ code: 'SECURITY_FILE_UNREADABLE' });
    const swapped = reading({ ...server, [`/f/server/signing-${old.id}.pem`]: next.privateKeyPem });
    await expect(loadServerKeys('/f', swapped, 0)).rejects.toThrow(/does not hold the key/);
    const secret = 'MC4CAQAwBQYDK2VwBCIEI-not-a-key';
    const broken = reading({ ...server, [`/f/server/signing-${old.id}.pem`]: secret });
    const error = await loadServerKeys('/f', broken, 0).catch((one: unknown) => one);
    expect(error).toMatchObject({ code: 'SECURITY_KEY_INVALID' });
    expect(String(error)).not.toContain(secret);
    expect(() => publicKeyObject('A'.repeat(42))).toThrow(/32 bytes/);
  });

  it('of agents are listed by name; a file that is damaged or another agent’s is named, and the others count', async () => {
    const list = async () => ['site-1.json', 'site-2.json', 'site-3.json', 'site-4.json', 'site-5.json', 'README'];
    const files = reading({
      '/f/agents/site-1.json': '{"version":1,',
      '/f/agents/site-2.json': JSON.stringify({ ...record, publicKeys: [] }),
      '/f/agents/site-3.json': JSON.stringify({ ...record, agent: 'site-5' }),
      '/f/agents/site-5.json': JSON.stringify({ ...record, agent: 'site-5' }),
    });
    const { records, damaged } = await loadAgentRecords('/f', list, files);
    expect([...records]).toEqual([['site-5', { ...record, agent: 'site-5' }]]);
    expect(Object.fromEntries([...damaged].map(([agent, { message }]) => [agent, message]))).toEqual({
      'site-1': expect.stringMatching(/site-1\.json is not usable: it is not JSON/),
      'site-2': expect.stringMatching(/site-2\.json is not usable: publicKeys/),
      'site-3': expect.stringMatching(/site-3\.json is not usable: it is about agent 'site-5'/),
      'site-4': expect.stringMatching(/site-4\.json cannot be read/),
    });
  });
});
