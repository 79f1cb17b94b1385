import { TwinwatchError } from '@twinwatch/core/errors';
import type { z } from 'zod';
import { attackAt, attackCatalogueSchema, checkAttack } from '../attacks.js';
import type { LoadedPlant, PlantConfig } from '../plant-config.js';
import { type CpaAttack, type NetworkControl, networkControls, parseCpa } from './parse-cpa.js';

/** A catalogue's attack as it stands in attacks.yaml. */
export type AttackEntry = NonNullable<z.input<typeof attackCatalogueSchema>['attacks']>[number];
type EffectEntry = NonNullable<AttackEntry['effects']>[number];
type ConcealmentEntry = NonNullable<AttackEntry['concealment']>[number];

export interface CpaImport {
  /** All lines of the file are parts of one attack: they are one scenario. */
  readonly attack: AttackEntry;
  /** What was said otherwise than in the file, for a person. */
  readonly notes: readonly string[];
}

interface Setting {
  readonly config: PlantConfig;
  readonly controls: readonly (NetworkControl | null)[];
  readonly notes: string[];
}

interface Part {
  readonly effects: readonly EffectEntry[];
  readonly concealment: readonly ConcealmentEntry[];
}

class Unsaid extends Error {}

const SCADA = 'SCADA';
const NOBODY = 'NULL';
const MEASURES: Readonly<Record<string, readonly string[]>> = { P: ['level', 'pressure'], F: ['flow'], S: ['status'] };

/**
 * @param endlessHours how long the attack is where a line never ends.
 * @throws TwinwatchError ATTACKS_CPA_INVALID naming every line that is wrong, or that no catalogue can say.
 */
export function importCpa(
  text: string,
  file: string,
  name: string,
  { config, network }: Pick<LoadedPlant, 'config' | 'network'>,
  endlessHours: number,
): CpaImport {
  const { attacks, nodes, problems } = parseCpa(text);
  const setting: Setting = { config, controls: networkControls(network), notes: [] };
  const wrong = [...problems];
  const plcs = new Set([...config.tags, ...config.controls].map(({ plc }) => plc));
  for (const node of nodes)
    if (node !== SCADA && !plcs.has(node)) wrong.push(`'${node}' under [CYBERNODES] is no PLC of ${config.name}`);
  const read: { startHour: number; endHour: number | null; part: Part }[] = [];
  for (const attack of attacks)
    try {
      const startHour = hourOf(attack.start);
      const endHour = hourOf(attack.end);
      if (startHour === null) throw new Unsaid('it never starts');
      if (endHour !== null && endHour <= startHour) throw new Unsaid('it ends before it starts');
      read.push({ startHour, endHour, part: partOf(attack, setting) });
    } catch (error) {
      if (!(error instanceof Unsaid)) throw error;
      wrong.push(`line ${attack.line}: ${error.message}`);
    }
  if (wrong.length > 0) throw invalid(file, wrong);

  const onset = Math.min(...read.map(({ startHour }) => startHour));
  const ends = read.map(({ endHour }) => (endHour === null ? endlessHours : endHour - onset));
  const timed = <T extends object>(
    entry: T,
    { startHour, endHour }: { startHour: number; endHour: number | null },
  ): T => ({
    ...entry,
    ...(startHour > onset ? { after: hours(startHour - onset) } : {}),
    ...(endHour === null ? {} : { lasts: hours(endHour - startHour) }),
  });
  const entry: AttackEntry = {
    name,
    title: `From ${file}`,
    duration: hours(Math.max(...ends)),
    effects: read.flatMap((each) => each.part.effects.map((effect) => timed(effect, each))),
    concealment: read.flatMap((each) => each.part.concealment.map((concealment) => timed(concealment, each))),
  };
  const parsed = attackCatalogueSchema.safeParse({ attacks: [entry] });
  if (!parsed.success)
    throw invalid(
      file,
      parsed.error.issues.map(({ path, message }) => `${path.slice(2).join('.')}: ${message}`),
    );
  checkAttack(config, attackAt(parsed.data.attacks[0]!, 0));
  return { attack: entry, notes: setting.notes };
}

function invalid(file: string, problems: readonly string[]): TwinwatchError {
  return new TwinwatchError('ATTACKS_CPA_INVALID', `${file} cannot be imported:\n  ${problems.join('\n  ')}`, {
    context: { file, problems },
  });
}

/** Hours of `TIME==50`; null for -1, never. */
function hourOf(condition: string): number | null {
  const found = /^\(?\s*TIME\s*(?:==|>=|>)\s*(-?\d+(?:\.\d+)?)\s*\)?$/.exec(condition);
  if (found === null)
    throw new Unsaid(
      `the condition '${condition}' depends on the plant's state; a catalogue knows times only, such as TIME==50`,
    );
  const hour = Number(found[1]);
  return hour < 0 ? null : hour;
}

function partOf(attack: CpaAttack, setting: Setting): Part {
  switch (attack.type.toLowerCase()) {
    case 'sensor':
      return effect({ kind: 'sensor', tag: tagOf(attack.target, setting), ...readingOf(attack) });
    case 'actuator':
      return { effects: actuatorEffects(attack.target, attack.arguments, setting), concealment: [] };
    case 'control':
      return effect(controlEffect(attack, setting));
    case 'communication':
      return communication(attack, setting);
    default:
      throw new Unsaid(`there is no type '${attack.type}'; there are Sensor, Actuator, Control and Communication`);
  }
}

const effect = (entry: EffectEntry): Part => ({ effects: [entry], concealment: [] });

