import { parseConfig } from '@twinwatch/core/config/load';
import { isKnownUnit } from '@twinwatch/core/scada/engineering-units';
import { type AttackCatalogue, attackCatalogueSchema } from '../attacks.js';
import { type PlantConfig, plantSchema } from '../plant-config.js';
import { draftAttacks } from './draft-attacks.js';
import type { DraftTag, DraftTrigger, PlantDraft } from './draft-plant.js';

/** A drafted plant as the files that people go on with: plant.yaml and attacks.yaml, with comments. */

/** What a sensor tells, in the tag's unit. */
export interface SensorGrain {
  readonly resolution: number;
  readonly noise: number;
  readonly quantum: number;
}

export interface PlantTextOptions {
  readonly draft: PlantDraft;
  readonly name: string;
  /** Path of the network file as plant.yaml has it. */
  readonly network: string;
  readonly attacks: string;
  readonly grainOf: (tag: DraftTag) => SensorGrain;
}

const YAML_WORDS = /^(y|n|yes|no|on|off|true|false|null)$/i;

/** An id as a YAML string, quoted where it would be read as something else. */
export function quote(text: string): string {
  return /^[A-Za-z_][\w.-]*$/.test(text) && !YAML_WORDS.test(text) ? text : JSON.stringify(text);
}

export function plantText({ draft, name, network, attacks, grainOf }: PlantTextOptions): string {
  const { tags, controls, districts, plcs, unexpressed, remarks } = draft;
  const tagLines = plcs.flatMap((plc) => {
    const own = tags.filter((tag) => tag.plc === plc.name);
    if (own.length === 0) return [];
    return [
      `  # ${plc.name}: ${plc.members.join(', ') || 'the whole network'}`,
      ...own.map((tag) => tagLine(tag, grainOf(tag))),
    ];
  });
  const controlLines = controls.map(({ plc, actuator, kind, rule, speed, initially }) => {
    const parts = [`plc: ${plc}`, `actuator: ${quote(actuator)}`];
    if (kind === 'valve') parts.push('kind: valve');
    if (rule !== null) parts.push(`on: ${trigger(rule.on)}`, `off: ${trigger(rule.off)}`);
    if (speed !== 1) parts.push(`speed: ${speed}`);
    if (initially === 'on') parts.push("initially: 'on'");
    return `  - { ${parts.join(', ')} }`;
  });
  const unusual = [...new Set(tags.map(({ unit }) => unit))].filter((unit) => !isKnownUnit(unit));
  const lines = [
    `# ${name}: drafted from ${network} by \`twinwatch plant-from-network\`. docs/plants.md explains every field.`,
    '# Go through it: rename tags and PLCs as yours are called, delete what you do not measure, add what you do.',
    ...remarks.map((remark) => `# ${remark}`),
    `name: ${name}`,
    `network: ${quote(network)}`,
    `attacks: ${quote(attacks)}`,
    'interval: 15m',
    'hydraulicStep: 5m',
    'start: 2026-01-05T00:00:00Z # a Monday',
    ...(unusual.length === 0 ? [] : [`units: [${unusual.join(', ')}]`]),
    '',
    '# One PLC for each facility: pumps, valves and tanks that share a node or stand at most 30 m (100 ft) of pipe apart. Junctions go to the nearest.',
    '# Resolution, noise and quantum follow from how large each value becomes in two simulated days: put in those of your sensors.',
    'tags:',
    ...tagLines,
    '',
    ...(unexpressed.length === 0
      ? ["# All of the network file's [CONTROLS] and [RULES] are here."]
      : [
          "# Of the network file's own control logic, this is not here:",
          ...unexpressed.map(({ source, why }) => `#   ${source} (${why})`),
        ]),
    '# What has no on and off stays as it starts, until you write them or an attack moves it.',
    'controls:',
    ...controlLines,
    '',
    ...(districts.length === 0
      ? ['districts: []']
      : [
          '# Demands that vary together: one district for each demand pattern of the network file.',
          'districts:',
          ...districts.map(
            ({ name: district, pattern }) => `  - { name: ${quote(district)}, pattern: ${quote(pattern)} }`,
          ),
        ]),
  ];
  return `${lines.join('\n')}\n`;
}

function tagLine(
  { name, plc, measures, element, unit }: DraftTag,
  { resolution, noise, quantum }: SensorGrain,
): string {
  const parts = [`name: ${quote(name)}`, `plc: ${plc}`, `measures: ${measures}`, `element: ${quote(element)}`];
  parts.push(`unit: ${unit === '' ? "''" : unit}`);
  if (measures === 'status') parts.push('kind: status');
  parts.push(`resolution: ${resolution}`);
  if (noise > 0) parts.push(`noise: ${noise}`);
  if (quantum > 0) parts.push(`quantum: ${quantum}`);
  return `  - { ${parts.join(', ')} }`;
}

function trigger({ tag, side, threshold }: DraftTrigger): string {
  return `{ tag: ${quote(tag)}, ${side}: ${threshold} }`;
}

export function attacksText(draft: PlantDraft, name: string): string {
  const attacks = draftAttacks(draft, quote);
  const list = (key: string, entries: readonly string[]) =>
    entries.length === 0 ? [] : [`    ${key}:`, ...entries.map((entry) => `      - ${entry}`)];
  const isRuled = draft.controls.some(({ rule }) => rule !== null);
  const lines = [
    `# Attacks on ${name}, drafted by \`twinwatch plant-from-network\`. docs/attacks.md explains every field.`,
    attacks.length === 0 ? 'attacks: []' : 'attacks:',
    ...attacks.flatMap(({ name: attack, title, duration, effects, concealment }) => [
      `  - name: ${attack}`,
      `    title: ${JSON.stringify(title)}`,
      `    duration: ${duration}`,
      ...list('effects', effects),
      ...list('concealment', concealment),
    ]),
    '',
    '# How the twin draws attacks of its own, to learn from.',
    'random:',
    '  duration: [2h, 24h]',
    '  gap: [12h, 36h]',
    '  concealed: 0.6',
    ...(isRuled ? [] : ['  families: [speed, force, scada] # no rule has thresholds, and no PLC acts on a reading']),
    '  recovery: 24h',
  ];
  return `${lines.join('\n')}\n`;
}

/** The two texts as the twin reads them. @throws TwinwatchError CONFIG_INVALID */
export function readBack(plant: string, attacks: string): { config: PlantConfig; attacks: AttackCatalogue } {
  return {
    config: parseConfig(plantSchema, plant, 'plant.yaml'),
    attacks: parseConfig(attackCatalogueSchema, attacks, 'attacks.yaml'),
  };
}
