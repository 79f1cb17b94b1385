import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { accessOptions } from '../wire/mqtt-client.js';
import { brokerAccess, brokerConnectionSchema, readBrokerFiles } from './broker-connection.js';
import { parseConfig } from './load.js';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'twinwatch-connection-'));
  await writeFile(join(directory, 'password'), 'several words \r\n');
  for (const name of ['ca', 'cert', 'key']) await writeFile(join(directory, `${name}.pem`), `PEM of ${name}`);
});
afterAll(() => rm(directory, { recursive: true }));

const parse = (text: string) => parseConfig(brokerConnectionSchema, text, 'b.yaml');
const from = (environment: Record<string, string> = {}) => ({
  environment,
  readText: (path: string) => readFile(join(directory, path), 'utf8'),
});

describe('the section of a broker', () => {
  it('comes to what a client connects with', async () => {
    const section = parse(
      'url: mqtts://b:8883\nprotocol: mqtt-5\nusername: u\npasswordFile: password\nca: ca.pem\ncert: cert.pem\nkey: key.pem',
    );
    const { files, problems } = await readBrokerFiles(section, from());
    expect(problems).toEqual([]);
    expect(accessOptions(brokerAccess(section, files), false)).toEqual({
      ...{ url: 'mqtts://b:8883', protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 0xffffffff } },
      ...{ username: 'u', password: 'several words ', ca: 'PEM of ca', cert: 'PEM of cert', key: 'PEM of key' },
    });
    const plain = parse('url: mqtt://b\nusername: u\npasswordEnv: SECRET');
    const fromEnvironment = await readBrokerFiles(plain, from({ SECRET: 'hush' }));
    expect(accessOptions(brokerAccess(plain, fromEnvironment.files), false)).toEqual({
      ...{ url: 'mqtt://b', protocolVersion: 4, clean: false, username: 'u', password: 'hush' },
    });
  });

  it('says which file or variable is not there', async () => {
    const section = parse('url: mqtts://b\nusername: u\npasswordEnv: SECRET\nca: gone.pem');
    const { problems } = await readBrokerFiles(section, from());
    expect(problems).toEqual([
      { field: 'passwordEnv', message: "names 'SECRET', which the environment does not have" },
      { field: 'ca', message: expect.stringMatching(/^names a file that cannot be read: ENOENT/) },
    ]);
  });

  it.each([
    ['url: mqtt://u:secret@b', 'url: a URL is logged, so it holds no login; write username and passwordFile'],
    ['url: mqtt://b\nca: ca.pem', "ca: 'ca.pem' is for TLS only; write a URL that begins with mqtts:// or wss://"],
    ['url: mqtts://b\nkey: key.pem', 'key: needs cert beside it'],
    ['url: mqtts://b\ncert: cert.pem', 'cert: needs key beside it'],
    ['url: mqtt://b\npasswordEnv: P', 'passwordEnv: needs a username beside it'],
    ['url: mqtt://b\nusername: u\npassword: p\npasswordFile: f', 'passwordFile: says again what password says'],
  ])('refuses %j', (text, complaint) => {
    const refused = () => parse(text);
    expect(refused).toThrow(complaint);
    expect(refused).not.toThrow(/secret/);
  });
});
