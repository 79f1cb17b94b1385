import { duration } from '@twinwatch/core/config/duration';
import { TwinwatchError } from '@twinwatch/core/errors';
import { z } from 'zod';
import type { PlantConfig } from './plant-config.js';

/** Attacks as data. docs/attacks.md describes every kind for whoever writes a catalogue. */

const tag = z.string().min(1);
const tags = z.array(tag).min(1);
/** When, within the attack: `after` its onset, and how `long`; to the attack's end where absent. */
const timing = {
  after: duration.prefault('0s').meta({ description: 'time after the onset' }),
  lasts: duration.optional().meta({ description: 'to the end of the attack where absent' }),
};

/** What a false reading shows instead of the true value: one of the three. */
const falseReading = {
  constant: z.number().optional().meta({ description: 'shown instead of the true value' }),
  offset: z.number().optional().meta({ description: 'added to the true value' }),
  freeze: z.literal(true).optional().meta({ description: 'the last true value stays' }),
};
type FalseReading = { constant?: number | undefined; offset?: number | undefined; freeze?: true | undefined };
const oneReading = ({ constant, offset, freeze }: FalseReading) =>
  [constant, offset, freeze].filter((value) => value !== undefined).length === 1;
const ONE_READING = { error: 'must have exactly one of constant, offset and freeze' };

const effectSchema = z.discriminatedUnion('kind', [
  z
    .strictObject({
      kind: z.literal('thresholds').meta({ description: 'see [attacks.md](attacks.md)' }),
      actuator: z.string().meta({ description: 'pump or valve' }),
      on: z.number().optional().meta({ description: 'threshold it is rewritten to' }),
      off: z.number().optional().meta({ description: 'threshold it is rewritten to' }),
      ...timing,
    })
    .refine(({ on, off }) => on !== undefined || off !== undefined, { error: 'must have on, off or both' }),
  z
    .strictObject({
      kind: z.literal('link').meta({ description: 'see [attacks.md](attacks.md)' }),
      tag: tag.meta({ description: 'tag that is falsified' }),
      to: z.string().meta({ description: 'PLC that receives the false value' }),
      ...falseReading,
      ...timing,
    })
    .refine(oneReading, ONE_READING),
  z
    .strictObject({
      kind: z.literal('sensor').meta({ description: 'see [attacks.md](attacks.md)' }),
      tag: tag.meta({ description: 'tag that is falsified' }),
      ...falseReading,
      ...timing,
    })
    .refine(oneReading, ONE_READING),
  z.strictObject({
    kind: z.literal('speed').meta({ description: 'see [attacks.md](attacks.md)' }),
    actuator: z.string().meta({ description: 'pump or valve' }),
    speed: z.number().min(0.1).max(2).meta({ description: 'relative speed of the pump' }),
    ...timing,
  }),
  z.strictObject({
    kind: z.literal('force').meta({ description: 'see [attacks.md](attacks.md)' }),
    actuator: z.string().meta({ description: 'pump or valve' }),
    state: z.enum(['on', 'off']).meta({ description: 'state it is held in' }),
    ...timing,
  }),
]);

const point = z.tuple([duration, z.number()]);
const concealmentSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('replay').meta({ description: 'see [attacks.md](attacks.md)' }),
    tags: tags.meta({ description: 'tags that are falsified' }),
    period: duration.prefault('24h').meta({ description: 'how much of the time before is looped' }),
    noise: z
      .number()
      .min(0)
      .default(0)
      .meta({ description: "standard deviation of noise added to the looped values, in each tag's resolution" }),
    ...timing,
  }),
  z.strictObject({
    kind: z.literal('polyline').meta({ description: 'see [attacks.md](attacks.md)' }),
    tags: tags.meta({ description: 'tags that are falsified' }),
    points: z
      .array(point)
      .min(1)
      .refine((points) => points.every(([at], i) => i === 0 || at > points[i - 1]![0]), {
        error: 'must be in order of time',
      })
      .meta({
        description:
          "[time after the concealment's start, what is added to the true value], in order of time, straight between",
      }),
    ...timing,
  }),
  z.strictObject({
    kind: z.literal('freeze').meta({ description: 'see [attacks.md](attacks.md)' }),
    tags: tags.meta({ description: 'tags that are falsified' }),
    ...timing,
  }),
]);

const attackSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,63}$/, { error: 'must be small letters, digits and -' })
      .meta({ description: 'by which it is started' }),
    title: z.string().default('').meta({ description: 'for people' }),
    duration: duration.meta({ description: 'from onset to end' }),
    effects: z.array(effectSchema).default([]).meta({ description: 'what is done to the plant' }),
    concealment: z.array(concealmentSchema).default([]).meta({ description: 'what is hidden from SCADA' }),
  })
  .refine(({ effects, concealment }) => effects.length + concealment.length > 0, {
    error: 'has neither effects nor concealment',
  });

/** Families of attacks: what is done first to the plant, or `scada` where nothing is and only SCADA is deceived. */
export const ATTACK_FAMILIES = ['thresholds', 'link', 'sensor', 'speed', 'force', 'scada'] as const;
export type AttackFamily = (typeof ATTACK_FAMILIES)[number];

const between = (from: string, to: string) => z.tuple([duration, duration]).prefault([from, to]);

/** How attacks are drawn at random for the twin. */
const randomSchema = z.strictObject({
  duration: between('2h', '24h').meta({ description: 'shortest and longest attack; drawn evenly in the logarithm' }),
  gap: between('12h', '36h').meta({
    description: 'normal running between two attacks of an episode, counted from the end of the recovery',
  }),
  concealed: z
    .number()
    .min(0)
    .max(1)
    .default(0.6)
    .meta({ description: 'share of attacks that hide something from SCADA' }),
  families: z
    .array(z.enum(ATTACK_FAMILIES))
    .min(1)
    .default([...ATTACK_FAMILIES])
    .meta({ description: 'families that are drawn from; `scada` deceives SCADA and leaves the plant alone' }),
  recovery: duration.prefault('24h').meta({
    description:
      'rows after an attack count as recovery until every level is back in its normal range, but no longer than this',
  }),
});

export const attackCatalogueSchema = z
  .strictObject({
    attacks: z.array(attackSchema).default([]).meta({ description: 'attacks that can be started by name' }),
    random: randomSchema.prefault({}).meta({ description: 'how attacks are drawn at random for the twin' }),
  })
  .superRefine(({ attacks }, context) => {
    const names = new Set<string>();
    for (const [i, { name }] of attacks.entries()) {
      if (names.has(name))
        context.addIssue({ code: 'custom', path: ['attacks', i, 'name'], message: `'${name}' is there twice` });
      names.add(name);
    }
  });

export type AttackCatalogue = z.output<typeof attackCatalogueSchema>;
export type CatalogueAttack = AttackCatalogue['attacks'][number];
type Timed<T> = Omit<T, 'after' | 'lasts'> & { readonly startMs: number; readonly endMs: number };
type Distribute<T> = T extends unknown ? Timed<T> : never;
/** What an attack does to the plant, from startMs (included) to endMs (not included). */
export type Effect = Distribute<CatalogueAttack['effects'][number]>;
/** What an attack hides from SCADA, from startMs (included) to endMs (not included). */
export type Concealment = Distribute<CatalogueAttack['concealment'][number]>;
export type EffectKind = Effect['kind'];

/** One attack at one time. Active, and labelled, from startMs (included) to endMs (not included): until its last effect or concealment ends. */
export interface AttackInstance {
  readonly name: string;
  /** Kind of the first effect, or of the first concealment where there is no effect. */
  readonly kind: EffectKind | Concealment['kind'];
  /** Actuators and tags that the effects touch, then tags that are concealed. */
  readonly targets: readonly string[];
  readonly startMs: number;
  readonly endMs: number;
  readonly effects: readonly Effect[];
  readonly concealments: readonly Concealment[];
}

