import { TwinwatchError } from '@twinwatch/core/errors';
import type { Random } from '@twinwatch/core/learning/random';
import type { AttackCatalogue, AttackFamily, AttackInstance, Concealment, Effect, EffectKind } from './attacks.js';
import { plcLinks } from './attacks.js';
import type { Control, PlantConfig } from './plant-config.js';

/**
 * Attacks on anything the plant file names, so that a detector learns what tampering looks like in general and not one list of attacks. Kinds, targets,
 * sizes and times are drawn widely; nothing here knows a particular plant. The shares and ranges are this project's choice.
 */

type Ranges = AttackCatalogue['random'];

/** Actuators that one tag switches, and the band their thresholds span. */
interface Loop {
  readonly tag: string;
  readonly controls: readonly Control[];
  readonly low: number;
  readonly high: number;
}

const FAMILY_WEIGHTS: readonly (readonly [AttackFamily, number])[] = [
  ['thresholds', 0.22],
  ['link', 0.22],
  ['sensor', 0.1],
  ['speed', 0.18],
  ['force', 0.21],
  ['scada', 0.07],
];

/**
 * An attack on the plant, begun at `startMs`; fit for Plant.schedule. The same state of `random` gives the same attack, named `random-<family>`.
 * @throws TwinwatchError PLANT_ATTACK_INVALID where the plant allows none of the families.
 */
export function drawRandomAttack(
  config: PlantConfig,
  random: Random,
  startMs: number,
  ranges: Pick<Ranges, 'duration' | 'concealed' | 'families'>,
): AttackInstance {
  const loops = loopsOf(config).filter((loop) => possibleFamilies(config, loop, ranges.families).length > 0);
  if (loops.length === 0)
    throw new TwinwatchError(
      'PLANT_ATTACK_INVALID',
      `plant ${config.name} allows no attack of the families ${ranges.families.join(', ')}; draw from others`,
      { context: { plant: config.name, families: ranges.families } },
    );
  const loop = pick(random, loops);
  const [shortest, longest] = ranges.duration;
  const durationMs = roundTo(config.interval, shortest * (longest / shortest) ** random.next());
  const endMs = startMs + durationMs;
  const draw = { config, random, loop, startMs, endMs };
  const family = drawFamily(random, possibleFamilies(config, loop, ranges.families));
  const effects = family === 'scada' ? [] : drawEffects(draw, family);
  if (effects.length > 0 && random.next() < 0.15 && ranges.families.includes('force'))
    effects.push(...drawEffects({ ...draw, loop: pick(random, loops) }, 'force'));
  const concealments = family === 'scada' || random.next() < ranges.concealed ? drawConcealments(draw, effects) : [];
  const touched = effects.map((effect) => ('actuator' in effect ? effect.actuator : effect.tag));
  return {
    name: `random-${family}`,
    kind: effects[0]?.kind ?? concealments[0]!.kind,
    targets: [...new Set([...touched, ...concealments.flatMap(({ tags }) => tags)])],
    startMs,
    endMs: Math.max(endMs, ...concealments.map((concealment) => concealment.endMs)),
    effects,
    concealments,
  };
}

interface Draw {
  readonly config: PlantConfig;
  readonly random: Random;
  readonly loop: Loop;
  readonly startMs: number;
  readonly endMs: number;
}

/** What a reading of a plant without rules is bent by, in what its sensor resolves. */
const BEND_RESOLUTIONS = 20;

/**
 * Every tag that switches something; actuators without a rule are drawn with the first loop of their PLC. Where no actuator has a rule, each goes
 * with what is measured of it.
 */
function loopsOf(config: PlantConfig): Loop[] {
  const loops = new Map<string, Control[]>();
  for (const control of config.controls) {
    if (control.on === undefined) continue;
    const known = loops.get(control.on.tag) ?? [];
    known.push(control);
    loops.set(control.on.tag, known);
  }
  if (loops.size === 0) {
    return config.controls.flatMap((control) => {
      const shown = config.tags.find(({ element, kind }) => element === control.actuator && kind === 'analog');
      if (shown === undefined) return [];
      return [{ tag: shown.name, controls: [control], low: 0, high: BEND_RESOLUTIONS * shown.resolution }];
    });
  }
  return [...loops].map(([tag, ruled]) => {
    const plcs = new Set(ruled.map(({ plc }) => plc));
    const idle = config.controls.filter(({ on, plc }) => on === undefined && plcs.has(plc));
    const thresholds = ruled.flatMap(({ on, off }) => [(on!.below ?? on!.above)!, (off!.below ?? off!.above)!]);
    return { tag, controls: [...ruled, ...idle], low: Math.min(...thresholds), high: Math.max(...thresholds) };
  });
}

/** Families, with their weights, that can strike a loop. */
function possibleFamilies(
  config: PlantConfig,
  loop: Loop,
  allowed: readonly AttackFamily[],
): (readonly [AttackFamily, number])[] {
  const sent = plcLinks(config).some(({ tag }) => tag === loop.tag);
  const isRuled = loop.controls.some(({ on }) => on !== undefined);
  return FAMILY_WEIGHTS.filter(([family]) => {
    if (!allowed.includes(family)) return false;
    if (!isRuled && (family === 'thresholds' || family === 'sensor')) return false;
    if (family === 'link') return sent;
    if (family === 'speed') return loop.controls.some((control) => control.kind === 'pump');
    return true;
  });
}

function drawFamily(random: Random, possible: readonly (readonly [AttackFamily, number])[]): AttackFamily {
  let at = random.next() * possible.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [family, weight] of possible) {
    at -= weight;
    if (at < 0) return family;
  }
  return possible.at(-1)![0];
}

