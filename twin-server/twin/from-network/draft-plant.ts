import type { NetworkLink, NetworkNode, NetworkStructure } from '../network-structure.js';
import type { Condition, ControlLogic, Statement, Unexpressed } from './control-statements.js';
import { type Facilities, groupFacilities } from './facilities.js';
import { inpSection } from './inp-sections.js';

/** What plant.yaml says of a network, before anything of it was simulated. */

export interface DraftTag {
  readonly name: string;
  readonly plc: string;
  readonly measures: 'level' | 'pressure' | 'flow' | 'status';
  readonly element: string;
  readonly unit: string;
}

export interface DraftTrigger {
  readonly tag: string;
  readonly side: Condition['side'];
  readonly threshold: number;
}

export interface DraftControl {
  readonly plc: string;
  readonly actuator: string;
  readonly kind: 'pump' | 'valve';
  /** Null of an actuator that stands by. */
  readonly rule: { readonly on: DraftTrigger; readonly off: DraftTrigger } | null;
  readonly speed: number;
  readonly initially: 'on' | 'off';
}

export interface PlantDraft {
  readonly tags: readonly DraftTag[];
  readonly controls: readonly DraftControl[];
  readonly districts: readonly { readonly name: string; readonly pattern: string }[];
  readonly plcs: readonly { readonly name: string; readonly members: readonly string[] }[];
  /** What the network file does of itself and the plant does not. */
  readonly unexpressed: readonly Unexpressed[];
  /** What a reader should know of how it was drafted. */
  readonly remarks: readonly string[];
}

export interface NetworkText {
  readonly structure: NetworkStructure;
  readonly text: string;
  /** As EPANET counts them, from 1; null of an unknown one. */
  readonly patternIndex: (id: string) => number | null;
}

const REGULATING = new Set(['PRV', 'PSV', 'PBV', 'FCV', 'GPV']);

/** Null where the network has nothing that could be switched. */
export function draftPlant(network: NetworkText, logic: ControlLogic): PlantDraft | null {
  const { structure, text } = network;
  const scheduled = scheduledPumps(text);
  const { rules, unexpressed } = combine(structure, logic, scheduled);
  const switched = switchedLinks(structure, new Set(rules.keys()), scheduled);
  if (switched.length === 0) return null;
  const metered = structure.links.flatMap(({ type }, i) =>
    switched.includes(i) || type === 'pump' || type === 'TCV' || REGULATING.has(type) ? [i] : [],
  );
  const facilities = groupFacilities(structure, metered);
  const tags = new TagList(structure, facilities, pressureUnit(structure, text));
  for (const [i, { type }] of structure.nodes.entries()) if (type === 'tank') tags.add('level', i);
  for (const i of metered) {
    const { from, to, type } = structure.links[i]!;
    tags.add('flow', i);
    if (switched.includes(i)) tags.add('status', i);
    if (type === 'pipe') continue;
    for (const node of [from, to]) if (structure.nodes[node]!.type === 'junction') tags.add('pressure', node);
  }
  for (const node of worthWatching(structure)) tags.add('pressure', node);
  const controls = switched.map((i): DraftControl => {
    const { id, type, setting, initiallyClosed } = structure.links[i]!;
    const found = rules.get(id);
    return {
      plc: plcName(facilities.ofLink.get(id) ?? 0),
      actuator: id,
      kind: type === 'pump' ? 'pump' : 'valve',
      rule: found === undefined ? null : { on: tags.trigger(found.on.when), off: tags.trigger(found.off.when) },
      speed: type === 'pump' ? (found?.on.setting ?? (setting > 0 ? setting : 1)) : 1,
      initially: initiallyClosed ? 'off' : 'on',
    };
  });
  const { districts, remarks } = draftDistricts(network);
  return {
    tags: tags.list,
    controls,
    districts,
    plcs: facilities.members.map((members, i) => ({ name: plcName(i), members })),
    unexpressed: [
      ...unexpressed,
      ...scheduled.map(({ id, line }) => ({
        source: `line ${line}: pump ${id} has a PATTERN`,
        why: 'EPANET goes on setting its speed by it, so no PLC switches it',
      })),
    ],
    remarks: [...standingBy(controls, structure), ...remarks],
  };
}

const plcName = (index: number) => `PLC${index + 1}`;

