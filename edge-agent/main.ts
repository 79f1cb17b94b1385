import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { Logger } from '@twinwatch/core/runtime';
import mqtt from 'mqtt';
import { pino } from 'pino';
import { type AgentRuntime, openStore, type RunningAgent, runAgent } from './agent.js';
import { checkSite } from './check.js';
import { endAnyway } from './end-anyway.js';
import { keepRenewed } from './enrolment/renewal.js';
import { type OpenTrust, openAgentTrust } from './federation/agent-trust.js';
import { describeImport, type ImportReport, importHistory } from './history/csv-history.js';
import { loadSite, type SiteConfig } from './site-config.js';
import { systemClock, systemTimers } from './system-runtime.js';
import { watchFiles } from './watch-files.js';

/** Where stderr is a file on a disk that is full or hangs, or a pipe that nobody empties, lines wait up to this and then go: nothing waits for a log. */
const LOG_BYTES = 1024 * 1024;

function logger(name: string, level: string): Logger {
  const stderr = pino.destination({ dest: 2, sync: false, maxLength: LOG_BYTES });
  stderr.on('error', () => undefined);
  return pino({ level, name }, stderr);
}

async function runtime(log: Logger): Promise<AgentRuntime> {
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return {
    softwareVersion: manifest.version,
    clock: systemClock,
    timers: systemTimers,
    random: Math.random,
    log,
    connect: (options) => mqtt.connect(options.url, options as mqtt.IClientOptions),
    rssBytes: () => process.memoryUsage.rss(),
    host: hostname(),
  };
}

/**
 * Runs an agent until SIGINT or SIGTERM, or until the process that started it is gone. Logs go to stderr; one line of JSON, `{"ready":true}`,
 * goes to stdout (and to the parent process) when acquisition has started.
 * @throws TwinwatchError CONFIG_*, STORE_FAILED, STORE_LOCKED.
 */
export async function main(configPath: string): Promise<void> {
  const site = await loadSite(configPath, process.env);
  const log = logger(site.config.agent, site.config.logLevel);
  const stop = new AbortController();
  // Every bus, worker and timer waits for this one signal: many listeners are no leak.
  setMaxListeners(0, stop.signal);
  let running: RunningAgent | null = null;
  const ask = (reason: string) => {
    log.info({ reason }, 'agent stops');
    stop.abort(new Error(reason));
    endAnyway(log, () => running?.unwrittenRows() ?? null);
  };
  process.once('SIGINT', ask);
  process.once('SIGTERM', ask);
  process.once('disconnect', () => ask('parent process gone'));
  const keys = await keysOf(site, log);
  if (keys !== null)
    void watchFiles(
      () => keys.files,
      () => reloadKeys(keys, log),
      systemTimers,
      stop.signal,
    );
  const trust = keys === null ? {} : { trust: keys.trust };
  await runAgent(site, { ...(await runtime(log)), ...trust }, stop.signal, (agent) => {
    running = agent;
    const ready = { ready: true };
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    process.send?.(ready);
    reloadOnChange(site, agent, log, stop.signal);
    void renewing(site, log, stop.signal);
  });
}

/** Null for an agent without keys: it signs nothing, and believes whoever the broker lets in. */
async function keysOf({ config, configPath }: SiteConfig, log: Logger): Promise<OpenTrust | null> {
  if (config.security === undefined) {
    log.warn({}, 'messages are neither signed nor checked; enrol this agent, and name the directory under security:');
    return null;
  }
  const directory = resolve(dirname(configPath), config.security.directory);
  const readText = (path: string) => readFile(path, 'utf8');
  return openAgentTrust(directory, config.federation, { readText, clock: systemClock, log });
}

async function reloadKeys(keys: OpenTrust, log: Logger): Promise<void> {
  await keys.reload().catch((error: unknown) => {
    log.error({ error: String(error) }, 'the changed keys cannot be used; those from before go on');
  });
}

/** Only where the agent was enrolled, and is to renew by itself. */
async function renewing({ config, configPath }: SiteConfig, log: Logger, signal: AbortSignal): Promise<void> {
  const { security } = config;
  if (security?.renewal === undefined) return;
  await keepRenewed(
    {
      directory: resolve(dirname(configPath), security.directory),
      ...{ url: security.renewal.url, everyMs: security.renewal.every },
      ...{ clock: systemClock, timers: systemTimers, log },
    },
    signal,
  );
}

/** At SIGHUP, and when the agent's file or a template has changed. One that is wrong is told, and what was before goes on. */
function reloadOnChange(site: SiteConfig, agent: RunningAgent, log: Logger, signal: AbortSignal): void {
  let files = site.files ?? [];
  let turn: Promise<void> = Promise.resolve();
  const reload = () => {
    turn = turn.then(async () => {
      try {
        const changed = await loadSite(site.configPath, process.env);
        files = changed.files ?? [];
        await agent.reload(changed);
      } catch (error) {
        log.error({}, `the changed configuration is not taken up, the one before goes on: ${(error as Error).message}`);
      }
    });
    return turn;
  };
  const hangUp = () => void reload();
  process.on('SIGHUP', hangUp);
  signal.addEventListener('abort', () => process.off('SIGHUP', hangUp), { once: true });
  void watchFiles(() => files, reload, systemTimers, signal);
}

/**
 * Validates a configuration, tries the broker and every bus, reads every tag once, and prints a table. The exit code is 1 where anything failed.
 * @throws TwinwatchError CONFIG_*.
 */
export async function check(configPath: string): Promise<boolean> {
  const site = await loadSite(configPath, process.env);
  const { ok, text } = await checkSite(site, await runtime(logger(site.config.agent, 'error')));
  process.stdout.write(`${text}\n`);
  if (!ok) process.exitCode = 1;
  return ok;
}

/**
 * Imports history files as from a historian, and prints what became of each. Rows that are known by their time stay as they are.
 * @throws TwinwatchError CONFIG_*, STORE_FAILED, STORE_LOCKED, IMPORT_INVALID.
 */
export async function importCsv(configPath: string, ...files: readonly string[]): Promise<ImportReport[]> {
  const site = await loadSite(configPath, process.env);
  const log = logger(site.config.agent, site.config.logLevel);
  const store = await openStore(site, { timers: systemTimers, log }, `an import for agent ${site.config.agent}`);
  const reports: ImportReport[] = [];
  try {
    for (const file of files) {
      const tags = site.tags.length > 0 ? site.tags : await store.call('lastTags');
      const report = await importHistory(store, file, tags, site.config.import, site.config.interval);
      process.stdout.write(`${describeImport(report)}\n`);
      reports.push(report);
    }
  } finally {
    await store.close();
  }
  return reports;
}
