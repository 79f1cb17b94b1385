import { dirname, resolve } from 'node:path';
import { stopRequest } from '@twinwatch/core/runtime';
import { isHashed } from '@twinwatch/core/security/passwords';
import { pino } from 'pino';
import { followAccess, readBrokerConfig, readTls } from './access-files.js';
import { startBroker } from './broker.js';

/**
 * Runs the broker until SIGINT or SIGTERM, or until the process that started it is gone. Logs go to stderr; one line of JSON,
 * `{"ready":true,"port":…}`, goes to stdout (and to the parent process) when it listens.
 * @throws TwinwatchError CONFIG_*, SECURITY_*, BROKER_*.
 */
export async function main(configPath: string): Promise<void> {
  const config = await readBrokerConfig(configPath);
  const log = pino({ level: config.logLevel, name: 'broker' }, pino.destination({ dest: 2, sync: true }));
  const inClear = (config.credentials ?? []).filter(({ password }) => !isHashed(password));
  if (inClear.length > 0)
    log.warn(
      { file: configPath, usernames: inClear.map(({ username }) => username) },
      'passwords are in clear in the file; write there what twinwatch hash-password prints for them',
    );
  const broker = await startBroker({
    host: config.host,
    port: config.port,
    dataDir: resolve(dirname(configPath), config.dataDir),
    limits: config.limits,
    maximumAbsenceMs: config.maximumAbsence,
    credentials: config.credentials,
    sync: config.sync,
    minimumFreeBytes: config.minimumFreeBytes,
    tls: await readTls(config, configPath),
    lockOut: config.lockOut,
    metrics: config.metrics,
    drainTimeoutMs: config.drainTimeout,
    heartbeatMs: config.heartbeat,
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    log,
  });
  const ready = { ready: true, port: broker.port };
  log.info(
    { host: config.host, port: broker.port, tls: config.tls !== undefined, metricsPort: broker.metricsPort },
    'broker listens',
  );
  if (config.allowInsecure !== undefined && config.tls === undefined)
    log.warn({ host: config.host }, 'without TLS, as allowInsecure has it: whoever reaches this port reads everything');
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  process.send?.(ready);
  const stopFollowing = followAccess(config, configPath, (access) => broker.setAccess(access), log);
  log.info({ reason: await stopRequest(process) }, 'broker stops');
  stopFollowing();
  await broker.close();
}
