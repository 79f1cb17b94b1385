import { createRandom, type Random } from '@twinwatch/core/learning/random';
import { type ActiveFault, type Fault, factorOf, rampOf } from './faults.js';

/**
 * A closed cooling loop, as beside a press or a furnace: one centrifugal pump with a variable speed drive holds the discharge pressure, one control valve
 * holds the temperature of the coolant. Not a part of the product: it stands for whatever simulator the owner of such a loop has.
 *
 * Head a·n² − b·Q² against friction k(valve)·Q² (affinity laws; no static head, the loop is closed); shaft power ρ·g·Q·H/η with η parabolic
 * about the best efficiency point; first-order bearing, coolant and drive; vibration grows with speed, distance from the best efficiency point, wear and vapour.
 */

/** In the order of the columns. */
export const TAGS = [
  'S_RUN',
  'N_SP',
  'N_PV',
  'I_MOT',
  'F_OUT',
  'P_SUC',
  'P_DIS',
  'Z_VLV',
  'T_COOL',
  'T_BRG',
  'V_VIB',
] as const;
export type TagName = (typeof TAGS)[number];
type Values = Record<TagName, number>;

export interface LoopRow {
  readonly timeMs: number;
  /** What the controller reports. [TAGS] */
  readonly values: readonly number[];
  readonly fault: Fault['kind'] | null;
}

/** Physical step; a row is INTERVAL_S apart. */
const STEP_S = 10;
const INTERVAL_S = 60;
const HOUR_S = 3_600;
const DAY_S = 24 * HOUR_S;
/** Flow at the best efficiency point at full speed, m³/h. */
const BEST_FLOW = 60;
/** Suction pressure, bar absolute, below which vapour forms in the impeller, and over how much it takes hold. */
const VAPOUR_BAR = 1.05;
const VAPOUR_BAND_BAR = 0.8;

/** Sensor noise, standard deviation in the tag's unit, and the step of its transmitter. */
const SENSORS: Readonly<Record<TagName, readonly [noise: number, step: number]>> = {
  S_RUN: [0, 1],
  N_SP: [0, 0.1],
  N_PV: [0.05, 0.1],
  I_MOT: [0.15, 0.1],
  F_OUT: [0.25, 0.1],
  P_SUC: [0.006, 0.01],
  P_DIS: [0.015, 0.01],
  Z_VLV: [0.2, 0.1],
  T_COOL: [0.08, 0.1],
  T_BRG: [0.15, 0.1],
  V_VIB: [0.06, 0.01],
};

/** Whose loops differ in size, load, wear and sensors. */
export class PumpLoop {
  readonly #random: Random;
  readonly #is: ReturnType<typeof drawLoop>;
  readonly #state: { speed: number; setpoint: number; valve: number; wanted: number; coolant: number; bearing: number };
  #load = 0;
  #weather = 0;
  #shown: Values | null = null;
  #timeMs: number;
  /** Where the valve slipped to, while it does not obey. */
  #stuck: number | null = null;

  constructor(seed: number | string, startMs: number) {
    const random = createRandom(seed);
    this.#random = random.fork('noise');
    this.#is = drawLoop(random.fork('loop'));
    this.#timeMs = startMs;
    this.#state = { speed: 70, setpoint: 70, valve: 50, wanted: 50, coolant: 32, bearing: 45 };
    // Long enough that temperatures and controllers forget how they started.
    for (let row = 0; row < (6 * HOUR_S) / INTERVAL_S; row++) this.next(null);
    this.#timeMs = startMs;
  }

