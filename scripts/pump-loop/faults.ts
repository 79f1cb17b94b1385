import type { Random } from '@twinwatch/core/learning/random';
import type { TagName } from './pump-loop.js';

/** What goes wrong with a pump loop, by itself or by hand. */

export const FAULTS = [
  'cavitation',
  'bearing-wear',
  'sensor-freeze',
  'valve-stuck',
  'setpoint-tampering',
  'drive-tampering',
] as const;

export interface Fault {
  readonly kind: (typeof FAULTS)[number];
  /** 0 to 1: from hard to see to gross. */
  readonly size: number;
  readonly rows: number;
  /** Rows until it has its full size: a clogging strainer takes longer than a rewritten setpoint. */
  readonly rampRows: number;
  /** +1 or −1: of a rewritten setpoint, or of a valve that slips and sticks. */
  readonly direction: number;
  /** Of a transmitter that freezes. */
  readonly tag: TagName;
}

export interface ActiveFault {
  readonly fault: Fault;
  /** Rows since its onset. */
  readonly row: number;
}

const FREEZING = ['F_OUT', 'P_DIS', 'I_MOT', 'T_COOL'] as const satisfies readonly TagName[];

/** At rows of a minute: half an hour to six hours. */
export function drawFault(random: Random, kind: Fault['kind']): Fault {
  const rows = Math.round(30 * 12 ** random.next());
  const gradual = kind === 'cavitation' || kind === 'bearing-wear';
  return {
    kind,
    rows,
    size: 0.35 + 0.65 * random.next(),
    rampRows: gradual ? Math.round(rows * (0.2 + 0.3 * random.next())) : 1,
    direction: random.next() < 0.5 ? 1 : -1,
    tag: FREEZING[random.integer(FREEZING.length)]!,
  };
}

/** 0 to 1. */
export function rampOf({ fault, row }: ActiveFault): number {
  return Math.min(1, (row + 1) / fault.rampRows);
}

/** What a setpoint is multiplied by. */
export function factorOf(active: ActiveFault | null, kind: Fault['kind'], ramp: number): number {
  if (active?.fault.kind !== kind) return 1;
  return 1 + active.fault.direction * 0.3 * active.fault.size * ramp;
}