/** US flow units go with psi whatever [OPTIONS] says, metric ones with m unless it says kPa. */
function pressureUnit({ lengthUnit }: NetworkStructure, text: string): string {
  if (lengthUnit === 'ft') return 'psi';
  const option = inpSection(text, 'OPTIONS').find(({ words }) => words[0]!.toUpperCase() === 'PRESSURE');
  return option?.words[1]?.toUpperCase() === 'KPA' ? 'kPa' : 'm';
}

function scheduledPumps(text: string): { id: string; line: number }[] {
  return inpSection(text, 'PUMPS').flatMap(({ line, words }) =>
    words.some((word, i) => i > 2 && word.toUpperCase() === 'PATTERN') ? [{ id: words[0]!, line }] : [],
  );
}

interface LatchRule {
  readonly on: Statement;
  readonly off: Statement;
}

/** One condition that opens and one that closes: the first of each in the file. */
function combine(
  { nodes, links }: NetworkStructure,
  { statements, unexpressed }: ControlLogic,
  scheduled: readonly { id: string }[],
): { rules: Map<string, LatchRule>; unexpressed: Unexpressed[] } {
  const left = [...unexpressed];
  const reject = ({ source }: Statement, why: string) => left.push({ source, why });
  const sides = new Map<string, Partial<Record<Statement['to'], Statement>>>();
  for (const statement of statements) {
    const { link: id, to, setting, when } = statement;
    const link = links.find((candidate) => candidate.id === id);
    const node = nodes.find((candidate) => candidate.id === when.id);
    const known = sides.get(id) ?? {};
    if (link === undefined || scheduled.some((pump) => pump.id === id)) reject(statement, `'${id}' cannot be switched`);
    else if (setting !== null && link.type !== 'pump')
      reject(statement, 'a setting of a valve is not switched: a PLC opens and closes');
    else if (when.of === 'node' && (node === undefined || node.type === 'reservoir'))
      reject(statement, `'${when.id}' is a source, which has no level or pressure that changes`);
    else if (known[to] !== undefined)
      reject(statement, `'${id}' has a condition for ${to} already, and a rule has one`);
    else sides.set(id, { ...known, [to]: statement });
  }
  const rules = new Map<string, LatchRule>();
  for (const [id, { open, closed }] of sides) {
    if (open === undefined) reject(closed!, `nothing opens '${id}' again: write on and off for it`);
    else if (closed === undefined) reject(open, `nothing closes '${id}' again: write on and off for it`);
    else if (open.when.id === closed.when.id && open.when.side === closed.when.side) {
      reject(open, 'it looks the same way as the one that closes');
      reject(closed, 'it looks the same way as the one that opens');
    } else rules.set(id, { on: open, off: closed });
  }
  return { rules, unexpressed: left };
}

/** What the file's controls switch, pumps, and throttle valves that throttle nothing; where there are none, the pipes at sources and tanks. */
function switchedLinks(
  { nodes, links }: NetworkStructure,
  ruled: ReadonlySet<string>,
  scheduled: readonly { id: string }[],
): number[] {
  const isSwitched = ({ id, type, setting }: NetworkLink) =>
    ruled.has(id) ||
    (type === 'pump' && !scheduled.some((pump) => pump.id === id)) ||
    (type === 'TCV' && setting === 0);
  const found = [...links.keys()].filter((i) => isSwitched(links[i]!));
  if (found.length > 0) return found;
  const isStored = (node: number) => nodes[node]!.type !== 'junction';
  return [...links.keys()].filter((i) => {
    const { type, from, to } = links[i]!;
    return type === 'pipe' && (isStored(from) || isStored(to));
  });
}

/** In each part of the network that one demand pattern drives: where most is drawn, and the highest place where anything is. */
function worthWatching({ nodes }: NetworkStructure): number[] {
  const byPattern = new Map<number, number[]>();
  for (const [i, { demands }] of nodes.entries()) {
    const pattern = demands[0]?.pattern;
    if (pattern !== undefined) byPattern.set(pattern, [...(byPattern.get(pattern) ?? []), i]);
  }
  const drawn = ({ demands }: NetworkNode) => demands.reduce((sum, { base }) => sum + base, 0);
  const most = (of: readonly number[], value: (node: NetworkNode) => number) =>
    of.reduce((best, i) => (value(nodes[i]!) > value(nodes[best]!) ? i : best));
  return [...byPattern.values()].flatMap((of) => [most(of, drawn), most(of, ({ elevation }) => elevation)]);
}

/** Tags by element, each once, under names that the plant file allows. */
class TagList {
  readonly list: DraftTag[] = [];
  readonly #structure: NetworkStructure;
  readonly #facilities: Facilities;
  readonly #pressureUnit: string;

