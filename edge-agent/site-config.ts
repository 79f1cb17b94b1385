import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { type AgentConfig, agentSchema, type BusConfig } from '@twinwatch/core/config/agent';
import type { ConnectionSecrets } from '@twinwatch/core/config/broker-connection';
import { checkDeviceTemplate, type deviceTemplateSchema, templateTags } from '@twinwatch/core/config/device-template';
import {
  type CheckedConfig,
  type ConfigProblem,
  checkConfig,
  configText,
  invalidConfig,
  problemsOf,
} from '@twinwatch/core/config/load';
import { nearest } from '@twinwatch/core/config/nearest';
import type { ParameterValue } from '@twinwatch/core/config/template-parameters';
import { readSiteBrokers, type SiteBrokerFiles } from './broker-access.js';
import type { ModbusDevice } from './sources/modbus/device-reader.js';

/** An agent's configuration with its device templates read. */
export interface SiteConfig {
  readonly config: AgentConfig;
  readonly dataDir: string;
  readonly buses: readonly { readonly config: BusConfig; readonly devices: readonly ModbusDevice[] }[];
  /** Of the agent's file: paths in it are relative to its folder. */
  readonly configPath: string;
  /** The agent's file and all templates: what is looked at for changes. */
  readonly files?: readonly string[];
  /** All tags, bus by bus, device by device, in the order of the templates, then those of other sources: the order of values in rows. */
  readonly tags: readonly string[];
  /** What sections of brokers name. */
  readonly brokerFiles?: SiteBrokerFiles;
}

/** A device's template as far as it can be read, and the device's place in the agent's file. */
interface PlacedTemplate {
  readonly device: string;
  readonly place: readonly [bus: number, device: number];
  readonly path: string;
  readonly checked: CheckedConfig<typeof deviceTemplateSchema>;
}

/**
 * `environment` is where a password may be.
 * @throws TwinwatchError CONFIG_INVALID with everything that is wrong in the agent's file, in its templates, and between them.
 * @throws TwinwatchError CONFIG_UNREADABLE where the agent's file cannot be read or is not YAML.
 */
export async function loadSite(
  configPath: string,
  environment: ConnectionSecrets['environment'] = {},
): Promise<SiteConfig> {
  const directory = dirname(resolve(configPath));
  const agent = checkConfig(
    agentSchema,
    await configText(resolve(configPath), (file) => readFile(file, 'utf8')),
    configPath,
  );
  const problems: ConfigProblem[] = [...agent.problems];
  const templates = await readTemplates(agent, directory, problems);
  problems.push(
    ...tagsTwice(agent, templates),
    ...sourcesTwice(agent, templates),
    ...labelTagUnknown(agent, templates),
  );
  const brokerFiles = await readSiteBrokers(agent, directory, environment, problems);
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
    configPath: resolve(configPath),
    files: [...new Set([resolve(configPath), ...templates.map(({ path }) => path)])],
    tags: [
      ...templates.flatMap(({ checked }) => templateTags(checked.value!).map(({ name }) => name)),
      ...config.sources.flatMap((source) => source.tags.map(({ name }) => name)),
    ],
    brokerFiles,
  };
}

