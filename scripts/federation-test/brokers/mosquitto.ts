import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { issueCertificates, openssl } from './certificates.js';
import {
  adaptedConfig,
  daemon,
  freePort,
  installed,
  notInstalled,
  type StartedBroker,
  TEST_PASSWORD,
  type TestedBroker,
} from './tested-broker.js';

const program = installed('mosquitto', '/usr/sbin/mosquitto');
const missing = program === null ? notInstalled('mosquitto', 'mosquitto') : null;

export const mosquitto = (protocol: 'mqtt-3.1.1' | 'mqtt-5'): TestedBroker => ({
  name: `mosquitto, ${protocol}`,
  recognised: 'mosquitto version 2',
  missing,
  start: (directory) =>
    start(directory, 'mosquitto.conf', '1883', (port) => ({ url: `mqtt://127.0.0.1:${port}`, protocol })),
});

/** A password and a certificate for every client. */
export const mosquittoOverTls: TestedBroker = {
  name: 'mosquitto, TLS with passwords and client certificates',
  recognised: 'mosquitto version 2',
  missing: missing ?? openssl.missing,
  start(directory) {
    const folder = join(directory, 'certs');
    issueCertificates(folder, ['broker', 'server', 'site-1', 'site-2']);
    return start(
      directory,
      'mosquitto-tls.conf',
      '8883',
      (port, user) => ({
        ...{ url: `mqtts://localhost:${port}`, ca: 'certs/ca.pem' },
        ...{ cert: `certs/${user}.pem`, key: `certs/${user}.key` },
      }),
      [['/etc/mosquitto/certs', folder]],
    );
  },
};

async function start(
  directory: string,
  file: string,
  itsPort: string,
  access: (port: number, user: string) => Record<string, unknown>,
  replacements: readonly (readonly [string, string])[] = [],
): Promise<StartedBroker> {
  const port = await freePort();
  const data = join(directory, 'mosquitto-data');
  mkdirSync(data);
  const acl = join(directory, 'twinwatch.acl');
  writeFileSync(acl, adaptedConfig('mosquitto/twinwatch.acl', []));
  chmodSync(acl, 0o600);
  const passwords = join(directory, 'twinwatch.passwd');
  for (const [index, user] of ['server', 'site-1', 'site-2'].entries())
    spawnSync('mosquitto_passwd', [...(index === 0 ? ['-c'] : []), '-b', passwords, user, TEST_PASSWORD]);
  const config = join(directory, 'mosquitto.conf');
  const adapted = adaptedConfig(`mosquitto/${file}`, [
    ...replacements,
    [`listener ${itsPort}`, `listener ${port} 127.0.0.1`],
    ['/etc/mosquitto/twinwatch.passwd', passwords],
    ['/etc/mosquitto/twinwatch.acl', acl],
    ['/var/lib/mosquitto/', `${data}/`],
  ]);
  // Started by root, it would become another user, who has no rights in this directory.
  writeFileSync(config, `${adapted}\nuser ${userInfo().username}\n`);
  const { start: restart, kill } = daemon(port, program!, ['-c', config]);
  await restart();
  return {
    section: (user) => ({ ...access(port, user), username: user, passwordFile: 'password' }),
    ...{ restart, kill, close: kill },
  };
}
