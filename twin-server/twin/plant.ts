import { TwinwatchError } from '@twinwatch/core/errors';
import { createRandom, type Random } from '@twinwatch/core/learning/random';
import type { Tag } from '@twinwatch/core/scada/tag';
import { type AttackInstance, type Concealment, checkAttack, type Effect } from './attacks.js';
import { createDemandModel, type DemandModel } from './demand/demand-model.js';
import { Hydraulics } from './hydraulics.js';
import { layOut, type NetworkLayout } from './network-layout.js';
import { type PlantConfig, plantTags } from './plant-config.js';
import { actuated, falsified, rewritten, scanLatch } from './plc-logic.js';
import { ScadaView } from './scada-view.js';

/** In what one instance of a plant differs from another. What is absent is drawn by the seed from the plant file's ranges. */
export interface Variation {
  readonly seed: number | string;
  /** Factor on all demands. */
  readonly demandScale?: number | undefined;
  /** Standard deviation of the logarithm of demand within the day. */
  readonly demandNoise?: number | undefined;
  /** Factor on the roughness coefficient of all pipes. */
  readonly roughnessScale?: number | undefined;
  /** Factor on the noise of all sensors. */
  readonly sensorNoise?: number | undefined;
}

export interface PlantOptions {
  readonly config: PlantConfig;
  /** Text of the EPANET input file. */
  readonly network: string;
  readonly variation: Variation;
  /** Time of the first row; the start of the demand patterns where absent. */
  readonly startMs?: number | undefined;
}

/** One SCADA interval: three views of the same instant, each [tags] in the order of the plant file. */
export interface PlantRow {
  readonly timeMs: number;
  /** What is so. */
  readonly physical: Float64Array;
  /** What a PLC works with: its own sensors and what others send it; NaN for every other tag. To be asked for before the next step. */
  plc(name: string): Float64Array;
  /** What an operator's screens and historian get when they ask the PLCs. */
  readonly scada: Float64Array;
  /** The attack that is active, the row's label. */
  readonly attack: string | null;
  /**
   * Whether that attack has made any difference since it began: switched something otherwise than without it, slowed a running
   * pump, or shown SCADA a value that no sensor gave. Until then no detector could know of it.
   */
  readonly visible: boolean;
}

interface ActuatorState {
  latched: boolean;
  /** The latch as it would be without the present attacks. */
  honest: boolean;
  /** What was last told to the engine. */
  on: boolean | null;
  speed: number;
}

/** A flow meter shows exactly 0 below this, in the network's flow unit. */
const FLOW_CUT_OFF = 1e-3;

/**
 * One instance of a plant, in simulated time: hydraulics, the PLCs' programs, sensors, and attacks between them.
 * The same options and attacks give the same rows.
 */
export class Plant {
  readonly tags: readonly Tag[];
  readonly #config: PlantConfig;
  readonly #hydraulics: Hydraulics;
  readonly #layout: NetworkLayout;
  readonly #demands: DemandModel;
  readonly #scada: ScadaView;
  readonly #wear: readonly number[];
  readonly #noise: readonly number[];
  readonly #scanRandom: Random;
  readonly #rowRandom: Random;
  readonly #tagIndex: ReadonlyMap<string, number>;
  /** Tags that control rules use: read at every scan, the others at every row. */
  readonly #scanned: readonly number[];
  readonly #unscanned: readonly number[];
  readonly #scansMoreThanLevels: boolean;
  /** [controls] What each control's PLC works with for a tag. */
  readonly #readers: readonly ((tag: string) => number)[];
  readonly #actuators: ActuatorState[];
  readonly #readings: Float64Array;
  /** The readings as they are before sensor effects. */
  readonly #trueReadings: Float64Array;
  readonly #physical: Float64Array;
  readonly #frozen = new Map<Effect, number>();
  readonly #startMs: number;
  #attacks: AttackInstance[] = [];
  #effects: readonly Effect[] = [];
  #seen = new Set<AttackInstance>();
  #stepMs = 0;
  #rows = 0;

