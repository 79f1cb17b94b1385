import type { Balance, BalanceTerm } from '@twinwatch/core/calibration/profile';
import type { Hydraulics } from '../hydraulics.js';
import type { NetworkLink, NetworkStructure } from '../network-structure.js';
import type { PlantConfig } from '../plant-config.js';
import { type DemandPattern, patternAt } from './demand-model.js';

const HOUR_MS = 3_600_000;
const HOURS_PER_WEEK = 168;

/** What the network says of demands and what the tags can tell of them. Flows in the network file's unit. */
export interface NetworkBalances {
  readonly balances: readonly Balance[];
  /** [balances][districts] demand at multiplier 1. */
  readonly shares: readonly (readonly number[])[];
  /** [balances][168] demand that belongs to no district of the plant file. */
  readonly others: readonly (readonly number[])[];
  /** [districts][168] the network file's own multipliers. */
  readonly patterns: readonly (readonly number[])[];
  /** Parts of the network with demand but without a balance, and what is missing for one. For a person. */
  readonly unseen: readonly string[];
}

interface Area {
  readonly nodes: number[];
  readonly flows: BalanceTerm[];
}

/**
 * Cuts the network at every link whose flow is a tag. What is drawn in each part that remains is what flows in, less what flows out, less what its
 * tanks store, where all of that is measured: no reservoir within, and the level of every tank a tag.
 */
export function networkBalances(config: PlantConfig, hydraulics: Hydraulics): NetworkBalances {
  const structure = hydraulics.structure();
  const flowTags = new Map(config.tags.flatMap((tag) => (tag.measures === 'flow' ? [[tag.element, tag.name]] : [])));
  const levelTags = new Map(config.tags.flatMap((tag) => (tag.measures === 'level' ? [[tag.element, tag.name]] : [])));
  const areas = areasOf(structure, flowTags, new Set(config.controls.map(({ actuator }) => actuator)));
  const districts = config.districts.map(({ pattern }) => hydraulics.patternIndex(pattern));
  const ownPattern = (index: number): number[] => {
    if (index === 0) return Array.from({ length: HOURS_PER_WEEK }, () => 1);
    const { multipliers, stepSeconds } = hydraulics.pattern(index);
    return weekly({ multipliers, stepMs: stepSeconds * 1_000 });
  };

  const seen: { balance: Balance; shares: number[]; others: number[] }[] = [];
  const unseen: string[] = [];
  for (const { nodes, flows } of areas) {
    const shares = districts.map(() => 0);
    const others = Array.from({ length: HOURS_PER_WEEK }, () => 0);
    const storages: BalanceTerm[] = [];
    const missing: string[] = [];
    for (const node of nodes.map((i) => structure.nodes[i]!)) {
      for (const { base, pattern } of node.demands) {
        const district = pattern > 0 ? districts.indexOf(pattern) : -1;
        if (district >= 0) shares[district]! += base;
        else for (const [hour, multiplier] of ownPattern(pattern).entries()) others[hour]! += base * multiplier;
      }
      if (node.type === 'reservoir') missing.push(`reservoir ${node.id} feeds it unmeasured`);
      if (node.storage === null) continue;
      const tag = levelTags.get(node.id);
      if (tag === undefined) missing.push(`the level of ${node.id} is no tag`);
      else storages.push({ tag, coefficient: -node.storage.flowPerRise });
    }
    if (shares.every((share) => share === 0)) continue;
    const name = config.districts.flatMap(({ name: district }, d) => (shares[d]! > 0 ? [district] : [])).join('+');
    if (missing.length > 0) unseen.push(`${name}: ${missing.join(', ')}`);
    else seen.push({ balance: { name, flows, storages }, shares, others });
  }
  const names = uniqueNames(seen.map(({ balance }) => balance.name));
  return {
    balances: seen.map(({ balance }, i) => ({ ...balance, name: names[i]! })),
    shares: seen.map(({ shares }) => shares),
    others: seen.map(({ others }) => others),
    patterns: districts.map((index) => ownPattern(index ?? 0)),
    unseen,
  };
}

/** Nodes that hang together without passing a measured link, and the measured links at their edge: positive into the area. */
function areasOf(
  { nodes, links }: NetworkStructure,
  flowTags: ReadonlyMap<string, string>,
  controlled: ReadonlySet<string>,
): Area[] {
  const parent = nodes.map((_, i) => i);
  const root = (node: number): number => {
    let at = node;
    while (parent[at] !== at) {
      parent[at] = parent[parent[at]!]!;
      at = parent[at]!;
    }
    return at;
  };
  // A link that is shut and that nothing opens is no connection.
  const connects = ({ id, initiallyClosed }: NetworkLink) =>
    !flowTags.has(id) && (!initiallyClosed || controlled.has(id));
  for (const link of links) if (connects(link)) parent[root(link.from)] = root(link.to);
  const areas = new Map<number, Area>();
  for (const [i] of nodes.entries()) {
    const area = areas.get(root(i)) ?? { nodes: [], flows: [] };
    area.nodes.push(i);
    areas.set(root(i), area);
  }
  for (const { id, from, to } of links) {
    const tag = flowTags.get(id);
    if (tag === undefined || root(from) === root(to)) continue;
    areas.get(root(to))!.flows.push({ tag, coefficient: 1 });
    areas.get(root(from))!.flows.push({ tag, coefficient: -1 });
  }
  return [...areas.values()];
}

function weekly(pattern: DemandPattern): number[] {
  return Array.from({ length: HOURS_PER_WEEK }, (_, hour) => patternAt(pattern, (hour + 0.5) * HOUR_MS));
}

/** Two parts of one district get numbers. */
function uniqueNames(names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  return names.map((name) => {
    const before = counts.get(name) ?? 0;
    counts.set(name, before + 1);
    return names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} ${before + 1}`;
  });
}
