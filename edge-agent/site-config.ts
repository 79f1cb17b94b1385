import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type AgentConfig, agentSchema, type BusConfig } from '@twinwatch/core/config/agent';
import { deviceTemplateSchema } from '@twinwatch/core/config/device-template';
import { parseConfig } from '@twinwatch/core/config/load';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { ModbusDevice } from './sources/modbus/device-reader.js';

/** An agent's configuration with its device templates read. */
export interface SiteConfig {
  readonly config: AgentConfig;
  readonly dataDir: string;
  readonly buses: readonly { readonly config: BusConfig; readonly devices: readonly ModbusDevice[] }[];
  /** All tags, bus by bus, device by device, in the order of the templates: the order of values in rows. */
  readonly tags: readonly string[];
  /** PEM of broker.ca. */
  readonly brokerCa: string | null;
}

/** @throws TwinwatchError CONFIG_UNREADABLE, CONFIG_INVALID (of the first file that is wrong, with everything wrong in it). */
export async function loadSite(configPath: string): Promise<SiteConfig> {
  const config = parseConfig(agentSchema, await readText(configPath, configPath), configPath);
  const directory = dirname(resolve(configPath));
  const buses = [];
  const owners = new Map<string, string>();
  const twice: string[] = [];
  for (const bus of config.buses) {
    const devices: ModbusDevice[] = [];
    for (const { name, unit, template: file } of bus.devices) {
      const path = resolve(directory, file);
      const template = parseConfig(deviceTemplateSchema, await readText(path, configPath), path);
      for (const tag of template.tags) {
        const owner = owners.get(tag.name);
        if (owner !== undefined) twice.push(`${tag.name} (${owner} and ${name})`);
        owners.set(tag.name, name);
      }
      devices.push({ name, unit, template });
    }
    buses.push({ config: bus, devices });
  }
  if (twice.length > 0)
    throw new TwinwatchError(
      'CONFIG_INVALID',
      `${configPath}: tags are named once in a site, but these come twice: ${twice.join(', ')}`,
      {
        context: { file: configPath },
      },
    );
  const tags = [...owners.keys()];
  const { labelTag } = config.training;
  if (labelTag !== undefined && !tags.includes(labelTag))
    throw new TwinwatchError(
      'CONFIG_INVALID',
      `${configPath}: training.labelTag '${labelTag}' is not a tag of any device template`,
      {
        context: { file: configPath },
      },
    );
  const { ca } = config.broker;
  return {
    config,
    dataDir: resolve(directory, config.dataDir),
    buses,
    tags,
    brokerCa: ca === undefined ? null : await readText(resolve(directory, ca), configPath),
  };
}

async function readText(path: string, namedIn: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const from = path === namedIn ? '' : `, named in ${namedIn},`;
    throw new TwinwatchError('CONFIG_UNREADABLE', `${path}${from} cannot be read: ${(cause as Error).message}`, {
      context: { file: path },
      cause,
    });
  }
}
