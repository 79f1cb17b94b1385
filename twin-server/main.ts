import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleepMs } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { brokerAccess, currentCertificates, readBrokerFiles } from '@twinwatch/core/config/broker-connection';
import { configText } from '@twinwatch/core/config/load';
import type { ServerConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import { type Clock, type Logger, stopRequest, type Timers } from '@twinwatch/core/runtime';
import { createWorkerEngine } from '@twinwatch/core/training/engine-host';
import type { BrokerDoor } from '@twinwatch/core/wire/link-options';
import mqtt from 'mqtt';
import { pino } from 'pino';
import { settleRounds } from './advice/settle-method.js';
import { openJournal } from './aggregator/sqlite-journal.js';
import { openTwin } from './open-twin.js';
import { type ServerOptions, startServer } from './server.js';
import { loadServerConfig } from './server-config.js';
import { NO_KEYS, openServerTrust, type ServerTrust } from './server-trust.js';

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
 * @param open what opens the journal.
 * @throws TwinwatchError CONFIG_*, PLANT_*, TWIN_*, JOURNAL_UNREADABLE, API_PORT_BUSY.
 */
export async function main(configPath: string, open: ServerOptions['openJournal'] = openJournal): Promise<void> {
  const file = await loadServerConfig(configPath, readText);
  const beside = (file: string): string => resolve(dirname(configPath), file);
  const log = pino({ level: file.log, name: 'server' }, pino.destination({ dest: 2, sync: true }));
  const broker = await brokerOptions(file, configPath, beside);
  const dataDir = beside(file.dataDir);
  const stopping = new AbortController();
  const trust = await trustOf(file, { beside, log }, stopping.signal);
  const survey = { broker, trust, clock, timers, log, softwareVersion: SOFTWARE_VERSION, random: Math.random };
  const { twin, twinHash } = await openTwin({ config: file, dataDir, beside, readText, survey, log });
  const config: ServerConfig = { ...file, rounds: await settleRounds(file, twin, { beside, log }) };
  const server = await startServer({
    ...{ config, twin, twinHash, clock, timers, log },
    dataDir,
    dashboardDir: fileURLToPath(new URL('../dashboard/dist', import.meta.url)),
    createEngine: () => createWorkerEngine({ kind: config.engine, log }),
    openJournal: open,
    httpCertificate: await httpCertificate(file.http.tls, beside),
    broker,
    trust,
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
    stopping.abort();
  }
}

/** @throws TwinwatchError CONFIG_UNREADABLE */
async function httpCertificate(tls: ServerConfig['http']['tls'], beside: (file: string) => string) {
  if (tls === undefined) return null;
  const [cert, key] = await Promise.all([tls.cert, tls.key].map((file) => configText(beside(file), readText)));
  return { cert: cert!, key: key! };
}

/** Without keys, messages are neither signed nor checked. */
async function trustOf(
  { federation, security }: Pick<ServerConfig, 'federation' | 'security'>,
  { beside, log }: { readonly beside: (file: string) => string; readonly log: Logger },
  signal: AbortSignal,
): Promise<ServerTrust> {
  if (security !== undefined)
    return openServerTrust(beside(security.directory), { federation, clock, timers, log }, signal);
  log.warn(
    {},
    'messages are neither signed nor checked; make keys with `twinwatch init`, and name their directory under security:',
  );
  return NO_KEYS;
}

/** @throws TwinwatchError CONFIG_INVALID where something that the section names is not there. */
async function brokerOptions(
  { broker }: Pick<ServerConfig, 'broker'>,
  configPath: string,
  beside: (file: string) => string,
): Promise<BrokerDoor> {
  const { files, problems } = await readBrokerFiles(broker, {
    readText: (path) => readFile(beside(path), 'utf8'),
    environment: process.env,
  });
  if (problems.length > 0)
    throw new TwinwatchError(
      'CONFIG_INVALID',
      problems.map(({ field, message }) => `${configPath} broker.${field}: ${message}`).join('\n'),
    );
  // Certificates are read for every connection anew: they are renewed while the server runs.
  const current = () => currentCertificates(broker, (file) => readFileSync(beside(file), 'utf8'));
  return {
    ...brokerAccess(broker, files),
    connect: (options) => mqtt.connect(options.url, { ...options, ...current() }),
  };
}

function readText(path: string): Promise<string> {
  return configText(resolve(path), (file) => readFile(file, 'utf8'));
}
