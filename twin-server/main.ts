import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleepMs } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { configText } from '@twinwatch/core/config/load';
import type { ServerConfig } from '@twinwatch/core/config/server';
import { type Clock, stopRequest, type Timers } from '@twinwatch/core/runtime';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import type { LinkOptions } from '@twinwatch/core/wire/link';
import mqtt from 'mqtt';
import { pino } from 'pino';
import { settleRounds } from './advice/settle-method.js';
import { openTwin } from './open-twin.js';
import { startServer } from './server.js';
import { loadServerConfig } from './server-config.js';

const SOFTWARE_VERSION = '0.1.0';

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
const timers: Timers = {
  sleep: async (_name, ms, signal) => void (await sleepMs(ms, undefined, signal === undefined ? {} : { signal })),
  after(_name, ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/**
 * Runs the twin-server until SIGINT or SIGTERM, or until the process that started it is gone. Logs go to stderr; one line of
 * JSON, `{"ready":true,"http":port}`, goes to stdout (and to the parent process) once the API listens.
 *
 * @throws TwinwatchError CONFIG_*, PLANT_*, TWIN_*, JOURNAL_UNREADABLE, API_PORT_BUSY.
 */
export async function main(configPath: string): Promise<void> {
  const file = await loadServerConfig(configPath, readText);
  const beside = (file: string): string => resolve(dirname(configPath), file);
  const log = pino({ level: file.log, name: 'server' }, pino.destination({ dest: 2, sync: true }));
  const broker = await brokerOptions(file, beside);
  const dataDir = beside(file.dataDir);
  const survey = { broker, clock, timers, log, softwareVersion: SOFTWARE_VERSION, random: Math.random };
  const { twin, twinHash } = await openTwin({ config: file, dataDir, beside, readText, survey, log });
  const config: ServerConfig = { ...file, rounds: await settleRounds(file, twin, { beside, log }) };
  const server = await startServer({
    ...{ config, twin, twinHash, clock, timers, log },
    dataDir,
    dashboardDir: fileURLToPath(new URL('../dashboard/dist', import.meta.url)),
    createEngine: () => createWorkerEngine({ kind: config.engine, log }),
    broker,
    softwareVersion: SOFTWARE_VERSION,
    random: Math.random,
  });
  const ready = { ready: true, http: server.httpPort };
  log.info({ host: config.http.host, port: server.httpPort }, 'server listens');
  process.stdout.write(`${JSON.stringify(ready)}\n`);
  process.send?.(ready);
  try {
    const reason = await Promise.race([stopRequest(process), server.failed]);
    log.info({ reason }, 'server stops');
  } finally {
    await server.stop();
  }
}

async function brokerOptions(
  { broker }: Pick<ServerConfig, 'broker'>,
  beside: (file: string) => string,
): Promise<Pick<LinkOptions, 'connect' | 'url' | 'username' | 'password' | 'ca'>> {
  return {
    connect: (options) => mqtt.connect(options.url, options),
    url: broker.url,
    ...(broker.username === undefined ? {} : { username: broker.username }),
    ...(broker.password === undefined ? {} : { password: broker.password }),
    ...(broker.ca === undefined ? {} : { ca: await readText(beside(broker.ca)) }),
  };
}

function readText(path: string): Promise<string> {
  return configText(path, (file) => readFile(file, 'utf8'));
}
