import { TwinwatchError } from '@twinwatch/core/errors';
import { Workspace } from 'epanet-js';
import type { Engine } from './epanet-engine.js';
import { type NetworkStructure, readStructure } from './network-structure.js';

/** EPANET's codes that are used here; the numbers are those of its toolkit's header. */
const NODE_ELEVATION = 0;
const NODE_TANK_LEVEL = 8;
const NODE_HEAD = 10;
const NODE_PRESSURE = 11;
const LINK_ROUGHNESS = 2;
const LINK_FLOW = 8;
const LINK_STATUS = 11;
const LINK_SETTING = 12;
const COUNT_NODES = 0;
const COUNT_TANKS = 1;
const COUNT_LINKS = 2;
const COUNT_CONTROLS = 5;
const COUNT_RULES = 6;
const TIME_DURATION = 0;
const TIME_HYDRAULIC_STEP = 1;
const TIME_PATTERN_STEP = 3;
const TIME_REPORT_STEP = 5;
const NODE_TYPE_TANK = 2;
const LINK_TYPE_PIPE_MAXIMUM = 1;
const LINK_TYPE_PUMP = 2;
const FIRST_ERROR_CODE = 100;
/** EPANET reads 1023; its buffers hold no more. */
const LONGEST_LINE = 1_000;
/** Longest duration EPANET's 32-bit seconds allow, with room for one more step: 68 years. */
const DURATION_SECONDS = 2_000_000_000;

const INPUT_FILE = '/network.inp';
const REPORT_FILE = '/report.txt';

/**
 * One EPANET network in the embedded engine, stepped from outside: the file's own controls and rules are removed, whoever holds
 * this object switches links and sets demands between steps. Levels and pressures in m, flows in the file's flow unit.
 */
export class Hydraulics {
  readonly #engine: Engine;
  readonly #project: number;
  readonly #out: number;
  readonly #values: number;
  readonly #nodes: number;
  readonly #links: number;
  readonly #warnings = new Map<number, number>();
  #secondsSinceStart = 0;
  #closed = false;

  private constructor(engine: Engine, project: number, nodes: number, links: number) {
    this.#engine = engine;
    this.#project = project;
    this.#nodes = nodes;
    this.#links = links;
    this.#out = engine._malloc(16);
    this.#values = engine._malloc(8 * (Math.max(nodes, links) + 1));
  }

  /**
   * @param network text of an EPANET input file.
   * @throws TwinwatchError PLANT_NETWORK_INVALID with EPANET's own words where it rejects the text, or finds no tank, source or link in it.
   */
  static async open(network: string, fileName: string): Promise<Hydraulics> {
    const longAt = network.split('\n').findIndex((line) => line.length > LONGEST_LINE);
    if (longAt >= 0) throw broken(fileName, `line ${longAt + 1} is longer than ${LONGEST_LINE} characters`);
    try {
      return await Hydraulics.#open(network, fileName);
    } catch (error) {
      // The engine has no defence against every text. What it did to its own memory goes with it: each network has one to itself.
      if (error instanceof Error && error.name === 'RuntimeError')
        throw broken(fileName, "EPANET's engine breaks on it", error);
      throw error;
    }
  }