  constructor(structure: NetworkStructure, facilities: Facilities, pressureUnit: string) {
    this.#structure = structure;
    this.#facilities = facilities;
    this.#pressureUnit = pressureUnit;
  }

  /** @param index of the node for level and pressure, of the link for flow and status. */
  add(measures: DraftTag['measures'], index: number): string {
    const { nodes, links, lengthUnit, flowUnit } = this.#structure;
    const isOfNode = measures === 'level' || measures === 'pressure';
    const element = (isOfNode ? nodes[index] : links[index])!.id;
    const known = this.list.find((tag) => tag.measures === measures && tag.element === element);
    if (known !== undefined) return known.name;
    const base = `${measures[0]!.toUpperCase()}_${element.replace(/[^A-Za-z0-9_.-]/g, '_')}`;
    const isTaken = (name: string) => this.list.some((tag) => tag.name === name);
    let name = base;
    for (let n = 2; isTaken(name); n++) name = `${base}_${n}`;
    const plc = isOfNode
      ? this.#facilities.ofNode[index]
      : (this.#facilities.ofLink.get(element) ?? this.#facilities.ofNode[links[index]!.from]);
    const unit = { level: lengthUnit, pressure: this.#pressureUnit, flow: flowUnit, status: '' }[measures];
    this.list.push({ name, plc: plcName(plc ?? 0), measures, element, unit });
    return name;
  }

  /** The condition by tag, which is added where it is not there yet. */
  trigger({ of, id, measures, side, threshold }: Condition): DraftTrigger {
    const { nodes, links } = this.#structure;
    const index = (of === 'node' ? nodes : links).findIndex((element) => element.id === id);
    const kind = measures ?? (nodes[index]?.type === 'tank' ? 'level' : 'pressure');
    return { tag: this.add(kind, index), side, threshold };
  }
}

function draftDistricts({ structure, text, patternIndex }: NetworkText): Pick<PlantDraft, 'districts' | 'remarks'> {
  const patterns = [...new Set(inpSection(text, 'PATTERNS').map(({ words }) => words[0]!))];
  const drawn = new Set(structure.nodes.flatMap(({ demands }) => demands.map(({ pattern }) => pattern)));
  const elsewhere = new Set([
    ...inpSection(text, 'RESERVOIRS').flatMap(({ words }) => words.slice(2, 3)),
    ...inpSection(text, 'PUMPS').flatMap(({ words }) =>
      words.filter((_, i) => words[i - 1]?.toUpperCase() === 'PATTERN'),
    ),
  ]);
  const ofDemands = patterns.filter((id) => drawn.has(patternIndex(id) ?? -1));
  const remarks = ofDemands
    .filter((id) => elsewhere.has(id))
    .map((id) => `Pattern ${id} drives more than demands, so it is no district and does not vary.`);
  const used = ofDemands.filter((id) => !elsewhere.has(id));
  if (used.length === 0)
    remarks.push('No demand has a pattern of its own, so demands are constant: give the network patterns.');
  const districts = used.map((pattern, i) => {
    const name = pattern.replace(/[^A-Za-z0-9_.-]/g, '_');
    const isClash = used.findIndex((other) => other.replace(/[^A-Za-z0-9_.-]/g, '_') === name) < i;
    return { name: `${/^[A-Za-z_]/.test(name) ? '' : 'D'}${name}${isClash ? `_${i + 1}` : ''}`, pattern };
  });
  return { districts, remarks };
}

function standingBy(controls: readonly DraftControl[], { links }: NetworkStructure): string[] {
  const idle = controls.filter(({ rule }) => rule === null).map(({ actuator }) => actuator);
  const named = (ids: readonly string[]) => ids.slice(0, 12).join(', ') + (ids.length > 12 ? ' …' : '');
  const regulating = links.filter(({ id, type }) => REGULATING.has(type) && !controls.some((c) => c.actuator === id));
  return [
    ...(idle.length === 0 ? [] : [`Without a rule, and left as they start: ${named(idle)}.`]),
    ...(regulating.length === 0
      ? []
      : [`Regulating valves work by themselves, and are only metered: ${named(regulating.map(({ id }) => id))}.`]),
    ...(controls.every(({ actuator }) => links.find(({ id }) => id === actuator)?.type === 'pipe')
      ? ['Nothing in it is pumped or switched: pipes stand for shut-off valves.']
      : []),
  ];
}
