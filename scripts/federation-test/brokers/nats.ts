import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueCertificates, openssl } from './certificates.js';
import {
  adaptedConfig,
  byPassword,
  daemon,
  freePort,
  installed,
  notInstalled,
  TEST_PASSWORD,
  type TestedBroker,
} from './tested-broker.js';

const program = installed('nats-server', '/usr/sbin/nats-server');
const missing = program === null ? notInstalled('nats-server', 'nats-server') : null;

export const nats: TestedBroker = {
  ...{ name: 'NATS', recognised: 'probably NATS', missing },
  start: (directory) => start(directory, false),
};

export const natsOverTls: TestedBroker = {
  ...{ name: 'NATS, TLS with passwords', recognised: 'probably NATS', missing: missing ?? openssl.missing },
  start: (directory) => start(directory, true),
};

async function start(directory: string, isTls: boolean) {
  const port = await freePort();
  const config = join(directory, 'nats-server.conf');
  const certificates = join(directory, 'certs');
  if (isTls) issueCertificates(certificates, ['broker']);
  const adapted = adaptedConfig('nats/nats-server.conf', [
    ['"127.0.0.1:4222"', `"127.0.0.1:${await freePort()}"`],
    ...(isTls
      ? ([
          ['  listen: "0.0.0.0:1883"\n', ''],
          ['# listen: "0.0.0.0:8883"', `listen: "127.0.0.1:${port}"`],
          ['/etc/nats', certificates],
        ] as const)
      : ([['"0.0.0.0:1883"', `"127.0.0.1:${port}"`]] as const)),
    ['/var/lib/nats', join(directory, 'nats-data')],
    ['change-me', TEST_PASSWORD],
  ]);
  writeFileSync(config, adapted);
  const { start: restart, kill } = daemon(port, program!, ['-c', config]);
  await restart();
  return { section: byPassword(port, isTls), ...{ restart, kill, close: kill } };
}
