import { createPublicKey, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { CertificateRole } from '@twinwatch/core/security/certificate-name';
import { newTlsKey } from '@twinwatch/core/security/certificates';
import { hashPassword } from '@twinwatch/core/security/passwords';
import { plantSchema } from '@twinwatch/twin-server/twin/plant-config';
import { readConfig } from '../processes/read-config.js';
import { configFile } from '../processes/repository.js';
import { CERTIFICATE_DAYS, DAY_MS, FederationDirectory, federationText, makeFolders } from './federation-directory.js';
import { alone, createFile, exists, isThere, READABLE, replaceFile } from './private-files.js';

export interface InitOptions {
  readonly name: string;
  /** Names and addresses of the server's machine. */
  readonly host?: readonly string[];
  /** Of the broker's, where it is another one. */
  readonly brokerHost?: readonly string[];
  readonly brokerPort?: number;
  readonly enrolmentPort?: number;
  readonly httpPort?: number;
  /** plant.yaml of the twin. */
  readonly plant?: string;
}

/** Who logs in to the page first. */
export const ADMINISTRATOR = 'admin';

const LOCAL = ['localhost', '127.0.0.1', '::1'];

/**
 * Makes a federation: authority, certificates of broker, server and administrator, the server's signing key, and the configurations of both.
 * @returns also the administrator's password, of which only a hash is kept.
 * @throws TwinwatchError SECURITY_EXISTS where the directory holds a federation, CONFIG_* where the plant cannot be read, before anything is written.
 */
export async function initFederation(
  path: string,
  options: InitOptions,
  nowMs: number,
): Promise<{ readonly directory: FederationDirectory; readonly password: string }> {
  const directory = new FederationDirectory(resolve(path));
  if (await isThere(directory.file('federation.json'))) throw exists(directory.file('federation.json'));
  const { brokerPort = 8883, enrolmentPort = 8884, host: hosts = [hostname()] } = options;
  const brokerHosts = options.brokerHost ?? hosts;
  const plant = options.plant === undefined ? configFile('reference-plant', 'plant.yaml') : resolve(options.plant);
  const { interval: intervalMs } = await readConfig(plantSchema, plant);
  const password = randomBytes(15).toString('base64url');
  await makeFolders(directory);
  await alone(directory.path, async () => {
    const federation = { version: 1 as const, name: options.name, hosts: [...hosts], brokerHosts: [...brokerHosts] };
    await createFile(
      directory.file('federation.json'),
      federationText({ ...federation, brokerPort, enrolmentPort, intervalMs }),
    );
    await directory.addAuthority(nowMs);
    for (const role of ['broker', 'server', 'operator'] as const) await certify(directory, role, nowMs);
    const { id, publicKey } = await directory.addSigningKey();
    await directory.writeTrust({
      ...{ version: 1, federation: options.name, revision: 1 },
      serverKeys: [{ id, publicKey, fromMs: nowMs, untilMs: null }],
    });
    await directory.publish(nowMs);
    await createFile(directory.file('broker', 'broker.yaml'), brokerYaml(brokerPort), READABLE);
    const passwordHash = await hashPassword(password);
    await createFile(
      directory.file('server.yaml'),
      serverYaml(directory, { ...options, brokerPort, passwordHash, plant }),
    );
  });
  return { directory, password };
}

/** A new key and certificate for a part of the federation that runs on this machine, in the place of those before. */
export async function certify(
  directory: FederationDirectory,
  role: Exclude<CertificateRole, 'agent'>,
  nowMs: number,
): Promise<void> {
  const { hosts, brokerHosts } = await directory.federation();
  const folder = role === 'operator' ? 'administrator' : role;
  const reachedAs = { broker: brokerHosts, server: hosts, operator: [] }[role];
  const key = newTlsKey();
  const issued = await directory.issue(
    { role, name: role === 'operator' ? 'administrator' : 'main' },
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    nowMs + CERTIFICATE_DAYS * DAY_MS,
    role === 'operator' ? [] : [...new Set([...reachedAs, ...LOCAL])],
  );
  await replaceFile(directory.file(folder, 'key.pem'), key);
  await replaceFile(directory.file(folder, 'certificate.pem'), issued.certificatePem, READABLE);
}

function brokerYaml(port: number): string {
  return `# The broker of this federation: TLS only, and nobody without a certificate. Start: twinwatch broker --config broker.yaml
# This folder may be moved to another machine; copy revoked.pem there again after each \`twinwatch revoke\`.
host: 0.0.0.0
port: ${port}
dataDir: data
tls: { cert: certificate.pem, key: key.pem, ca: ca.pem, revoked: revoked.pem }
`;
}

function serverYaml(
  directory: FederationDirectory,
  options: InitOptions & { readonly brokerPort: number; readonly passwordHash: string; readonly plant: string },
): string {
  const { name, brokerHost, brokerPort, httpPort = 8080, plant, passwordHash } = options;
  const broker = brokerHost?.[0] ?? '127.0.0.1';
  const files = 'ca: server/ca.pem, cert: server/certificate.pem, key: server/key.pem';
  return `# The server of this federation. Start: twinwatch server --config ${JSON.stringify(directory.file('server.yaml'))}
federation: ${name}
broker: { url: mqtts://${urlHost(broker)}:${brokerPort}, ${files} }
security: { directory: . }
dataDir: data
# The page. For other machines: host 0.0.0.0 and tls: { cert: server/certificate.pem, key: server/key.pem }
http:
  host: 127.0.0.1
  port: ${httpPort}
  operators: [{ name: ${ADMINISTRATOR}, password: '${passwordHash}' }]
# Of your plant, see docs/plants.md; without --plant it is the reference plant. Agents have its interval (federation.json).
twin: { plant: ${JSON.stringify(plant)} }
rounds: { quorum: 1 }
`;
}

/** As it stands in a URL. */
export const urlHost = (host: string) => (host.includes(':') ? `[${host}]` : host);
