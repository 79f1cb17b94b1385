import { dirname, resolve } from 'node:path';
import { type PlantSimConfig, plantSimSchema } from '@twinwatch/core/config/plant-sim';
import { TwinwatchError } from '@twinwatch/core/errors';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { readConfig } from '../processes/read-config.js';
import { untilStopped } from '../processes/until-stopped.js';
import { listenControl } from './control-endpoint.js';
import { listenModbus, type ModbusServer } from './modbus-server.js';
import { openPlant, paceOf } from './open-site.js';
import { isStartAttack, type PlantMessage, type SiteProgress, type StartAttack } from './plant-messages.js';
import { type Positions, readPositions, writePositions } from './positions.js';
import { Site } from './site.js';

const REPORT_EVERY_MS = 250;

/**
 * Runs a plant simulator until the process is asked to stop.
 * @throws TwinwatchError CONFIG_*, PLANT_*, FEED_INVALID
 */
export async function main(configPath: string): Promise<void> {
  const config = await readConfig(plantSimSchema, configPath);
  const beside = (path: string) => resolve(dirname(configPath), path);
  const { templates, intervalMs, open } = await openPlant(config, beside);
  const dataDir = config.dataDir === undefined ? null : beside(config.dataDir);
  const positions = dataDir === null ? {} : readPositions(dataDir);
  const tell = (message: PlantMessage) => {
    if (process.connected === true) process.send?.(message);
    else if (message.kind !== 'progress') process.stdout.write(`${JSON.stringify(message)}\n`);
  };

  const sites = new Map<string, Site>();
  for (const site of config.sites)
    sites.set(
      site.name,
      new Site({
        name: site.name,
        source: await open(site),
        templates,
        readerUnit: config.readerUnit,
        pace: paceOf(config, intervalMs),
        resume: positions[site.name] ?? { rows: 0, attacks: [] },
        clock: systemClock,
        timers: systemTimers,
        emit: tell,
      }),
    );
  for (const site of sites.values()) site.start();
  const servers = await listenAll(config, sites, [...templates.keys()]);
  tell({ kind: 'listening', sites: servers.ports });

  const state = () => Object.fromEntries([...sites].map(([name, site]) => [name, progressOf(site)]));
  const startAttack = (request: StartAttack) => {
    const site = sites.get(request.site);
    if (site === undefined)
      throw new TwinwatchError(
        'PLANT_UNKNOWN_ATTACK',
        `there is no site '${request.site}' to attack; there are ${[...sites.keys()].join(', ')}`,
      );
    site.startAttack(request.name);
    if (dataDir !== null) writePositions(dataDir, positionsOf(sites));
  };
  const control =
    config.control === undefined ? null : await listenControl(config.control.port, { state, startAttack });
  process.on('message', (message) => {
    if (!isStartAttack(message)) return;
    try {
      startAttack(message);
    } catch (error) {
      if (!(error instanceof TwinwatchError)) throw error;
      tell({ kind: 'refused', code: error.code, message: error.message });
    }
  });

  let last = '';
  const report = setInterval(() => {
    const now = JSON.stringify(state());
    if (now === last) return;
    last = now;
    if (dataDir !== null) writePositions(dataDir, positionsOf(sites));
    tell({ kind: 'progress', sites: state() });
  }, REPORT_EVERY_MS);

  await untilStopped();
  clearInterval(report);
  if (dataDir !== null) writePositions(dataDir, positionsOf(sites));
  for (const site of sites.values()) site.stop();
  await Promise.all([...servers.list.map((server) => server.close()), control?.close()]);
}

function progressOf(site: Site): SiteProgress {
  const { rows, timeMs, attack } = site.position;
  return { rows, timeMs, attack };
}

function positionsOf(sites: ReadonlyMap<string, Site>): Positions {
  const entries = [...sites].map(([name, { position }]) => [
    name,
    { rows: position.rows, attacks: [...position.attacks] },
  ]);
  return Object.fromEntries(entries) as Positions;
}

interface Listening {
  readonly list: readonly ModbusServer[];
  /** Site → PLC → port. */
  readonly ports: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

async function listenAll(
  config: PlantSimConfig,
  sites: ReadonlyMap<string, Site>,
  plcs: readonly string[],
): Promise<Listening> {
  const list: ModbusServer[] = [];
  const ports: Record<string, Record<string, number>> = {};
  for (const { name, ports: own } of config.sites) {
    const site = sites.get(name)!;
    const unknown = Object.keys(own).filter((plc) => !plcs.includes(plc));
    if (unknown.length > 0)
      throw new TwinwatchError(
        'CONFIG_INVALID',
        `site ${name} has ports for ${unknown.join(', ')}; the PLCs of this plant are ${plcs.join(', ')}`,
      );
    const served: Record<string, number> = {};
    for (const plc of plcs) {
      const port = own[plc] ?? (config.ports === 'auto' ? 0 : null);
      if (port === null)
        throw new TwinwatchError(
          'CONFIG_INVALID',
          `site ${name} has no port for ${plc}; add one, or write 'ports: auto'`,
        );
      const server = await listenModbus({
        host: config.host,
        port,
        ifTaken: config.ports === 'auto' ? 'another' : 'error',
        name: `${name} ${plc}`,
        answer: (request, connection) => site.answer(plc, request, connection),
        closed: (connection) => site.connectionClosed(plc, connection),
      });
      list.push(server);
      served[plc] = server.port;
    }
    ports[name] = served;
  }
  return { list, ports };
}
