import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
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

/** Debian's wrapper of it changes to a user of its own; this is what it starts. */
const program = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const epmd = installed('epmd', '/usr/bin/epmd');

export const rabbitmq: TestedBroker = {
  name: 'RabbitMQ',
  recognised: 'probably RabbitMQ',
  missing: existsSync(program) && epmd !== null ? null : notInstalled('RabbitMQ', 'rabbitmq-server'),
  async start(directory) {
    const folder = join(directory, 'rabbitmq');
    const home = join(folder, 'home');
    mkdirSync(home, { recursive: true });
    const port = await freePort();
    const definitions = join(folder, 'definitions.json');
    const config = join(folder, 'rabbitmq.conf');
    const plugins = join(folder, 'enabled_plugins');
    writeFileSync(definitions, adaptedConfig('rabbitmq/definitions.json', [['change-me', TEST_PASSWORD]]));
    writeFileSync(plugins, adaptedConfig('rabbitmq/enabled_plugins', []));
    const adapted = adaptedConfig('rabbitmq/rabbitmq.conf', [
      ['default = 1883', `default = 127.0.0.1:${port}`],
      ['/etc/rabbitmq/definitions.json', definitions],
    ]);
    writeFileSync(config, adapted);
    // Erlang's port mapper would stay behind as a daemon, for everybody on this machine; so it is started here, on another port.
    const mapperPort = await freePort();
    const mapping = { ERL_EPMD_PORT: String(mapperPort), ERL_EPMD_ADDRESS: '127.0.0.1' };
    const mapper = daemon(mapperPort, epmd!, [], mapping);
    const server = daemon(port, program, [], {
      ...mapping,
      HOME: home,
      RABBITMQ_NODENAME: 'twinwatch@localhost',
      RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
      RABBITMQ_LOG_BASE: folder,
      RABBITMQ_LOGS: '-',
      RABBITMQ_CONFIG_FILE: config,
      RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'none.config'),
      RABBITMQ_CONF_ENV_FILE: join(folder, 'none.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: plugins,
      RABBITMQ_DIST_PORT: String(await freePort()),
      // It shares two cores with a whole federation.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '+S 1:1 +sbwt none',
    });
    await mapper.start();
    const close = async () => {
      await server.kill();
      await mapper.kill();
    };
    try {
      await server.start();
    } catch (error) {
      await close();
      throw error;
    }
    return {
      section: (user) => ({ url: `mqtt://127.0.0.1:${port}`, username: user, passwordFile: 'password' }),
      ...{ restart: server.start, kill: server.kill, close },
    };
  },
};