/** The templates that can be read, in the order of devices. What is wrong in a file is told once, however many devices have it. */
async function readTemplates(
  agent: CheckedConfig<typeof agentSchema>,
  directory: string,
  problems: ConfigProblem[],
): Promise<PlacedTemplate[]> {
  const files = new Map<string, string | NodeJS.ErrnoException>();
  const told = new Set<string>();
  const tell = (found: readonly ConfigProblem[]) => {
    for (const problem of found) {
      const key = `${problem.file}:${problem.path}:${problem.message}`;
      if (!told.has(key)) problems.push(problem);
      told.add(key);
    }
  };
  const placed: PlacedTemplate[] = [];
  for (const [b, bus] of (agent.sound.buses ?? []).entries())
    for (const [d, device] of (bus?.devices ?? []).entries()) {
      if (device?.template === undefined) continue;
      const at = (field: string, message: string) => agent.problemAt(['buses', b, 'devices', d, field], message);
      const path = resolve(directory, device.template);
      const text = files.get(path) ?? (await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => cause));
      files.set(path, text);
      if (typeof text !== 'string') {
        const why = text.code === 'ENOENT' ? 'is not there' : text.message;
        problems.push(at('template', `'${device.template}' cannot be read: ${path} ${why}${await fileMeant(path)}`));
        continue;
      }
      const given = Object.fromEntries(
        Object.entries(device.parameters ?? {}).filter((one): one is [string, ParameterValue] => one[1] !== undefined),
      );
      try {
        const checked = checkDeviceTemplate(text, path, device.name ?? null, given);
        tell(checked.problems);
        const known = Object.keys(checked.sound.parameters ?? {});
        for (const name of Object.keys(given).filter((one) => !known.includes(one)))
          problems.push(at('parameters', unknownParameter(name, device.template, known)));
        placed.push({ device: device.name ?? `device ${d + 1} of bus ${b + 1}`, place: [b, d], path, checked });
      } catch (error) {
        const unreadable = problemsOf(error);
        if (unreadable === null) throw error;
        tell(unreadable);
      }
    }
  return placed;
}

function unknownParameter(name: string, template: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  const advice =
    meant !== null ? `did you mean '${meant}'?` : known.length > 0 ? `it has ${known.join(', ')}` : 'it has none';
  return `gives '${name}', which '${template}' has no parameter for; ${advice}`;
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

const tagsOf = (template: PlacedTemplate) =>
  tagNamesOf(template)
    .map(({ name }) => name)
    .join();

/** Tags of one device that another has, too. A tag that is twice in one template is that file's own problem. */
function tagsTwice(
  agent: CheckedConfig<typeof agentSchema>,
  templates: readonly PlacedTemplate[],
): readonly ConfigProblem[] {
  const owners = new Map<string, PlacedTemplate>();
  const problems: ConfigProblem[] = [];
  for (const template of templates) {
    const { checked, place, path, device } = template;
    const same = templates.find((other) => other.path === path && tagsOf(other) === tagsOf(template))!;
    if (same !== template) {
      const [b, d] = place;
      problems.push(
        agent.problemAt(
          ['buses', b, 'devices', d, 'template'],
          `gives '${device}' the same tags as '${same.device}'; a site has each tag once, so give it a template of its own, or one whose tag names begin with \${device}`,
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

/** Sources whose name a device has, and their tags that something else has, too. */
function sourcesTwice(
  agent: CheckedConfig<typeof agentSchema>,
  templates: readonly PlacedTemplate[],
): readonly ConfigProblem[] {
  const names = new Set(templates.map(({ device }) => device));
  const owners = new Map(templates.flatMap((one) => tagNamesOf(one).map(({ name }) => [name, one.device] as const)));
  const problems: ConfigProblem[] = [];
  for (const [i, source] of (agent.sound.sources ?? []).entries()) {
    const name = source?.name ?? `source ${i + 1}`;
    if (names.has(name)) problems.push(agent.problemAt(['sources', i, 'name'], `device '${name}' is there twice`));
    names.add(name);
    for (const [t, tag] of (source?.tags ?? []).entries()) {
      if (tag?.name === undefined) continue;
      const owner = owners.get(tag.name);
      if (owner !== undefined && owner !== name)
        problems.push(
          agent.problemAt(
            ['sources', i, 'tags', t, 'name'],
            `tag '${tag.name}' is also one of '${owner}'; a site has each tag once`,
          ),
        );
      owners.set(tag.name, owner ?? name);
    }
  }
  return problems;
}

function labelTagUnknown(
  agent: CheckedConfig<typeof agentSchema>,
  templates: readonly PlacedTemplate[],
): readonly ConfigProblem[] {
  const labelTag = agent.sound.training?.labelTag;
  const ofSources = (agent.sound.sources ?? []).flatMap((source) =>
    (source?.tags ?? []).flatMap((tag) => (tag?.name === undefined ? [] : [tag.name])),
  );
  const tags = [...new Set([...templates.flatMap(tagNamesOf).map(({ name }) => name), ...ofSources])];
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
