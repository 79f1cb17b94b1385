import { crossCheck, type Sound } from '@twinwatch/core/config/cross-check';
import { lpeMisfit } from '@twinwatch/core/config/methods';
import { roundsConfig, serverConfig } from '@twinwatch/core/config/server';
import { PARAMETER_CODECS } from '@twinwatch/core/wire/parameter-codec';
import { ATTACK_FAMILIES } from '@twinwatch/twin-server/twin/attacks';
import { z } from 'zod';
import type { Attack } from '../adversary.js';

/** `twinwatch experiment FILE.yaml`: what is compared with what, on which data. Every list is an axis; every combination is a run. */

const name = z.string().min(1).max(60);
const share = z.number().min(0).max(1);
/** The server's own `rounds` block, checked as such once it is complete. */
const fragment = z.record(z.string(), z.unknown());

const method = z.strictObject({
  name: name.meta({ description: 'as the report calls it' }),
  rounds: fragment
    .default({})
    .meta({ description: "fields of the server's `rounds` block, over those of the experiment" }),
  sweep: z
    .strictObject({
      parameter: z
        .string()
        .regex(/^[A-Za-z]+(\.[A-Za-z]+)*$/)
        .meta({ description: "a number in `rounds`, such as 'fpf.gamma'" }),
      values: z.array(z.number()).min(1).meta({ description: 'one variant of the method for each' }),
    })
    .optional()
    .meta({ description: 'variants of this method that differ in one number' }),
});

const partition = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('iid').meta({
      description:
        'iid: rows dealt out at random; dirichlet: shares of each kind of attack, and of normal rows, drawn from a Dirichlet distribution; time: slices of time; site: one site each',
    }),
  }),
  z.strictObject({
    kind: z.literal('dirichlet'),
    alpha: z.number().gt(0).max(1_000).meta({ description: 'concentration: the smaller, the less alike the clients' }),
  }),
  z.strictObject({ kind: z.literal('time') }),
  z.strictObject({ kind: z.literal('site') }),
]);

const twinQuality = z.strictObject({
  name: name.meta({ description: 'as the report calls it' }),
  demandError: z
    .number()
    .min(-0.9)
    .max(3)
    .default(0)
    .meta({ description: 'the twin takes this share more of every demand than the plant has' }),
  sensorBias: z
    .number()
    .min(0)
    .max(10)
    .default(0)
    .meta({ description: "each of the twin's sensors is off by so many of its standard deviations, up or down" }),
  noise: z
    .number()
    .min(0)
    .max(10)
    .default(0)
    .meta({ description: "further noise on each of the twin's sensors, in its standard deviations" }),
  missingFamilies: z
    .array(z.enum(ATTACK_FAMILIES))
    .default([])
    .meta({ description: 'families of attacks that the twin never shows' }),
  plantChange: z.enum(['none', 'night-shifts']).default('none').meta({
    description:
      'how the real plant changed since the twin was made; night-shifts: one district uses 1.4 times as much, eight hours later (reference plant only)',
  }),
});

const HOSTILE_ATTACKS = ['labelFlip', 'signFlip', 'scaled', 'noise'] as const satisfies readonly Attack[];
const HOSTILE =
  'none; labelFlip: learns from turned labels; signFlip: sends the opposite of what it learned; scaled: sends `strength` times as much; noise: sends noise in its place';
const adversary = z.strictObject({
  attack: z.enum(['none', ...HOSTILE_ATTACKS]).meta({ description: HOSTILE }),
  share: share.default(0).meta({ description: 'of the clients, drawn anew with each seed' }),
  strength: z.number().gt(0).max(1_000).default(1).meta({ description: 'times the norm of what was learned' }),
});

const codecName = z.enum(PARAMETER_CODECS);
const codec = z.union([
  codecName,
  z.strictObject({
    codec: codecName.meta({ description: 'as in `rounds`' }),
    topKShare: share.meta({ description: 'as in `rounds`' }),
  }),
]);

export const METRICS = [
  'balancedAccuracy',
  'prAuc',
  's',
  'accuracy',
  'rocAuc',
  'balancedAccuracyAtHalf',
  'sAtHalf',
] as const;
export type Metric = (typeof METRICS)[number];

const axis = <T extends z.ZodType>(item: T, usual: unknown[]) =>
  z
    .array(item)
    .min(1)
    .prefault(usual as never);

