import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { brokerSchema } from '@twinwatch/core/config/broker';
import { configText, parseConfig } from '@twinwatch/core/config/load';
import { stopRequest } from '@twinwatch/core/runtime';
import { pino } from 'pino';
import { startBroker } from './broker.js';
import { isHashed } from './passwords.js';

/**
 * Runs the broker until SIGINT or SIGTERM, or until the process that started it is gone. Logs go to stderr; one line of JSON,
 * `{"ready":true,"port":…}`, goes to stdout (and to the parent process) when it listens.
 * @throws TwinwatchError CONFIG_*, BROKER_*.
 */
export async function main(configPath: string): Promise<void> {
  const config = parseConfig(brokerSchema, await readText(configPath), configPath);
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
    credentials: config.credentials,
    sync: config.sync,
    minimumFreeBytes: config.minimumFreeBytes,
    lockOut: config.lockOut,
    drainTimeoutMs: config.drainTimeout,
    heartbeatMs: config.heartbeat,
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    log,
  });
  const ready = { ready: true, port: broker.port };
  log.info({ host: config.host, port: broker.port }, 'broker listens');
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  process.send?.(ready);
  log.info({ reason: await stopRequest(process) }, 'broker stops');
  await broker.close();
}

function readText(path: string): Promise<string> {
  return configText(path, (file) => readFile(file, 'utf8'));
}