  private constructor(options: PlantOptions, hydraulics: Hydraulics, layout: NetworkLayout) {
    const { config, variation } = options;
    const random = createRandom(variation.seed);
    const ranges = config.variation;
    this.#config = config;
    this.#hydraulics = hydraulics;
    this.#layout = layout;
    this.tags = plantTags(config);
    this.#startMs = options.startMs ?? Date.parse(config.start);
    this.#tagIndex = new Map(config.tags.map(({ name }, i) => [name, i]));
    this.#scanned = [...new Set(config.controls.flatMap(({ on, off }) => [on?.tag, off?.tag]))]
      .filter((tag) => tag !== undefined)
      .map((tag) => this.#tagIndex.get(tag)!);
    this.#unscanned = [...config.tags.keys()].filter((tag) => !this.#scanned.includes(tag));
    this.#readers = config.controls.map(
      ({ plc }) =>
        (tag: string) =>
          this.#readingAt(plc, tag),
    );
    this.#scansMoreThanLevels = this.#scanned.some((tag) => config.tags[tag]!.measures !== 'level');
    this.#actuators = config.controls.map(({ initially }) => {
      const latched = initially === 'on';
      return { latched, honest: latched, on: null, speed: 1 };
    });
    this.#readings = new Float64Array(config.tags.length).fill(Number.NaN);
    this.#trueReadings = this.#readings.slice();
    this.#physical = new Float64Array(config.tags.length).fill(Number.NaN);

    const drawn = random.fork('instance');
    const from = ([low, high]: readonly [number, number]) => low + (high - low) * drawn.next();
    const demandScale = from(ranges.demand);
    const districtScales = layout.districts.map(() => from(ranges.district));
    const roughnessScale = from(ranges.roughness);
    const noiseScale = from(ranges.sensorNoise);
    this.#wear = layout.actuators.map(() => from(ranges.pumpSpeed));
    this.#noise = config.tags.map(({ noise }) => noise * (variation.sensorNoise ?? noiseScale));
    for (const { node, lowestMetres, highestMetres } of layout.tanks)
      hydraulics.setInitialLevel(node, lowestMetres + (highestMetres - lowestMetres) * from(ranges.initialLevel));
    for (let link = 1; link <= hydraulics.linkCount; link++)
      if (hydraulics.isPipe(link))
        hydraulics.scaleRoughness(
          link,
          (variation.roughnessScale ?? roughnessScale) * Math.exp(ranges.pipeRoughness * drawn.normal()),
        );
    const season = from(ranges.season);
    const seasonPeakDay = ranges.seasonPeak ?? 365 * drawn.next();
    this.#demands = createDemandModel({
      patterns: layout.districts.map(({ demand }) => demand),
      scales: districtScales.map((scale) => scale * (variation.demandScale ?? demandScale)),
      originMs: Date.parse(config.start),
      dayNoise: ranges.dayNoise,
      hourNoise: variation.demandNoise ?? ranges.hourNoise,
      hourCorrelationMs: ranges.hourCorrelation,
      shared: ranges.shared,
      season,
      seasonPeakDay,
      random: random.fork('demand'),
    });
    this.#scanRandom = random.fork('scan');
    this.#rowRandom = random.fork('row');
    this.#scada = new ScadaView({ tags: this.tags, intervalMs: config.interval, random: random.fork('scada') });
  }

  /** @throws TwinwatchError PLANT_NETWORK_INVALID, PLANT_MISMATCH, PLANT_HYDRAULICS_FAILED */
  static async open(options: PlantOptions): Promise<Plant> {
    const hydraulics = await Hydraulics.open(options.network, options.config.network);
    try {
      const plant = new Plant(options, hydraulics, layOut(options.config, hydraulics));
      hydraulics.start(options.config.hydraulicStep / 1_000);
      return plant;
    } catch (error) {
      hydraulics.close();
      throw error;
    }
  }

  /** Time of the next row. */
  get nextRowMs(): number {
    return this.#startMs + this.#rows * this.#config.interval;
  }

  /** EPANET's warnings so far and how often each came; nothing is written to the console. */
  warnings(): Map<string, number> {
    return this.#hydraulics.warnings();
  }

  /** @throws TwinwatchError PLANT_ATTACK_INVALID where it names what the plant does not have, or is over already. */
  schedule(attack: AttackInstance): void {
    checkAttack(this.#config, attack);
    if (attack.endMs <= this.nextRowMs - (this.#rows === 0 ? 0 : this.#config.interval))
      throw new TwinwatchError(
        'PLANT_ATTACK_INVALID',
        `attack '${attack.name}' ends at ${new Date(attack.endMs).toISOString()}, and the plant is past that; start it at or after ${new Date(this.nextRowMs).toISOString()}`,
        { context: { attack: attack.name } },
      );
    this.#attacks.push(attack);
  }

  /** Runs to the next row and returns it. @throws TwinwatchError PLANT_HYDRAULICS_FAILED */
  step(): PlantRow {
    const timeMs = this.nextRowMs;
    if (this.#rows === 0) this.#scanAndSolve(timeMs);
    else
      while (this.#stepMs < timeMs) {
        const next = this.#stepMs + this.#config.hydraulicStep;
        this.#hydraulics.advanceTo((next - this.#startMs) / 1_000);
        this.#scanAndSolve(next);
      }
    this.#rows++;
    return this.#row(timeMs);
  }

  close(): void {
    this.#hydraulics.close();
  }

  #scanAndSolve(timeMs: number): void {
    this.#stepMs = timeMs;
    this.#findEffects(timeMs);
    for (const tag of this.#scanned) {
      const sensor = this.#layout.sensors[tag]!;
      if (sensor.measures === 'level')
        this.#physical[tag] = this.#hydraulics.head(sensor.node) - sensor.elevationMetres;
      this.#read(tag, this.#scanRandom);
    }
    this.#runPrograms(timeMs);
    const multipliers = this.#demands.at(timeMs);
    for (let i = 0; i < multipliers.length; i++)
      this.#hydraulics.setMultiplier(this.#layout.districts[i]!.pattern, multipliers[i]!);
    this.#hydraulics.solve();
    if (this.#scansMoreThanLevels) this.#measure();
  }

  #findEffects(timeMs: number): void {
    if (this.#attacks.length === 0 && this.#effects.length === 0) return;
    this.#attacks = this.#attacks.filter(({ endMs }) => endMs > timeMs);
    this.#effects = this.#attacks.flatMap(({ effects }) => effects.filter((effect) => isActive(effect, timeMs)));
    for (const known of this.#frozen.keys()) if (!this.#effects.includes(known)) this.#frozen.delete(known);
  }

  /** Takes a sensor's reading of the physical value, and what sensor effects make of it. */
  #read(tag: number, random: Random): void {
    const { quantum, measures, name } = this.#config.tags[tag]!;
    const deviate = random.normal();
    const value = this.#physical[tag]!;
    if (measures === 'status') {
      this.#readings[tag] = value;
    } else if (measures === 'flow' && Math.abs(value) < FLOW_CUT_OFF) {
      this.#readings[tag] = 0;
    } else {
      const noisy = value + this.#noise[tag]! * deviate;
      this.#readings[tag] = quantum > 0 ? Math.round(noisy / quantum) * quantum : noisy;
    }
    this.#trueReadings[tag] = this.#readings[tag]!;
    if (this.#effects.length === 0) return;
    this.#falsify('sensor', name, null, this.#readings[tag]!, (reading) => {
      this.#readings[tag] = reading;
    });
  }

  #falsify(
    kind: 'sensor' | 'link',
    tag: string,
    to: string | null,
    honest: number,
    set: (reading: number) => void,
  ): void {
    let reading = honest;
    for (const effect of this.#effects) {
      if (effect.kind !== kind || effect.tag !== tag || (effect.kind === 'link' && effect.to !== to)) continue;
      const frozen = this.#frozen.get(effect) ?? reading;
      this.#frozen.set(effect, frozen);
      reading = falsified(effect, reading, frozen);
      set(reading);
    }
  }

  /** What `plc` works with for a tag: its own sensor, or what the owner sends it. */
  #readingAt(plc: string, tag: string): number {
    const index = this.#tagIndex.get(tag)!;
    let reading = this.#readings[index]!;
    if (this.#effects.length > 0 && this.#config.tags[index]!.plc !== plc)
      this.#falsify('link', tag, plc, reading, (value) => {
        reading = value;
      });
    return reading;
  }

  #runPrograms(timeMs: number): void {
    const underAttack = this.#attacks.some((attack) => isActive(attack, timeMs));
    for (let i = 0; i < this.#actuators.length; i++) {
      const control = this.#config.controls[i]!;
      const state = this.#actuators[i]!;
      const program = this.#effects.length === 0 ? control : rewritten(control, this.#effects);
      state.latched = scanLatch(state.latched, program, this.#readers[i]!);
      state.honest = underAttack
        ? scanLatch(state.honest, control, (tag) => this.#trueReadings[this.#tagIndex.get(tag)!]!)
        : state.latched;
      const { on, speed } = actuated(control.actuator, state.latched, this.#effects);
      if (underAttack && (on !== state.honest || (on && speed !== 1))) this.#markSeen(timeMs);
      this.#actuate(i, on, speed * control.speed * this.#wear[i]!);
    }
  }

  #actuate(i: number, on: boolean, speed: number): void {
    const state = this.#actuators[i]!;
    const { link, pump } = this.#layout.actuators[i]!;
    if (state.on === on && (!on || state.speed === speed)) return;
    if (on) this.#hydraulics.open(link, pump, speed);
    else this.#hydraulics.shut(link);
    state.on = on;
    state.speed = speed;
  }

  #markSeen(timeMs: number): void {
    for (const attack of this.#attacks) if (isActive(attack, timeMs)) this.#seen.add(attack);
  }

  #row(timeMs: number): PlantRow {
    this.#measure();
    for (const tag of this.#unscanned) this.#read(tag, this.#rowRandom);
    // Pressures and flows that rules use are not there before the first solution.
    for (const tag of this.#scanned) if (Number.isNaN(this.#trueReadings[tag])) this.#read(tag, this.#rowRandom);
    const active = this.#attacks.filter((attack) => isActive(attack, timeMs));
    const concealments = active.flatMap((attack) => attack.concealments.filter((part) => isActive(part, timeMs)));
    const scada = this.#scada.record(timeMs, this.#readings, concealments as readonly Concealment[]);
    if (active.length > 0 && this.#differs(scada)) this.#markSeen(timeMs);
    const visible = active.some((attack) => this.#seen.has(attack));
    for (const attack of this.#seen) if (!this.#attacks.includes(attack)) this.#seen.delete(attack);
    return {
      timeMs,
      physical: this.#physical.slice(),
      plc: (name) =>
        Float64Array.from(this.#config.tags, ({ plc, name: tag }, i) => {
          if (plc === name) return this.#readings[i]!;
          const isSent = this.#config.controls.some(
            (control) => control.plc === name && (control.on?.tag === tag || control.off?.tag === tag),
          );
          return isSent ? this.#readingAt(name, tag) : Number.NaN;
        }),
      scada,
      attack: active[0]?.name ?? null,
      visible,
    };
  }

  /** Physical values of all tags at the instant that was solved last. */
  #measure(): void {
    const { sensors } = this.#layout;
    const pressures = this.#hydraulics.pressures();
    for (let tag = 0; tag < sensors.length; tag++) {
      const sensor = sensors[tag]!;
      if (sensor.measures === 'pressure') this.#physical[tag] = pressures[sensor.node - 1]!;
    }
    const flows = this.#hydraulics.flows();
    for (let tag = 0; tag < sensors.length; tag++) {
      const sensor = sensors[tag]!;
      if (sensor.measures === 'flow') this.#physical[tag] = flows[sensor.link - 1]!;
      if (sensor.measures === 'status') this.#physical[tag] = this.#actuators[sensor.actuator]!.on ? 1 : 0;
      if (sensor.measures === 'level')
        this.#physical[tag] = this.#hydraulics.head(sensor.node) - sensor.elevationMetres;
    }
  }

  /** Whether SCADA shows anything that is not so by more than a sensor's noise and resolution explain. */
  #differs(scada: Float64Array): boolean {
    return this.tags.some(
      ({ resolution }, i) => Math.abs(scada[i]! - this.#physical[i]!) > resolution + 5 * this.#noise[i]!,
    );
  }
}

function isActive({ startMs, endMs }: { startMs: number; endMs: number }, timeMs: number): boolean {
  return startMs <= timeMs && timeMs < endMs;
}