  /** One row on. `fault` null for normal running. */
  next(fault: ActiveFault | null): LoopRow {
    let physical: Values | null = null;
    for (let s = 0; s < INTERVAL_S; s += STEP_S) physical = this.#step(fault, this.#timeMs / 1_000 + s);
    this.#timeMs += INTERVAL_S * 1_000;
    const measured = this.#measured(physical!);
    const shown = this.#falsified(measured, fault);
    this.#shown = shown;
    return { timeMs: this.#timeMs, values: TAGS.map((tag) => shown[tag]), fault: fault?.fault.kind ?? null };
  }

  #step(fault: ActiveFault | null, seconds: number): Values {
    const { kind } = fault?.fault ?? { kind: null };
    const ramp = fault === null ? 0 : rampOf(fault);
    const state = this.#state;
    const is = this.#is;
    const random = this.#random;
    this.#load += (STEP_S / (2 * HOUR_S)) * -this.#load + Math.sqrt((2 * STEP_S) / (2 * HOUR_S)) * 12 * random.normal();
    this.#weather += (STEP_S / DAY_S) * -this.#weather + Math.sqrt((2 * STEP_S) / DAY_S) * 2.5 * random.normal();
    const heatKw = is.heat * shiftShare(seconds) + this.#load;
    const ambient = is.ambient + 4 * Math.sin((2 * Math.PI * (seconds - 9 * HOUR_S)) / DAY_S) + this.#weather;

    // What flows: a·n² − b·Q² = k·Q², the valve equal-percentage.
    const n = state.speed / 100;
    const opening = 30 ** (state.valve / 100 - 1);
    const vapour = this.#vapourOf(fault, ramp);
    const head = is.head * (1 - 0.35 * vapour * (0.6 + 0.4 * random.next()));
    const friction = is.pipe + is.valve / opening ** 2;
    const flow = n * Math.sqrt(head / (is.curve + friction)) * BEST_FLOW;
    const rise = (head * n * n - is.curve * (flow / BEST_FLOW) ** 2) * 0.0981;
    const clog = kind === 'cavitation' ? 1 + ramp * fault!.fault.size * 12 : 1;
    const suction = is.suction - 0.18 * clog * (flow / BEST_FLOW) ** 2;
    const discharge = Math.max(0, suction) + rise;

    const wear = kind === 'bearing-wear' ? 1 + ramp * 3 * fault!.fault.size : 1;
    const off = flow / (BEST_FLOW * Math.max(n, 0.05)) - 1;
    const efficiency = Math.max(0.2, is.efficiency * (1 - 0.6 * off * off));
    const shaftKw = (rise * 100 * flow) / 3_600 / efficiency + 0.35 * wear * n ** 1.5;
    const current = Math.hypot(is.idleAmps * n, shaftKw * is.ampsPerKw);

    state.bearing += (STEP_S / 1_500) * (ambient + 14 * n ** 1.5 + 9 * wear * n - state.bearing);
    const removed = is.cooler * (flow / BEST_FLOW) ** 0.8 * Math.max(0, state.coolant - ambient);
    state.coolant += (STEP_S / is.storeKj) * (heatKw - removed);
    const vibration =
      is.shake * (0.9 * n * n + 1.6 * off * off + 0.55 * (wear - 1)) + 3.2 * vapour + 0.12 * Math.abs(random.normal());

    // Controllers see what the sensors say; a tampered one is told something else.
    const { pressure, coolant } = is.setpoints;
    const pressureError = pressure * factorOf(fault, 'setpoint-tampering', ramp) - discharge;
    state.setpoint = clamp(state.setpoint + STEP_S * 0.25 * pressureError, 35, 100);
    const demanded =
      kind === 'drive-tampering' ? state.setpoint * (1 - 0.3 * fault!.fault.size * ramp) : state.setpoint;
    state.speed += (STEP_S / 8) * (demanded - state.speed) * 0.8;
    state.wanted = clamp(state.wanted + STEP_S * 0.004 * (state.coolant - coolant), 8, 100);
    if (fault?.fault.kind === 'valve-stuck')
      this.#stuck ??= clamp(state.valve + 40 * fault.fault.size * fault.fault.direction, 8, 100);
    else this.#stuck = null;
    state.valve += (STEP_S / 30) * ((this.#stuck ?? state.wanted) - state.valve);

    return {
      ...{ S_RUN: 1, N_SP: state.setpoint, N_PV: state.speed, I_MOT: current, F_OUT: flow, P_SUC: suction },
      ...{ P_DIS: discharge, Z_VLV: state.valve, T_COOL: state.coolant, T_BRG: state.bearing, V_VIB: vibration },
    };
  }

  /** 0 for liquid, towards 1 where the suction pressure has fallen to vapour pressure. */
  #vapourOf(fault: ActiveFault | null, ramp: number): number {
    if (fault?.fault.kind !== 'cavitation') return 0;
    const flowShare = this.#state.speed / 100;
    const suction = this.#is.suction - 0.18 * (1 + ramp * fault.fault.size * 12) * flowShare ** 2;
    return clamp((VAPOUR_BAR - suction) / VAPOUR_BAND_BAR, 0, 1);
  }

  #measured(physical: Values): Values {
    const measured = { ...physical };
    for (const tag of TAGS) {
      const [noise, step] = SENSORS[tag];
      const value = physical[tag] + noise * this.#is.noise * this.#random.normal();
      measured[tag] = Math.round(Math.max(0, value) / step) * step;
    }
    return measured;
  }

  /** What the operator is shown: a frozen transmitter's last value, a drive that says it does as it was told. */
  #falsified(measured: Values, fault: ActiveFault | null): Values {
    if (fault === null) return measured;
    const { kind, tag } = fault.fault;
    if (kind === 'sensor-freeze' && this.#shown !== null) return { ...measured, [tag]: this.#shown[tag] };
    if (kind === 'drive-tampering') return { ...measured, N_PV: measured.N_SP };
    return measured;
  }
}

/** In what loops of this kind differ. */
function drawLoop(random: Random) {
  const about = (value: number, share: number) => value * (1 + share * (2 * random.next() - 1));
  return {
    ...{ head: about(46, 0.03), curve: about(14, 0.05), pipe: about(9, 0.1), valve: about(0.9, 0.1) },
    ...{ suction: about(1.5, 0.04), efficiency: about(0.72, 0.03), ampsPerKw: about(1.9, 0.02) },
    ...{ idleAmps: about(6, 0.05), shake: about(1, 0.15), noise: about(1, 0.2) },
    ...{ heat: about(150, 0.08), ambient: about(19, 0.1), cooler: about(17, 0.06), storeKj: about(9_000, 0.1) },
    setpoints: { pressure: about(3, 0.03), coolant: about(33, 0.02) },
  };
}

/** Two shifts on weekdays, little on Saturday, less on Sunday; an hour to change over. */
function shiftShare(seconds: number): number {
  const day = Math.floor(seconds / DAY_S + 3) % 7;
  const hour = (seconds % DAY_S) / HOUR_S;
  const busy = clamp(Math.min(hour - 5.5, 22.5 - hour), 0, 1);
  const most = day < 5 ? 1 : day === 5 ? 0.6 : 0.45;
  return 0.45 + (most - 0.45) * busy;
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
