import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { COMMAND } from '../../processes/repository.js';
import { byPassword, daemon, freePort, TEST_PASSWORD, type TestedBroker } from './tested-broker.js';

/** Our own, as a process of its own. */
export const embedded: TestedBroker = {
  name: 'twinwatch broker',
  recognised: 'probably `twinwatch broker`',
  missing: null,
  async start(directory) {
    const port = await freePort();
    const config = join(directory, 'broker.yaml');
    const agents = ['site-1', 'site-2'].map((agent) => ({ username: agent, role: 'agent', agent }));
    const credentials = [{ username: 'server', role: 'server' }, ...agents].map((one) => ({
      ...one,
      password: TEST_PASSWORD,
    }));
    writeFileSync(config, stringify({ host: '127.0.0.1', port, dataDir: 'broker-data', credentials }));
    const { start: restart, kill } = daemon(port, process.execPath, [COMMAND, 'broker', '--config', config]);
    await restart();
    return {
      section: byPassword(port, false),
      ...{ restart, kill, close: kill },
    };
  },
};