  static async #open(network: string, fileName: string): Promise<Hydraulics> {
    const workspace = new Workspace();
    await workspace.loadModule();
    const engine = workspace.instance as unknown as Engine;
    const handle = engine._malloc(8);
    engine._EN_createproject(handle);
    const project = engine.getValue(handle, 'i32');
    engine._free(handle);
    engine.FS.writeFile(INPUT_FILE, network);
    const paths = [INPUT_FILE, REPORT_FILE, ''].map((path) => engine.allocateUTF8(path));
    const code = engine._EN_open(project, paths[0]!, paths[1]!, paths[2]!);
    for (const path of paths) engine._free(path);
    if (code >= FIRST_ERROR_CODE) {
      engine._EN_close(project);
      const words = reportedErrors(engine.FS.readFile(REPORT_FILE, { encoding: 'utf8' }), network);
      engine._EN_deleteproject(project);
      throw new TwinwatchError(
        'PLANT_NETWORK_INVALID',
        `${fileName}: EPANET rejects the network: ${words}. Correct the file; EPANET's own editor shows the same message`,
        { context: { file: fileName, code } },
      );
    }
    const out = engine._malloc(8);
    const count = (what: number) => {
      engine._EN_getcount(project, what, out);
      return engine.getValue(out, 'i32');
    };
    const [nodes, tanks, links] = [count(COUNT_NODES), count(COUNT_TANKS), count(COUNT_LINKS)];
    engine._free(out);
    // EPANET opens any text, even an empty one, without an error: only what it found tells whether it was a network.
    if (nodes < 2 || links < 1 || tanks < 1) {
      engine._EN_close(project);
      engine._EN_deleteproject(project);
      throw new TwinwatchError(
        'PLANT_NETWORK_INVALID',
        `${fileName}: EPANET finds ${nodes} nodes, ${links} links and ${tanks} tanks or reservoirs in it; ` +
          'a network has at least 2, 1 and 1. Is it an EPANET input file (.inp)?',
        { context: { file: fileName, nodes, links, tanks } },
      );
    }
    const hydraulics = new Hydraulics(engine, project, nodes, links);
    hydraulics.#removeControls();
    return hydraulics;
  }

  #removeControls(): void {
    const quiet = this.#engine.allocateUTF8('MESSAGES NO');
    this.#engine._EN_setreport(this.#project, quiet);
    this.#engine._free(quiet);
    for (let i = this.#count(COUNT_CONTROLS); i >= 1; i--) this.#engine._EN_deletecontrol(this.#project, i);
    for (let i = this.#count(COUNT_RULES); i >= 1; i--) this.#engine._EN_deleterule(this.#project, i);
  }

  #count(what: number): number {
    this.#engine._EN_getcount(this.#project, what, this.#out);
    return this.#engine.getValue(this.#out, 'i32');
  }

  #id(id: string, find: (project: number, id: number, out: number) => number): number | null {
    const text = this.#engine.allocateUTF8(id);
    const code = find(this.#project, text, this.#out);
    this.#engine._free(text);
    return code === 0 ? this.#engine.getValue(this.#out, 'i32') : null;
  }

  /** Indices count from 1, as EPANET's do; null where the network has no such id. */
  nodeIndex(id: string): number | null {
    return this.#id(id, this.#engine._EN_getnodeindex);
  }
  linkIndex(id: string): number | null {
    return this.#id(id, this.#engine._EN_getlinkindex);
  }
  patternIndex(id: string): number | null {
    return this.#id(id, this.#engine._EN_getpatternindex);
  }

  isTank(node: number): boolean {
    this.#engine._EN_getnodetype(this.#project, node, this.#out);
    return this.#engine.getValue(this.#out, 'i32') === NODE_TYPE_TANK;
  }
  isPipe(link: number): boolean {
    return this.#linkType(link) <= LINK_TYPE_PIPE_MAXIMUM;
  }
  isPump(link: number): boolean {
    return this.#linkType(link) === LINK_TYPE_PUMP;
  }
  get linkCount(): number {
    return this.#links;
  }
  #linkType(link: number): number {
    this.#engine._EN_getlinktype(this.#project, link, this.#out);
    return this.#engine.getValue(this.#out, 'i32');
  }

  /** The pattern's multipliers and the seconds each of them holds, as the file has them. */
  pattern(index: number): { multipliers: number[]; stepSeconds: number } {
    const engine = this.#engine;
    engine._EN_gettimeparam(this.#project, TIME_PATTERN_STEP, this.#out);
    const stepSeconds = engine.getValue(this.#out, 'i32');
    engine._EN_getpatternlen(this.#project, index, this.#out);
    const length = engine.getValue(this.#out, 'i32');
    const multipliers = Array.from({ length }, (_, i) => {
      engine._EN_getpatternvalue(this.#project, index, i + 1, this.#out);
      return engine.getValue(this.#out, 'double');
    });
    return { multipliers, stepSeconds };
  }

  /** What the network is made of. */
  structure(): NetworkStructure {
    return readStructure(this.#engine, this.#project, this.#nodes, this.#links);
  }

  /** Makes the pattern one constant, to be changed with setMultiplier between steps. */
  flattenPattern(index: number): void {
    this.#engine.HEAPF64[this.#values >> 3] = 1;
    this.#engine._EN_setpattern(this.#project, index, this.#values, 1);
  }
  setMultiplier(index: number, multiplier: number): void {
    this.#engine._EN_setpatternvalue(this.#project, index, 1, multiplier);
  }

  scaleRoughness(link: number, factor: number): void {
    this.#engine._EN_getlinkvalue(this.#project, link, LINK_ROUGHNESS, this.#out);
    const roughness = this.#engine.getValue(this.#out, 'double');
    this.#engine._EN_setlinkvalue(this.#project, link, LINK_ROUGHNESS, roughness * factor);
  }

  /** Only before start(). */
  setInitialLevel(tank: number, levelMetres: number): void {
    this.#engine._EN_setnodevalue(this.#project, tank, NODE_TANK_LEVEL, levelMetres);
  }

  elevation(node: number): number {
    this.#engine._EN_getnodevalue(this.#project, node, NODE_ELEVATION, this.#out);
    return this.#engine.getValue(this.#out, 'double');
  }

  /** Head of a node in m: of a tank at the present instant, of a junction at the last solved one. */
  head(node: number): number {
    this.#engine._EN_getnodevalue(this.#project, node, NODE_HEAD, this.#out);
    return this.#engine.getValue(this.#out, 'double');
  }

  /** Opens a link and sets a pump's relative speed; speed is of no meaning for a valve. */
  open(link: number, pump: boolean, speed: number): void {
    this.#engine._EN_setlinkvalue(this.#project, link, pump ? LINK_SETTING : LINK_STATUS, pump ? speed : 1);
  }
  shut(link: number): void {
    this.#engine._EN_setlinkvalue(this.#project, link, LINK_STATUS, 0);
  }

  /** Pressures of all nodes in m [node index − 1]; a view that the next read overwrites. */
  pressures(): Float64Array {
    this.#engine._EN_getnodevalues(this.#project, NODE_PRESSURE, this.#values);
    return this.#engine.HEAPF64.subarray(this.#values >> 3, (this.#values >> 3) + this.#nodes);
  }
  /** Flows of all links [link index − 1]; a view that the next read overwrites. */
  flows(): Float64Array {
    this.#engine._EN_getlinkvalues(this.#project, LINK_FLOW, this.#values);
    return this.#engine.HEAPF64.subarray(this.#values >> 3, (this.#values >> 3) + this.#links);
  }

  /** Begins an extended-period run with steps of at most `stepSeconds`. */
  start(stepSeconds: number): void {
    const { _EN_settimeparam: set } = this.#engine;
    set(this.#project, TIME_DURATION, DURATION_SECONDS);
    // EPANET shortens the hydraulic step to the pattern and report steps it finds when the hydraulic step is set.
    set(this.#project, TIME_PATTERN_STEP, Math.max(stepSeconds, 3_600));
    set(this.#project, TIME_REPORT_STEP, stepSeconds);
    set(this.#project, TIME_HYDRAULIC_STEP, stepSeconds);
    this.#check(this.#engine._EN_openH(this.#project));
    this.#check(this.#engine._EN_initH(this.#project, 0));
    this.#secondsSinceStart = 0;
  }

  /** Solves flows and pressures at the present instant. @throws TwinwatchError PLANT_HYDRAULICS_FAILED */
  solve(): void {
    this.#check(this.#engine._EN_runH(this.#project, this.#out));
  }

  /** Moves on to `seconds` after the start, through the instants at which a tank becomes full or empty. Call after solve(). */
  advanceTo(seconds: number): void {
    for (;;) {
      this.#check(this.#engine._EN_nextH(this.#project, this.#out));
      this.#secondsSinceStart += this.#engine.getValue(this.#out, 'i32');
      if (this.#secondsSinceStart >= seconds) return;
      this.solve();
    }
  }

  #check(code: number): void {
    if (code === 0) return;
    if (code >= FIRST_ERROR_CODE) {
      const hour = (this.#secondsSinceStart / 3_600).toFixed(2);
      throw new TwinwatchError(
        'PLANT_HYDRAULICS_FAILED',
        `EPANET failed ${hour} h after the start of the simulation: ${this.#describe(code)}. ` +
          'Check the network file, and whether the attack or the demand leaves it solvable',
        { context: { code, hour } },
      );
    }
    this.#warnings.set(code, (this.#warnings.get(code) ?? 0) + 1);
  }

  #describe(code: number): string {
    const length = 256;
    const text = this.#engine._malloc(length);
    this.#engine._EN_geterror(code, text, length - 1);
    const words = this.#engine.UTF8ToString(text).trim();
    this.#engine._free(text);
    return words === '' ? `code ${code}` : words;
  }

  /** EPANET's warnings so far, in its words, with the number of instants at which each was given. */
  warnings(): Map<string, number> {
    return new Map([...this.#warnings].map(([code, count]) => [this.#describe(code), count]));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#engine._EN_closeH(this.#project);
    this.#engine._EN_close(this.#project);
    this.#engine._EN_deleteproject(this.#project);
    this.#engine._free(this.#out);
    this.#engine._free(this.#values);
  }
}

function broken(file: string, why: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError('PLANT_NETWORK_INVALID', `${file}: ${why}. Is it an EPANET input file (.inp)?`, {
    context: { file },
    cause,
  });
}

/** The lines of EPANET's report that say what is wrong, as one sentence, with the numbers of the lines in the network file that they repeat. */
function reportedErrors(report: string, network: string): string {
  const lines = report.split('\n').map((line) => line.trim());
  const errors: string[] = [];
  for (const [i, line] of lines.entries()) {
    if (!/^Error \d+/.test(line) || line.startsWith('Error 200')) continue;
    const source = line.endsWith(':') ? (lines[i + 1] ?? '') : '';
    const at = source === '' ? 0 : network.split('\n').findIndex((text) => bare(text) === bare(source)) + 1;
    errors.push(`${at > 0 ? `line ${at}: ` : ''}${line} ${source}`.trim());
  }
  const shown = errors.slice(0, 5).join('; ');
  return errors.length > 5 ? `${shown}; and ${errors.length - 5} more` : shown === '' ? 'no reason given' : shown;
}

/** As EPANET repeats a line: without comment, one space between words. */
function bare(line: string): string {
  return line.replace(/;.*/, '').trim().split(/\s+/).join(' ');
}
