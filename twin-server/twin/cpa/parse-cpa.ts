/**
 * The text of an epanetCPA file (.cpa): what R. Taormina's MATLAB toolbox of that name reads. Sections in brackets, one entry a line, fields parted by
 * commas, comments after a semicolon:
 *
 *   [CYBERNODES]    name, sensors, actuators
 *   [CYBERLINKS]    source, destination, sensors
 *   [CYBERATTACKS]  type, target, start condition, end condition, arguments parted by spaces
 *   [CYBEROPTIONS]  name, values
 */

export interface CpaAttack {
  /** Counted from 1. */
  readonly line: number;
  readonly type: string;
  readonly target: string;
  readonly start: string;
  readonly end: string;
  readonly arguments: readonly string[];
}

export interface CpaFile {
  readonly attacks: readonly CpaAttack[];
  /** Names under [CYBERNODES]. */
  readonly nodes: readonly string[];
  /** What is wrong with the text, each with its line. */
  readonly problems: readonly string[];
}

const SECTIONS = ['CYBERNODES', 'CYBERLINKS', 'CYBERATTACKS', 'CYBEROPTIONS'] as const;
type Section = (typeof SECTIONS)[number];
const OPTIONS = ['verbosity', 'what_to_store', 'initial_conditions', 'patterns_file', 'pda_options'];

export function parseCpa(text: string): CpaFile {
  const attacks: CpaAttack[] = [];
  const nodes: string[] = [];
  const problems: string[] = [];
  let section: Section | null = null;
  for (const [i, raw] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const line = i + 1;
    const content = raw.split(';', 1)[0]!.trim();
    if (content === '') continue;
    const heading = /^\[(.*)\]$/.exec(content)?.[1]?.trim().toUpperCase();
    if (heading !== undefined) {
      section = SECTIONS.find((name) => name === heading) ?? null;
      if (section === null)
        problems.push(`line ${line}: there is no section [${heading}]; there are ${SECTIONS.join(', ')}`);
      continue;
    }
    const fields = content.split(',').map((field) => field.trim());
    if (section === null) problems.push(`line ${line}: '${content}' is in no section`);
    else if (section === 'CYBERNODES') nodes.push(fields[0]!);
    else if (section === 'CYBERATTACKS') {
      const [type, target, start, end, rest] = fields;
      if (fields.length !== 5 || fields.some((field) => field === ''))
        problems.push(
          `line ${line}: an attack has 5 fields, type, target, start, end and arguments; this has ${fields.length}`,
        );
      else
        attacks.push({ line, type: type!, target: target!, start: start!, end: end!, arguments: rest!.split(/\s+/) });
    } else if (section === 'CYBERLINKS') {
      if (fields.length !== 3) problems.push(`line ${line}: a link has 3 fields, source, destination and sensors`);
    } else {
      const option = content.split(/[\s,]/, 1)[0]!;
      if (!OPTIONS.includes(option))
        problems.push(`line ${line}: there is no option '${option}'; there are ${OPTIONS.join(', ')}`);
    }
  }
  if (attacks.length === 0 && problems.length === 0) problems.push('it has no attack under [CYBERATTACKS]');
  return { attacks, nodes, problems };
}

/** One statement under [CONTROLS] of an EPANET file; null where it is not of a node's level or pressure. */
export interface NetworkControl {
  readonly link: string;
  readonly opens: boolean;
  readonly node: string;
}

/** In the order of the file: an attack on control 3 means the third. */
export function networkControls(network: string): (NetworkControl | null)[] {
  const controls: (NetworkControl | null)[] = [];
  let within = false;
  for (const raw of network.split(/\r?\n/)) {
    const content = raw.split(';', 1)[0]!.trim();
    if (content.startsWith('[')) within = /^\[CONT/i.test(content);
    else if (within && content !== '') {
      const found =
        /^(?:LINK|PUMP|VALVE|PIPE)\s+(\S+)\s+(\S+)\s+IF\s+(?:NODE|TANK|JUNCTION)\s+(\S+)\s+(?:ABOVE|BELOW)\s/i.exec(
          content,
        );
      controls.push(
        found === null ? null : { link: found[1]!, opens: !/^(CLOSED|0)$/i.test(found[2]!), node: found[3]! },
      );
    }
  }
  return controls;
}
