import type { FuzzTarget } from './target.js';

/** By group, each loaded when it is needed: a process that throws inputs at one decoder does not load the others. */
const groups = {
  wire: async () => (await import('./wire-targets.js')).wireTargets,
  config: async () => (await import('./config-targets.js')).configTargets,
  device: async () => (await import('./device-targets.js')).deviceTargets,
  service: async () => (await import('./service-targets.js')).serviceTargets,
} satisfies Record<string, () => Promise<readonly FuzzTarget[]>>;

export interface TargetName {
  readonly group: string;
  readonly name: string;
  readonly isSlow: boolean;
}

export async function targetNames(): Promise<TargetName[]> {
  const named = Object.entries(groups).map(async ([group, load]) =>
    (await load()).map(({ name, isSlow = false }) => ({ group, name, isSlow })),
  );
  return (await Promise.all(named)).flat();
}

export async function targetOf(group: string, name: string): Promise<FuzzTarget> {
  const load = Object.hasOwn(groups, group) ? groups[group as keyof typeof groups] : null;
  const target = (await load?.())?.find((one) => one.name === name);
  if (target === undefined) throw new Error(`no target '${name}' in '${group}'`);
  return target;
}
