import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  adaptedConfig,
  daemon,
  freePort,
  installed,
  notInstalled,
  TEST_PASSWORD,
  type TestedBroker,
} from './tested-broker.js';

const program = installed('nats-server', '/usr/sbin/nats-server');

export const nats: TestedBroker = {
  name: 'NATS',
  recognised: 'probably NATS',
  missing: program === null ? notInstalled('nats-server', 'nats-server') : null,
  async start(directory) {
    const port = await freePort();
    const config = join(directory, 'nats-server.conf');
    const adapted = adaptedConfig('nats/nats-server.conf', [
      ['"127.0.0.1:4222"', `"127.0.0.1:${await freePort()}"`],
      ['"0.0.0.0:1883"', `"127.0.0.1:${port}"`],
      ['/var/lib/nats', join(directory, 'nats-data')],
      ['change-me', TEST_PASSWORD],
    ]);
    writeFileSync(config, adapted);
    const { start: restart, kill } = daemon(port, program!, ['-c', config]);
    await restart();
    return {
      section: (user) => ({ url: `mqtt://127.0.0.1:${port}`, username: user, passwordFile: 'password' }),
      ...{ restart, kill, close: kill },
    };
  },
};