/** An attack of the catalogue, begun at `startMs`. */
export function attackAt(attack: CatalogueAttack, startMs: number): AttackInstance {
  const timed = <T extends { after: number; lasts?: number | undefined }>({ after, lasts, ...rest }: T) => ({
    ...rest,
    startMs: startMs + after,
    endMs: startMs + (lasts === undefined ? Math.max(attack.duration, after) : after + lasts),
  });
  const effects = attack.effects.map(timed) as Effect[];
  const concealments = attack.concealment.map(timed) as Concealment[];
  const targets = new Set([...effects.map(targetOf), ...concealments.flatMap((concealment) => concealment.tags)]);
  return {
    name: attack.name,
    kind: effects[0]?.kind ?? concealments[0]!.kind,
    targets: [...targets],
    startMs,
    endMs: Math.max(startMs + attack.duration, ...[...effects, ...concealments].map(({ endMs }) => endMs)),
    effects,
    concealments,
  };
}

/** The catalogue's attack called `name`. @throws TwinwatchError PLANT_ATTACK_INVALID listing the names there are. */
export function findAttack(catalogue: AttackCatalogue, name: string): CatalogueAttack {
  const attack = catalogue.attacks.find((candidate) => candidate.name === name);
  if (attack !== undefined) return attack;
  const names = catalogue.attacks.map((candidate) => candidate.name).join(', ');
  throw new TwinwatchError('PLANT_ATTACK_INVALID', `the catalogue has no attack '${name}'; it has ${names || 'none'}`, {
    context: { attack: name },
  });
}

function targetOf(effect: Effect): string {
  return 'actuator' in effect ? effect.actuator : effect.tag;
}

/** A false reading on its way from the PLC that owns a tag to one whose rules use it. */
export interface PlcLink {
  readonly tag: string;
  readonly to: string;
}

/** Every tag that a PLC's rules use and another PLC measures. */
export function plcLinks(config: PlantConfig): PlcLink[] {
  const owners = new Map(config.tags.map(({ name, plc }) => [name, plc]));
  const links = new Map<string, PlcLink>();
  for (const { plc, on, off } of config.controls)
    for (const used of [on?.tag, off?.tag])
      if (used !== undefined && owners.get(used) !== plc) links.set(`${used}→${plc}`, { tag: used, to: plc });
  return [...links.values()];
}

/** @throws TwinwatchError PLANT_ATTACK_INVALID naming everything of the attack that the plant does not have. */
export function checkAttack(config: PlantConfig, attack: AttackInstance): void {
  const actuators = new Set(config.controls.map(({ actuator }) => actuator));
  const names = new Set(config.tags.map(({ name }) => name));
  const links = plcLinks(config);
  const wrong: string[] = [];
  for (const effect of attack.effects) {
    if ('actuator' in effect && !actuators.has(effect.actuator))
      wrong.push(`'${effect.actuator}' is no actuator with a control rule (${[...actuators].join(', ')})`);
    if (effect.kind === 'sensor' && !names.has(effect.tag)) wrong.push(`'${effect.tag}' is no tag`);
    if (effect.kind === 'link' && !links.some(({ tag: sent, to }) => sent === effect.tag && to === effect.to))
      wrong.push(
        `no PLC sends ${effect.tag} to ${effect.to} (${links.map((l) => `${l.tag} to ${l.to}`).join(', ') || 'there are no links'})`,
      );
    if (!(effect.endMs > effect.startMs)) wrong.push(`the ${effect.kind} effect ends before it starts`);
  }
  for (const concealment of attack.concealments) {
    for (const name of concealment.tags) if (!names.has(name)) wrong.push(`'${name}' is no tag`);
    if (!(concealment.endMs > concealment.startMs))
      wrong.push(`the ${concealment.kind} concealment ends before it starts`);
  }
  if (wrong.length > 0)
    throw new TwinwatchError(
      'PLANT_ATTACK_INVALID',
      `attack '${attack.name}' does not fit plant ${config.name}: ${wrong.join('; ')}`,
      {
        context: { attack: attack.name, plant: config.name },
      },
    );
}