function drawEffects(draw: Draw, kind: EffectKind): Effect[] {
  const { config, random, loop, startMs, endMs } = draw;
  const time = { startMs, endMs };
  const some = (controls: readonly Control[]) => (random.next() < 0.4 ? controls : [pick(random, controls)]);
  switch (kind) {
    case 'thresholds':
      return some(loop.controls.filter(({ on }) => on !== undefined)).map((control) => ({
        kind,
        actuator: control.actuator,
        ...drawThresholds(random, control, loop),
        ...time,
      }));
    case 'link': {
      const links = plcLinks(config).filter(({ tag }) => tag === loop.tag);
      return [{ kind, ...pick(random, links), ...drawFalseReading(random, loop), ...time }];
    }
    case 'sensor':
      return [{ kind, tag: loop.tag, ...drawFalseReading(random, loop), ...time }];
    case 'speed': {
      const speed = random.next() < 0.85 ? between(random, 0.6, 0.95) : between(random, 1.05, 1.2);
      return some(loop.controls.filter((control) => control.kind === 'pump')).map(({ actuator }) => ({
        kind,
        actuator,
        speed,
        ...time,
      }));
    }
    case 'force': {
      const state = random.next() < 0.5 ? 'on' : 'off';
      return some(loop.controls).map(({ actuator }) => ({ kind, actuator, state, ...time }));
    }
  }
}

/** Both thresholds moved, drawn so close together that the actuator chatters, or one put out of reach. */
function drawThresholds(random: Random, control: Control, { low, high }: Loop): { on?: number; off?: number } {
  const width = high - low;
  const [on, off] = [(control.on!.below ?? control.on!.above)!, (control.off!.below ?? control.off!.above)!];
  const mode = random.next();
  if (mode < 0.45) {
    const shift = signed(random, 0.2 * width, 1.1 * width);
    return { on: Math.max(0.05, on + shift), off: Math.max(0.1, off + shift) };
  }
  if (mode < 0.7) {
    const middle = between(random, low, high);
    const half = (off > on ? 0.5 : -0.5) * between(random, 0.02, 0.15) * width;
    return { on: middle - half, off: middle + half };
  }
  const outOfReach = off > on ? [low - 10 * width, high + 10 * width] : [high + 10 * width, low - 10 * width];
  return random.next() < 0.5 ? { on: outOfReach[0]! } : { off: outOfReach[1]! };
}

function drawFalseReading(random: Random, { low, high }: Loop): { constant?: number; offset?: number; freeze?: true } {
  const width = high - low;
  const mode = random.next();
  if (mode < 0.5) return { constant: Math.max(0, between(random, low - 0.3 * width, high + 0.3 * width)) };
  if (mode < 0.85) return { offset: signed(random, 0.15 * width, width) };
  return { freeze: true };
}

function drawConcealments(draw: Draw, effects: readonly Effect[]): Concealment[] {
  const { config, random, loop, startMs, endMs } = draw;
  const durationMs = endMs - startMs;
  const late = random.next() < 0.3 ? between(random, 0, 0.3) * durationMs : 0;
  const [end, size] = [random.next(), between(random, 0.1, 0.3) * durationMs];
  const time = {
    startMs: startMs + roundTo(config.interval, late),
    endMs: Math.max(
      endMs + roundTo(config.interval, end < 0.15 ? size : end < 0.3 ? -size : 0),
      startMs + late + 2 * config.interval,
    ),
  };
  const mode = random.next();
  if (mode < 0.6) {
    const noise = random.next() < 0.5 ? 0 : between(random, 0.1, 2);
    const period = pick(random, [24, 24, 48]) * 3_600_000;
    return [{ kind: 'replay', tags: concealedTags(draw, effects), period, noise, ...time }];
  }
  if (mode < 0.8) {
    const size = signed(random, 0.15 * (loop.high - loop.low), loop.high - loop.low);
    const ramp = Math.max(config.interval, roundTo(config.interval, between(random, 0, 0.5) * durationMs));
    const back = random.next() < 0.3 ? [[durationMs + ramp, 0] as [number, number]] : [];
    return [{ kind: 'polyline', tags: [loop.tag], points: [[0, 0], [ramp, size], ...back], ...time }];
  }
  return [{ kind: 'freeze', tags: concealedTags(draw, effects), ...time }];
}

/** The tag that switches; or with what the touched actuators report; or everything of the PLCs in question. */
function concealedTags({ config, random, loop }: Draw, effects: readonly Effect[]): string[] {
  const actuators = new Set(effects.flatMap((effect) => ('actuator' in effect ? [effect.actuator] : [])));
  if (actuators.size === 0) for (const { actuator } of loop.controls) actuators.add(actuator);
  const reported = config.tags.filter(({ element, name }) => actuators.has(element) || name === loop.tag);
  const mode = random.next();
  if (mode < 0.35) return [loop.tag];
  if (mode < 0.7) return reported.map(({ name }) => name);
  const plcs = new Set(reported.map(({ plc }) => plc));
  return config.tags.filter(({ plc }) => plcs.has(plc)).map(({ name }) => name);
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.integer(items.length)]!;
}
function between(random: Random, low: number, high: number): number {
  return low + (high - low) * random.next();
}
function signed(random: Random, smallest: number, largest: number): number {
  return (random.next() < 0.5 ? -1 : 1) * between(random, smallest, largest);
}
function roundTo(step: number, value: number): number {
  return Math.round(value / step) * step;
}