function communication(attack: CpaAttack, setting: Setting): Part {
  const [sender, target, receiver, ...rest] = attack.target.split('-');
  if (receiver === undefined || rest.length > 0)
    throw new Unsaid(`the target '${attack.target}' must be sender-target-receiver`);
  const actuator = setting.config.controls.find((control) => control.actuator === target)?.actuator;
  if (receiver === NOBODY) {
    if (actuator === undefined) throw new Unsaid(`'${target}' is no actuator of ${setting.config.name}`);
    if (attack.arguments[0] !== 'constant')
      throw new Unsaid(
        `what ${actuator} is told can only be replaced by a constant; '${attack.arguments[0]}' would keep a state that is not known before`,
      );
    return { effects: actuatorEffects(actuator, attack.arguments.slice(1), setting), concealment: [] };
  }
  const tag = tagOf(actuator === undefined ? target! : `F_${actuator}`, setting);
  if (receiver === SCADA) return { effects: [], concealment: [concealmentOf(attack, tag, setting)] };
  const reading = readingOf(attack);
  return sender === NOBODY
    ? effect({ kind: 'sensor', tag, ...reading })
    : effect({ kind: 'link', tag, to: receiver, ...reading });
}

/** `P_T1`, `F_PU1` or `S_PU1`: the tag of that element that measures such a thing. */
function tagOf(name: string, { config }: Setting): string {
  const [prefix, element] = [name.slice(0, name.indexOf('_')), name.slice(name.indexOf('_') + 1)];
  const measures = MEASURES[prefix] ?? [];
  const tag = config.tags.find((candidate) => candidate.element === element && measures.includes(candidate.measures));
  if (tag === undefined)
    throw new Unsaid(`${config.name} has no tag for '${name}' (P_ for a node, F_ for a flow, S_ for a status)`);
  return tag.name;
}

function readingOf({
  arguments: [method, ...values],
}: CpaAttack): { constant: number } | { offset: number } | { freeze: true } {
  switch (method) {
    case 'DoS':
      return { freeze: true };
    case 'constant':
      return { constant: numberOf(values, 1) };
    case 'offset':
      return { offset: numberOf(values, 1) };
    default:
      throw new Unsaid(`'${method}' cannot be said of what a PLC reads; DoS, constant and offset can`);
  }
}

function concealmentOf(
  { arguments: [method, ...values] }: CpaAttack,
  tag: string,
  { config, notes }: Setting,
): ConcealmentEntry {
  switch (method) {
    case 'DoS':
      return { kind: 'freeze', tags: [tag] };
    case 'offset':
      return { kind: 'polyline', tags: [tag], points: [['0s', numberOf(values, 1)]] };
    case 'replay': {
      if (values.length !== 4) throw new Unsaid('replay has 4 arguments: hours, noise, largest and smallest value');
      const [period, noise] = [numberOf(values.slice(0, 1), 1), numberOf(values.slice(1, 2), 1)];
      const { resolution } = config.tags.find(({ name }) => name === tag)!;
      notes.push(`${tag}: replayed values are not cut off at ${values[3]} and ${values[2]}`);
      // The file's noise is even within ± its number; a catalogue's is a standard deviation in resolutions.
      return {
        kind: 'replay',
        tags: [tag],
        period: hours(period),
        noise: Number((noise / Math.sqrt(3) / resolution).toPrecision(3)),
      };
    }
    default:
      throw new Unsaid(`'${method}' cannot be said of what SCADA is shown; DoS, offset and replay can`);
  }
}

function actuatorEffects(target: string, values: readonly string[], { config }: Setting): EffectEntry[] {
  const control = config.controls.find(({ actuator }) => actuator === target);
  if (control === undefined) throw new Unsaid(`'${target}' is no actuator of ${config.name}`);
  const value = numberOf(values, 1);
  if (value === 0 || value === 1) return [{ kind: 'force', actuator: target, state: value === 1 ? 'on' : 'off' }];
  if (control.kind !== 'pump') throw new Unsaid(`the valve '${target}' is open or shut, 1 or 0, not ${value}`);
  return [
    { kind: 'force', actuator: target, state: 'on' },
    { kind: 'speed', actuator: target, speed: value },
  ];
}

function controlEffect({ target, arguments: values }: CpaAttack, { config, controls }: Setting): EffectEntry {
  const found = /^CTRL(\d+)([nl])$/.exec(target);
  if (found === null) throw new Unsaid(`the target '${target}' must be CTRL, the number of a control, and n or l`);
  if (found[2] === 'l')
    throw new Unsaid(
      `'${target}' changes what a control does to its link; a catalogue can change its threshold (n) only`,
    );
  const control = controls[Number(found[1]) - 1];
  if (control === undefined || control === null)
    throw new Unsaid(`the network file has no control ${found[1]} on a node's level (it has ${controls.length})`);
  const rule = config.controls.find(({ actuator }) => actuator === control.link);
  if (rule?.on === undefined)
    throw new Unsaid(`control ${found[1]} is of '${control.link}', which has no rule in ${config.name}`);
  const threshold = numberOf(values, 1);
  return { kind: 'thresholds', actuator: control.link, ...(control.opens ? { on: threshold } : { off: threshold }) };
}

function numberOf(values: readonly string[], count: number): number {
  const value = Number(values[0]);
  if (values.length !== count || values[0] === '' || !Number.isFinite(value))
    throw new Unsaid(`'${values.join(' ')}' should be one number`);
  return value;
}

const hours = (value: number) => (Number.isInteger(value) ? `${value}h` : `${Math.round(value * 60)}m`);