export const experimentSchema = z
  .strictObject({
    title: z.string().min(1).max(120).meta({ description: 'of the report' }),
    question: z.string().min(1).meta({ description: 'what is to be found out, in a sentence' }),
    scenario: z.enum(['replication', 'label-free', 'official', 'row-split']).meta({
      description:
        'replication: clients hold labelled rows, whole attack episodes are left out in turn and judged; label-free: the same, but clients keep their normal rows only; official: learn from all, judge on a file of the user’s; row-split: as replication, but rows are left out at random, which leaks episodes into both sides',
    }),
    plant: z
      .string()
      .default('configs/reference-plant/plant.yaml')
      .meta({ description: 'plant.yaml of twin and, without recorded data, plant' }),
    sites: z.int().min(5).max(1_000).default(25).meta({
      description: 'stretches of the real plant, each at a site of its own; simulated unless recorded data is given',
    }),
    siteDays: z.number().min(1).max(366).default(5).meta({ description: 'days of each' }),
    attackShare: share
      .default(0.6)
      .meta({ description: 'share of the real stretches, and of the twin’s episodes, that hold attacks' }),
    twinEpisodes: z.int().min(4).max(10_000).default(12).meta({ description: 'that the twin simulates' }),
    twinDays: z.number().min(1).max(366).default(5).meta({ description: 'days of each' }),
    validationShare: z
      .number()
      .min(0.05)
      .max(0.5)
      .default(0.25)
      .meta({ description: 'share of the twin’s episodes held back to validate on' }),
    detector: serverConfig.shape.detector.meta({ description: "the server's `detector` block" }),
    rounds: fragment.default({}).meta({ description: "the server's `rounds` block, for every method" }),
    methods: z.array(method).min(1).meta({ description: 'what is compared' }),
    baseline: name
      .default('FedAvg')
      .meta({ description: 'name of the method that the others are compared with, pair by pair' }),
    seeds: axis(z.int().min(0), [1, 2, 3, 4, 5]).meta({ description: 'everything random is drawn anew with each' }),
    clients: z.int().min(1).max(10_000).default(20).meta({ description: 'K' }),
    fraction: axis(z.number().gt(0).max(1), [0.3]).meta({ description: 'C, share of the clients asked per round' }),
    epochs: axis(z.int().min(1).max(100), [2]).meta({ description: 'E, passes over a client’s rows per round' }),
    codec: axis(codec, ['f32']).meta({ description: 'as in `rounds`; with several, each is compared with the first' }),
    partition: axis(partition, [{ kind: 'iid' }]).meta({ description: 'how the rows are dealt out to the clients' }),
    twin: axis(twinQuality, [{ name: 'near' }]).meta({ description: 'how good the twin is' }),
    adversaries: axis(adversary, [{ attack: 'none' }]).meta({ description: 'clients that do not keep to the rules' }),
    targets: z
      .partialRecord(z.enum(METRICS), z.number().min(0).max(1))
      .default({ prAuc: 0.5, balancedAccuracyAtHalf: 0.7, sAtHalf: 0.8 })
      .meta({
        description:
          'what rounds and bytes are counted to; reached where the value stays at or above it for three rounds',
      }),
    freshProcesses: z.boolean().default(false).meta({
      description:
        'a process of its own for each run, one at a time, so that memory and milliseconds are that run’s alone',
    }),
  })
  .check(
    crossCheck(function* (sound: Sound<Checked>) {
      const names = new Set<string>();
      const asked = Math.min(...(sound.fraction ?? []).map((fraction) => fraction ?? 1), 1) * (sound.clients ?? 20);
      const common = mergedRounds({ ...sound.rounds, quorum: Math.max(1, Math.ceil(asked)) }, {});
      for (const [i, given] of (sound.methods ?? []).entries()) {
        if (given === undefined) continue;
        if (given.name !== undefined && names.has(given.name))
          yield { path: ['methods', i, 'name'], message: `'${given.name}' is there twice` };
        if (given.name !== undefined) names.add(given.name);
        const values = given.sweep?.values ?? [];
        const variants =
          given.sweep?.parameter === undefined || values.length === 0
            ? [mergedRounds(common, given.rounds)]
            : values.map((value) =>
                withParameter(mergedRounds(common, given.rounds), given.sweep!.parameter!, value ?? 0),
              );
        for (const [at, rounds] of variants.entries()) {
          const result = roundsConfig.safeParse(rounds);
          for (const issue of result.success ? [] : result.error.issues) {
            const where = given.sweep === undefined ? ['rounds'] : ['sweep', 'values', at];
            yield {
              path: ['methods', i, ...where],
              message: `gives no sound rounds block: ${issue.path.join('.')}: ${issue.message}`,
            };
          }
          const hidden = sound.detector?.hidden;
          const misfit = result.success && hidden !== undefined ? lpeMisfit(result.data.lpe, hidden.length + 1) : null;
          if (misfit !== null)
            yield { path: ['methods', i, 'rounds'], message: `has an lpe.${misfit.field} that ${misfit.message}` };
        }
      }
      const { baseline } = sound;
      if (baseline !== undefined && names.size > 0 && !names.has(baseline))
        yield {
          path: ['baseline'],
          message: `is '${baseline}', and no method has that name; write one of '${[...names].join("', '")}'`,
        };
      if (new Set(sound.seeds).size !== (sound.seeds ?? []).length)
        yield { path: ['seeds'], message: 'has a seed twice' };
    }),
  );

export type ExperimentConfig = z.output<typeof experimentSchema>;
export type PartitionConfig = z.output<typeof partition>;
export type TwinQuality = z.output<typeof twinQuality>;
export type AdversaryConfig = z.output<typeof adversary>;

interface Checked {
  readonly methods: MethodFile[];
  readonly rounds: object;
  readonly baseline: string;
  readonly detector: { readonly hidden: number[] };
  readonly seeds: number[];
  readonly fraction: number[];
  readonly clients: number;
}

interface MethodFile {
  readonly name: string;
  readonly rounds: object;
  readonly sweep: { readonly parameter: string; readonly values: number[] };
}

/** Fields of the method's block take the place of the experiment's, each as a whole. */
export function mergedRounds(common: object | undefined, own: object | undefined): Record<string, unknown> {
  return { ...common, ...own };
}

/** A copy in which the number at `path`, parts parted by dots, is another. */
export function withParameter(rounds: Record<string, unknown>, path: string, value: number): Record<string, unknown> {
  const [first = '', ...rest] = path.split('.');
  if (rest.length === 0) return { ...rounds, [first]: value };
  const below = rounds[first];
  const inner = typeof below === 'object' && below !== null ? (below as Record<string, unknown>) : {};
  return { ...rounds, [first]: withParameter(inner, rest.join('.'), value) };
}
