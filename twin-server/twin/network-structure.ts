import type { Engine } from './epanet-engine.js';

/** EPANET's codes that are used here; the numbers are those of its toolkit's header. */
const NODE_TANK_DIAMETER = 17;
const NODE_MINIMUM_VOLUME = 18;
const NODE_MINIMUM_LEVEL = 20;
const NODE_MAXIMUM_LEVEL = 21;
const NODE_MAXIMUM_VOLUME = 25;
const NODE_TYPE_JUNCTION = 0;
const NODE_TYPE_RESERVOIR = 1;
const NODE_ELEVATION = 0;
const LINK_LENGTH = 1;
const LINK_INITIAL_STATUS = 4;
const LINK_INITIAL_SETTING = 5;
const OPTION_DEMAND_MULTIPLIER = 4;
const LONGEST_ID = 32;

/** One flow unit in volume per second, the volume in the cube of the file's length unit (ft³ or m³), in the order of EPANET's codes. */
const VOLUME_PER_SECOND: readonly number[] = [
  1, // CFS
  0.002_228_009_3, // GPM
  1.547_228_65, // MGD
  1.858_144_2, // IMGD
  0.504_166_7, // acre-feet a day
  1e-3, // L/s
  1e-3 / 60, // L/min
  1e3 / 86_400, // ML/d
  1 / 3_600, // m³/h
  1 / 86_400, // m³/d
];

export interface Storage {
  /** Flow, in the file's flow unit, that raises the level by one length unit a second. */
  readonly flowPerRise: number;
}

/** In the order of EPANET's codes. */
const LINK_TYPES = ['check valve', 'pipe', 'pump', 'PRV', 'PSV', 'PBV', 'FCV', 'TCV', 'GPV'] as const;
type LinkType = (typeof LINK_TYPES)[number];

/** In the order of EPANET's codes, as tags have them. */
const FLOW_UNITS = ['cfs', 'gpm', 'MGD', 'IMGD', 'acre·ft/d', 'L/s', 'L/min', 'ML/d', 'm3/h', 'm3/d'] as const;
const LAST_US_UNIT = 4;

export interface NetworkNode {
  readonly id: string;
  readonly type: 'junction' | 'reservoir' | 'tank';
  /** In the file's length unit; of a reservoir its head. */
  readonly elevation: number;
  /** Levels of a tank, in the file's length unit. */
  readonly levels: { readonly lowest: number; readonly highest: number } | null;
  /** Demand categories of a junction: flow at multiplier 1, the file's demand multiplier included, and the pattern's index, 0 for none. */
  readonly demands: readonly { readonly base: number; readonly pattern: number }[];
  readonly storage: Storage | null;
}

export interface NetworkLink {
  readonly id: string;
  readonly type: LinkType;
  /** Index into `nodes`. Flow is positive from `from` to `to`. */
  readonly from: number;
  readonly to: number;
  readonly initiallyClosed: boolean;
  /** Of a pipe, in the file's length unit; 0 of others. */
  readonly length: number;
  /** Relative speed of a pump, setting of a valve, roughness of a pipe. */
  readonly setting: number;
}

/** What a network file is made of, as far as water balances need it. */
export interface NetworkStructure {
  readonly flowUnit: (typeof FLOW_UNITS)[number];
  readonly lengthUnit: 'ft' | 'm';
  readonly nodes: readonly NetworkNode[];
  readonly links: readonly NetworkLink[];
}

export function readStructure(engine: Engine, project: number, nodes: number, links: number): NetworkStructure {
  const out = engine._malloc(LONGEST_ID);
  const second = engine._malloc(8);
  const whole = (call: (out: number) => number) => {
    call(out);
    return engine.getValue(out, 'i32');
  };
  const real = (call: (out: number) => number) => {
    call(out);
    return engine.getValue(out, 'double');
  };
  const text = (call: (out: number) => number) => {
    call(out);
    return engine.UTF8ToString(out);
  };
  const unit = whole((at) => engine._EN_getflowunits(project, at));
  const volumePerSecond = VOLUME_PER_SECOND[unit] ?? 1;
  const demandMultiplier = real((at) => engine._EN_getoption(project, OPTION_DEMAND_MULTIPLIER, at));

  const storageOf = (node: number): Storage => {
    const value = (property: number) => real((at) => engine._EN_getnodevalue(project, node, property, at));
    const height = value(NODE_MAXIMUM_LEVEL) - value(NODE_MINIMUM_LEVEL);
    const volume = value(NODE_MAXIMUM_VOLUME) - value(NODE_MINIMUM_VOLUME);
    // Of a tank with a volume curve this is the mean over its height.
    const area = volume > 0 && height > 0 ? volume / height : (Math.PI / 4) * value(NODE_TANK_DIAMETER) ** 2;
    return { flowPerRise: area / volumePerSecond };
  };
  const demandsOf = (node: number) =>
    Array.from({ length: whole((at) => engine._EN_getnumdemands(project, node, at)) }, (_, i) => ({
      base: demandMultiplier * real((at) => engine._EN_getbasedemand(project, node, i + 1, at)),
      pattern: whole((at) => engine._EN_getdemandpattern(project, node, i + 1, at)),
    })).filter(({ base }) => base !== 0);

  const structure: NetworkStructure = {
    flowUnit: FLOW_UNITS[unit] ?? 'L/s',
    lengthUnit: unit <= LAST_US_UNIT ? 'ft' : 'm',
    nodes: Array.from({ length: nodes }, (_, i): NetworkNode => {
      const kind = whole((at) => engine._EN_getnodetype(project, i + 1, at));
      const type = kind === NODE_TYPE_JUNCTION ? 'junction' : kind === NODE_TYPE_RESERVOIR ? 'reservoir' : 'tank';
      return {
        id: text((at) => engine._EN_getnodeid(project, i + 1, at)),
        type,
        elevation: real((at) => engine._EN_getnodevalue(project, i + 1, NODE_ELEVATION, at)),
        levels:
          type === 'tank'
            ? {
                lowest: real((at) => engine._EN_getnodevalue(project, i + 1, NODE_MINIMUM_LEVEL, at)),
                highest: real((at) => engine._EN_getnodevalue(project, i + 1, NODE_MAXIMUM_LEVEL, at)),
              }
            : null,
        demands: type === 'junction' ? demandsOf(i + 1) : [],
        storage: type === 'tank' ? storageOf(i + 1) : null,
      };
    }),
    links: Array.from({ length: links }, (_, i): NetworkLink => {
      engine._EN_getlinknodes(project, i + 1, out, second);
      const [from, to] = [engine.getValue(out, 'i32') - 1, engine.getValue(second, 'i32') - 1];
      return {
        id: text((at) => engine._EN_getlinkid(project, i + 1, at)),
        type: LINK_TYPES[whole((at) => engine._EN_getlinktype(project, i + 1, at))] ?? 'pipe',
        ...{ from, to },
        length: real((at) => engine._EN_getlinkvalue(project, i + 1, LINK_LENGTH, at)),
        setting: real((at) => engine._EN_getlinkvalue(project, i + 1, LINK_INITIAL_SETTING, at)),
        initiallyClosed: real((at) => engine._EN_getlinkvalue(project, i + 1, LINK_INITIAL_STATUS, at)) === 0,
      };
    }),
  };
  engine._free(out);
  engine._free(second);
  return structure;
}
