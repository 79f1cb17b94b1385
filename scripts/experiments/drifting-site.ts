import type { Row } from '@twinwatch/core/scada/sample';
import { attackAt, type CatalogueAttack } from '@twinwatch/twin-server/twin/attacks';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import type { LoadedPlant } from '@twinwatch/twin-server/twin/plant-config';

/** Sites of the reference plant that come to run otherwise than their twin, for good reasons. */

interface Drift {
  /** What changes in the network, as EPANET reads it. */
  readonly network: (text: string) => string;
  /** What operators do on each of the plant's next days. */
  readonly operate: (plant: Plant, days: number) => void;
}

export type DriftName = 'demand' | 'maintenance';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Demand of the valley when its works go over to night shifts: the same pattern so many hours later, and so much more of it. */
const SHIFT_HOURS = 8;
const SHIFT_DEMAND = 1.4;
/** When pump PU1 is serviced and the station runs on the other alone, every weekday. */
const SERVICE = { pump: 'PU1', fromHour: 9, hours: 4 } as const;

const DRIFTS: Readonly<Record<DriftName, Drift>> = {
  demand: { network: withNightShifts, operate: () => undefined },
  maintenance: { network: (text) => text, operate: service },
};

export const driftNamed = (name: DriftName): Drift => DRIFTS[name];

/** The plant as it is after the change. */
export function driftOf(drift: Drift, { config, network }: LoadedPlant): Pick<LoadedPlant, 'config' | 'network'> {
  return { config, network: drift.network(network) };
}

export interface SiteDays {
  readonly commissioned: number;
  readonly watched: number;
  readonly later: number;
}

/**
 * Rows of one site: as its twin has it while it is commissioned, then changed. A day lies between, in which nobody looks: the plant starts anew, and
 * its windows with it.
 */
export async function siteDays(
  plant: LoadedPlant,
  { seed, drift, days }: { readonly seed: number; readonly drift: Drift | null; readonly days: SiteDays },
): Promise<{ commissioned: Row[]; watched: Row[]; later: Row[] }> {
  const { config } = plant;
  const before = await Plant.open({ config, network: plant.network, variation: { seed } });
  const commissioned = run(before, days.commissioned, config.interval);
  const startMs = before.nextRowMs + DAY_MS;
  before.close();
  const network = drift === null ? plant.network : drift.network(plant.network);
  const after = await Plant.open({ config, network, variation: { seed }, startMs });
  drift?.operate(after, days.watched + days.later);
  const watched = run(after, days.watched, config.interval);
  const later = run(after, days.later, config.interval);
  after.close();
  return { commissioned, watched, later };
}

function run(plant: Plant, days: number, intervalMs: number): Row[] {
  const count = Math.round((days * DAY_MS) / intervalMs);
  return Array.from({ length: count }, (_, i) => {
    const { timeMs, scada } = plant.step();
    return { timeMs, sequence: i + 1, values: scada };
  });
}

/** The reference plant's valley is district B; its pattern has one multiplier per hour of the day. */
function withNightShifts(network: string): string {
  const line = /^(\s*DISTRICT_B\s+)((?:[\d.]+\s*){6})$/gm;
  const multipliers = [...network.matchAll(line)].flatMap(([, , numbers]) => numbers!.trim().split(/\s+/).map(Number));
  let at = 0;
  return network.replace(line, (_whole, head: string) => {
    const hours = Array.from({ length: 6 }, () => {
      const from = (at++ - SHIFT_HOURS + multipliers.length) % multipliers.length;
      return (multipliers[from]! * SHIFT_DEMAND).toFixed(3);
    });
    return head + hours.join('  ');
  });
}

/** As an attack that holds the pump off would: to SCADA it looks the same, which is what makes it hard. */
function service(plant: Plant, days: number): void {
  const midnightMs = Math.floor(plant.nextRowMs / DAY_MS) * DAY_MS;
  for (let day = 0; day < days; day++) {
    const dayMs = midnightMs + day * DAY_MS;
    const weekday = new Date(dayMs).getUTCDay();
    const startMs = dayMs + SERVICE.fromHour * HOUR_MS;
    if (weekday === 0 || weekday === 6 || startMs < plant.nextRowMs) continue;
    const effects = [
      { kind: 'force', actuator: SERVICE.pump, state: 'off', after: 0 },
    ] satisfies CatalogueAttack['effects'];
    const duration = SERVICE.hours * HOUR_MS;
    plant.schedule(attackAt({ name: 'service', title: '', duration, effects, concealment: [] }, startMs));
  }
}
