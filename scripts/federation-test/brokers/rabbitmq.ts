import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
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

/** Debian's wrapper of it changes to a user of its own; this is what it starts. */
const program = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const epmd = installed('epmd', '/usr/bin/epmd');

/** One of the agents in clear, everybody else over TLS. */
export const rabbitmq: TestedBroker = {
  name: 'RabbitMQ, TLS with passwords',
  recognised: 'probably RabbitMQ',
  missing: existsSync(program) && epmd !== null ? openssl.missing : notInstalled('RabbitMQ', 'rabbitmq-server'),
  async start(directory) {
    const folder = join(directory, 'rabbitmq');
    const home = join(folder, 'home');
    mkdirSync(home, { recursive: true });
    const certificates = join(directory, 'certs');
    issueCertificates(certificates, ['broker']);
    const [port, tlsPort] = [await freePort(), await freePort()];
    const definitions = join(folder, 'definitions.json');
    const config = join(folder, 'rabbitmq.conf');
    const plugins = join(folder, 'enabled_plugins');
    writeFileSync(definitions, adaptedConfig('rabbitmq/definitions.json', [['change-me', TEST_PASSWORD]]));
    writeFileSync(plugins, adaptedConfig('rabbitmq/enabled_plugins', []));
    const adapted = adaptedConfig('rabbitmq/rabbitmq.conf', [
      ['tcp.default = 1883', `tcp.default = 127.0.0.1:${port}`],
      ['# mqtt.listeners.ssl.default = 8883', `mqtt.listeners.ssl.default = 127.0.0.1:${tlsPort}`],
      ['# ssl_options', 'ssl_options'],
      ['/etc/rabbitmq/certs', certificates],
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
      section: (user) => (user === 'site-2' ? byPassword(port, false) : byPassword(tlsPort, true))(user),
      ...{ restart: server.start, kill: server.kill, close },
    };
  },
};
