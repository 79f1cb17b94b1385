import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { type AgentConfig, agentSchema, type BusConfig } from '@twinwatch/core/config/agent';
import { deviceTemplateSchema, templateTags } from '@twinwatch/core/config/device-template';
import {
  type CheckedConfig,
  type ConfigProblem,
  checkConfig,
  configText,
  invalidConfig,
  problemsOf,
} from '@twinwatch/core/config/load';
import { nearest } from '@twinwatch/core/config/nearest';
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

/** A device's template as far as it can be read, and the device's place in the agent's file. */
interface PlacedTemplate {
  readonly device: string;
  readonly place: readonly [bus: number, device: number];
  readonly path: string;
  readonly checked: CheckedConfig<typeof deviceTemplateSchema>;
}

/**
 * @throws TwinwatchError CONFIG_INVALID with everything that is wrong in the agent's file, in its templates, and between them.
 * @throws TwinwatchError CONFIG_UNREADABLE where the agent's file cannot be read or is not YAML.
 */
export async function loadSite(configPath: string): Promise<SiteConfig> {
  const directory = dirname(resolve(configPath));
  const agent = checkConfig(agentSchema, await configText(configPath, (file) => readFile(file, 'utf8')), configPath);
  const problems: ConfigProblem[] = [...agent.problems];
  const templates = await readTemplates(agent, directory, problems);
  problems.push(...tagsTwice(agent, templates), ...labelTagUnknown(agent, templates));
  const { ca } = agent.sound.broker ?? {};
  let brokerCa: string | null = null;
  if (ca !== undefined)
    brokerCa = await readFile(resolve(directory, ca), 'utf8').catch((cause: Error) => {
      problems.push(agent.problemAt(['broker', 'ca'], `names a file that cannot be read: ${cause.message}`));
      return null;
    });
  const config = agent.value;
  if (problems.length > 0 || config === null) throw invalidConfig(configPath, problems);
  const templateAt = ([b, d]: readonly [number, number]) =>
    templates.find(({ place }) => place[0] === b && place[1] === d)!.checked.value!;
  return {
    config,
    dataDir: resolve(directory, config.dataDir),
    buses: config.buses.map((bus, b) => ({
      config: bus,
      devices: bus.devices.map(({ name, unit }, d) => ({ name, unit, template: templateAt([b, d]) })),
    })),
    tags: templates.flatMap(({ checked }) => templateTags(checked.value!).map(({ name }) => name)),
    brokerCa,
  };
}

/** The templates that can be read, in the order of devices. What is wrong in a file is told once, however many devices have it. */
async function readTemplates(
  agent: CheckedConfig<typeof agentSchema>,
  directory: string,
  problems: ConfigProblem[],
): Promise<PlacedTemplate[]> {
  const files = new Map<string, CheckedConfig<typeof deviceTemplateSchema> | string | null>();
  const read = async (path: string) => {
    const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => cause);
    if (typeof text !== 'string') return text.code === 'ENOENT' ? 'is not there' : text.message;
    try {
      const checked = checkConfig(deviceTemplateSchema, text, path);
      problems.push(...checked.problems);
      return checked;
    } catch (error) {
      const unreadable = problemsOf(error);
      if (unreadable === null) throw error;
      problems.push(...unreadable);
      return null;
    }
  };
  const placed: PlacedTemplate[] = [];
  for (const [b, bus] of (agent.sound.buses ?? []).entries())
    for (const [d, device] of (bus?.devices ?? []).entries()) {
      if (device?.template === undefined) continue;
      const path = resolve(directory, device.template);
      const checked = files.get(path) ?? (await read(path));
      files.set(path, checked);
      if (typeof checked === 'string')
        problems.push(
          agent.problemAt(
            ['buses', b, 'devices', d, 'template'],
            `'${device.template}' cannot be read: ${path} ${checked}${await fileMeant(path)}`,
          ),
        );
      else if (checked !== null)
        placed.push({ device: device.name ?? `device ${d + 1} of bus ${b + 1}`, place: [b, d], path, checked });
    }
  return placed;
}

async function fileMeant(path: string): Promise<string> {
  const beside = await readdir(dirname(path)).catch(() => []);
  const meant = nearest(
    basename(path),
    beside.filter((name) => /\.ya?ml$/.test(name)),
  );
  return meant === null ? '' : `; did you mean '${meant}'?`;
}

const tagNamesOf = ({ checked }: PlacedTemplate) =>
  (checked.sound.tags ?? []).flatMap((tag, i) => (tag?.name === undefined ? [] : [{ name: tag.name, i }]));

/** Tags of one device that another has, too. A tag that is twice in one template is that file's own problem. */
function tagsTwice(
  agent: CheckedConfig<typeof agentSchema>,
  templates: readonly PlacedTemplate[],
): readonly ConfigProblem[] {
  const owners = new Map<string, PlacedTemplate>();
  const problems: ConfigProblem[] = [];
  for (const template of templates) {
    const { checked, place, path, device } = template;
    const same = templates.find((other) => other.path === path)!;
    if (same !== template) {
      const [b, d] = place;
      problems.push(
        agent.problemAt(
          ['buses', b, 'devices', d, 'template'],
          `gives '${device}' the same tags as '${same.device}'; a site has each tag once, so give it a template of its own`,
        ),
      );
      continue;
    }
    for (const { name, i } of tagNamesOf(template)) {
      const owner = owners.get(name);
      if (owner !== undefined && owner !== template)
        problems.push(
          checked.problemAt(
            ['tags', i, 'name'],
            `tag '${name}' of '${device}' is also one of '${owner.device}' (${owner.path}); a site has each tag once`,
          ),
        );
      owners.set(name, owner ?? template);
    }
  }
  return problems;
}

function labelTagUnknown(
  agent: CheckedConfig<typeof agentSchema>,
  templates: readonly PlacedTemplate[],
): readonly ConfigProblem[] {
  const labelTag = agent.sound.training?.labelTag;
  const tags = [...new Set(templates.flatMap(tagNamesOf).map(({ name }) => name))];
  if (labelTag === undefined || tags.includes(labelTag)) return [];
  const meant = nearest(labelTag, tags);
  const advice =
    meant !== null
      ? `did you mean '${meant}'?`
      : tags.length > 0
        ? `the tags are ${tags.join(', ')}`
        : 'rows that are imported are labelled by import.labelColumn';
  return [
    agent.problemAt(
      ['training', 'labelTag'],
      `'${labelTag}' is not a tag of any device template that can be read; ${advice}`,
    ),
  ];
}
