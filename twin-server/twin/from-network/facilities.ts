import type { NetworkStructure } from '../network-structure.js';

/** Which PLC each node and switched link of a network belongs to: one to each facility, as a utility would wire it. */

export interface Facilities {
  /** [PLCs] What stands there, for people: ids of links and tanks. */
  readonly members: readonly (readonly string[])[];
  /** [nodes] Index of the PLC that is nearest, counted in links. */
  readonly ofNode: readonly number[];
  /** Link id → index of its PLC. */
  readonly ofLink: ReadonlyMap<string, number>;
}

/** The longest pipe between two pieces of equipment of one site: ours to choose, between pump headers (some 10 m) and streets. */
const YARD_PIPE = { m: 30, ft: 100 };

/**
 * Pumps and valves are one facility where they share a node or stand a yard pipe apart, and so is a tank beside them.
 * @param equipment indices of the links that are switched or metered.
 */
export function groupFacilities(
  { nodes, links, lengthUnit }: NetworkStructure,
  equipment: readonly number[],
): Facilities {
  const leader = nodes.map((_, node) => node);
  const find = (node: number): number => (leader[node] === node ? node : find(leader[node]!));
  const join = (a: number, b: number) => {
    const [low, high] = [find(a), find(b)].sort((x, y) => x - y) as [number, number];
    leader[high] = low;
  };
  for (const index of equipment) join(links[index]!.from, links[index]!.to);
  const equipped = new Set(equipment.flatMap((index) => [links[index]!.from, links[index]!.to]));
  const isEquipped = (node: number) => equipped.has(node) || nodes[node]!.type === 'tank';
  for (const { type, from, to, length } of links)
    if (type === 'pipe' && length <= YARD_PIPE[lengthUnit] && isEquipped(from) && isEquipped(to)) join(from, to);
  const tanks = nodes.flatMap(({ type }, node) => (type === 'tank' ? [node] : []));
  const roots: number[] = [];
  const plcOf = (node: number): number => {
    const root = find(node);
    if (!roots.includes(root)) roots.push(root);
    return roots.indexOf(root);
  };
  const ofLink = new Map(equipment.map((index) => [links[index]!.id, plcOf(links[index]!.from)]));
  const ofTank = new Map(tanks.map((node) => [node, plcOf(node)]));
  const members = roots.map((_, plc) => [
    ...[...ofLink].flatMap(([id, at]) => (at === plc ? [id] : [])),
    ...[...ofTank].flatMap(([node, at]) => (at === plc ? [nodes[node]!.id] : [])),
  ]);
  const seeds = nodes.map((_, node) => (roots.includes(find(node)) ? roots.indexOf(find(node)) : -1));
  return { members: members.length > 0 ? members : [[]], ofNode: nearest(seeds, links), ofLink };
}

/** Breadth first from all seeds at once; 0 where a node is reached from none. */
function nearest(seeds: readonly number[], links: NetworkStructure['links']): number[] {
  const found = [...seeds];
  const neighbours = new Map<number, number[]>();
  const add = (a: number, b: number) => neighbours.set(a, [...(neighbours.get(a) ?? []), b]);
  for (const { from, to } of links) {
    add(from, to);
    add(to, from);
  }
  const queue = [...found.keys()].filter((node) => found[node] !== -1);
  for (let next = queue.shift(); next !== undefined; next = queue.shift())
    for (const other of neighbours.get(next) ?? [])
      if (found[other] === -1) {
        found[other] = found[next]!;
        queue.push(other);
      }
  return found.map((plc) => Math.max(0, plc));
}
