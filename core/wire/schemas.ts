import { type ZodType, z } from 'zod';
import { HOURS_PER_DAY, HOURS_PER_WEEK, type ProfileRequest, type SiteProfile } from '../calibration/profile.js';
import type { FeatureSchema, FeatureSpec } from '../features/spec.js';
import { publicKeyEntry } from '../security/keys.js';
import type {
  AgentStatus,
  AlarmCommand,
  AlarmEvent,
  BlobRef,
  BlobRequest,
  CalibrateTask,
  Calibration,
  ChunkRequest,
  CommandReceipt,
  EvaluateTask,
  FitTask,
  Hello,
  LabelCommand,
  Lineage,
  Manifest,
  ModelReport,
  Receipt,
  ServerStatus,
  SilentTags,
  TeacherTask,
  Telemetry,
  TrustAnnouncement,
  Update,
  WireMessage,
} from './messages.js';
import { PARAMETER_CODECS } from './parameter-codec.js';
import type { ProtocolRange } from './protocol.js';

/**
 * What may come off the wire. Each schema is held to the type in messages.ts by its annotation. Fields that it does not name are of a newer
 * release, and are left out: see "Versions" in docs/topics.md.
 */

const id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -');
const name = z.string().min(1).max(128);
const text = z.string().max(2048);
const hash = z.string().regex(/^[0-9a-f]{64}$/, 'must be a hex SHA-256');
const count = z.int().min(0);
const positive = z.int().min(1);
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes');
const codec = z.enum(PARAMETER_CODECS);
const layerMask = z.array(z.boolean()).min(1).max(256).nullable();
const MAXIMUM_BALANCES = 64;
const share = z.number().min(0).max(1e6);

const protocols: ZodType<ProtocolRange> = z
  .object({ oldest: count, newest: count })
  .refine(({ oldest, newest }) => oldest <= newest, { path: ['newest'], message: 'must not be below oldest' });

const tag = z.object({
  name,
  unit: z.string().max(32),
  kind: z.enum(['analog', 'status']),
  resolution: z.number().positive(),
});

const ruleCondition = z
  .object({ tag: name, below: z.number().optional(), above: z.number().optional() })
  .refine(({ below, above }) => (below === undefined) !== (above === undefined), 'must have one of below and above');

const feature: ZodType<FeatureSpec> = z.discriminatedUnion('type', [
  z.object({ type: z.literal('raw'), tag: name }),
  z.object({ type: z.literal('delta'), tag: name, rows: positive }),
  z.object({ type: z.literal('lag'), tag: name, rows: positive }),
  z.object({ type: z.literal('rollingMean'), tag: name, rows: positive }),
  z.object({ type: z.literal('rollingStd'), tag: name, rows: positive }),
  z.object({ type: z.literal('hourOfDay'), harmonics: positive }),
  z.object({
    type: z.literal('residual'),
    tag: name,
    of: z.enum(['value', 'change']),
    terms: z
      .array(z.object({ tag: name, rowsAgo: count.max(10_000), power: z.literal([1, 2]), weight: z.number() }))
      .max(4096),
    hours: z.array(z.number()).max(64),
    offset: z.number(),
    windows: z.array(positive.max(10_000)).min(1).max(64),
  }),
  z.object({
    type: z.literal('rule'),
    state: name,
    on: ruleCondition,
    off: ruleCondition,
    windows: z.array(positive.max(10_000)).min(1).max(64),
  }),
]);

export const featureSchema: ZodType<FeatureSchema> = z.object({
  tags: z.array(tag).min(1).max(4096),
  features: z.array(feature).min(1).max(16384),
  intervalMs: z.number().positive(),
  holdRows: count,
});

const blob: ZodType<BlobRef> = z.object({ hash, bytes: count });

const hello: ZodType<Hello> = z.object({
  kind: z.literal('hello'),
  softwareVersion: name,
  tags: z.array(name).max(4096),
  eligibleRows: count,
  labelledRows: count,
  codecs: z.array(z.string().min(1).max(32)).min(1).max(32),
  engine: name,
  lineageHash: hash.nullable(),
  modelVersion: name.nullable(),
  publicKeyId: name.nullable(),
  trustRevision: count.optional(),
  protocols: protocols.exactOptional(),
});

const balanceTerms = z.array(z.object({ tag: name, coefficient: z.number() })).max(1024);

const profileRequest: ZodType<ProfileRequest> = z.object({
  originMs: z.number(),
  balances: z.array(z.object({ name, flows: balanceTerms, storages: balanceTerms })).max(MAXIMUM_BALANCES),
});

const week = z.array(z.number()).length(HOURS_PER_WEEK);
const covariance = z.number();

const siteProfile: ZodType<SiteProfile> = z
  .object({
    tags: z
      .array(
        z.object({
          tag: name,
          hourly: z.array(z.number().nullable()).length(HOURS_PER_DAY),
          dutyCycle: z.number().min(0).max(1),
          startsPerDay: z.number().min(0),
        }),
      )
      .max(4096),
    balances: z
      .array(
        z.object({
          name,
          hours: week,
          weights: z.array(z.number().min(0)).length(HOURS_PER_WEEK),
          variance: z.number().min(0),
          autocovariance: z.object({
            same: covariance,
            nextInterval: covariance,
            twoHours: covariance,
            halfDay: covariance,
          }),
          season: z.object({ cos: z.number(), sin: z.number() }).nullable(),
        }),
      )
      .max(MAXIMUM_BALANCES),
    days: count,
    dayCovariance: z.array(covariance).max(MAXIMUM_BALANCES ** 2),
  })
  .refine(({ balances, dayCovariance }) => dayCovariance.length === balances.length ** 2, {
    path: ['dayCovariance'],
    message: 'must be as many numbers as balances squared',
  });

const calibration: ZodType<Calibration> = z
  .object({
    kind: z.literal('calibration'),
    schemaHash: hash,
    moments: z.object({ count, mean: z.array(z.number()).max(16384), m2: z.array(z.number().min(0)).max(16384) }),
    profile: siteProfile.optional(),
  })
  .refine((message) => message.moments.mean.length === message.moments.m2.length, {
    path: ['moments', 'm2'],
    message: 'must be as long as moments.mean',
  });

const calibrate: ZodType<CalibrateTask> = z.object({
  kind: z.literal('calibrate'),
  schema: featureSchema,
  schemaHash: hash,
  minimumRows: count,
  profile: profileRequest.optional(),
});

const teacherTask: ZodType<TeacherTask> = z.object({
  teacher: blob,
  codec,
  alpha: z.number().min(0).max(1),
  temperature: z.number().positive().max(1e6),
  softLabels: z.enum(['stored', 'onTheFly']),
  unlabelled: z.enum(['soft', 'normal']),
});

const fit: ZodType<FitTask> = z.object({
  kind: z.literal('fit'),
  round: count,
  attempt: count,
  method: name,
  lineage: blob,
  parameters: blob,
  inline: bytes.optional(),
  epochs: positive,
  batchSize: positive,
  learningRate: z.number().positive(),
  proximalMu: z.number().min(0),
  exchangeShare: share,
  codec,
  topKShare: z.number().gt(0).max(1).optional(),
  layerMask,
  distillation: teacherTask.optional(),
  seed: z.int(),
  deadlineMs: positive,
});

const evaluate: ZodType<EvaluateTask> = z.object({
  kind: z.literal('evaluate'),
  round: count,
  attempt: count,
  lineage: blob,
  parameters: blob,
  inline: bytes.optional(),
  deadlineMs: positive,
});

const update: ZodType<Update> = z.object({
  kind: z.literal('update'),
  round: count,
  attempt: count,
  baseHash: hash,
  codec,
  layerMask,
  delta: bytes,
  rows: count,
  window: z.object({ fromMs: z.number(), toMs: z.number() }).exactOptional(),
  loss: z.number(),
  trainingMs: z.number().min(0),
  scores: z.object({ counts: z.array(count).max(4096), rows: count }).nullable(),
});

/** The little of an update that its receipt needs. */
export const answeredTaskSchema = z
  .object({ kind: z.literal('update'), round: count, attempt: count })
  .transform(({ round, attempt }) => ({ round, attempt }));

const updateReceipt = z.object({
  kind: z.literal('update-receipt'),
  round: count,
  attempt: count,
  verdict: z.enum([
    'accepted',
    'duplicate',
    'stale-round',
    'unknown-agent',
    'wrong-base',
    'wrong-shape',
    'not-finite',
    'too-large',
    'implausible-rows',
    'malformed',
    'quarantined',
  ]),
  detail: text,
}) satisfies ZodType<Receipt>;

const alarmReceipt = z.object({
  kind: z.literal('alarm-receipt'),
  eventIds: z.array(name).min(1).max(1024),
}) satisfies ZodType<Receipt>;

const blobRequest: ZodType<BlobRequest> = z.object({
  kind: z.literal('blob-request'),
  blob,
  missing: z.array(count).min(1).max(65536).nullable(),
});

const chunkRequest: ZodType<ChunkRequest> = z.object({
  kind: z.literal('chunk-request'),
  transfer: hash,
  missing: z.array(count).min(1).max(65536),
});

const released = {
  modelVersion: name,
  round: count,
  model: blob,
  lineage: blob,
  threshold: z.number().min(0).max(1),
  releasedAtMs: z.number(),
};

const manifest: ZodType<Manifest> = z.object({
  kind: z.literal('manifest'),
  ...released,
  issuedAtMs: z.number().exactOptional(),
  rollback: z.object({ from: name, by: name, reason: text }).exactOptional(),
  candidate: z
    .object({ ...released, stage: z.enum(['shadow', 'canary']), agents: z.array(id).max(4096), rows: count })
    .exactOptional(),
});

const modelReport: ZodType<ModelReport> = z.object({
  kind: z.literal('model-report'),
  modelVersion: name,
  rows: count,
  above: count,
  currentAbove: count,
  errors: count,
  failed: z.boolean(),
  detail: text,
});

const trust: ZodType<TrustAnnouncement> = z.object({
  kind: z.literal('trust'),
  revision: positive,
  serverKeys: z.array(publicKeyEntry.strip()).min(1).max(16),
});

const decided = { commandId: name, by: name, decidedAtMs: z.number() };

const alarmCommand: ZodType<AlarmCommand> = z.object({
  kind: z.literal('alarm-command'),
  ...decided,
  action: z.enum(['acknowledge', 'shelve', 'unshelve', 'confirm', 'dismiss']),
  alarmId: name,
  shelveMs: positive.nullable(),
});

const labelCommand: ZodType<LabelCommand> = z
  .object({
    kind: z.literal('label-command'),
    ...decided,
    fromMs: z.number(),
    toMs: z.number(),
    label: z.enum(['normal', 'anomalous']),
  })
  .refine(({ fromMs, toMs }) => fromMs <= toMs, { path: ['toMs'], message: 'must not be before fromMs' });

const commandReceipt: ZodType<CommandReceipt> = z.object({
  kind: z.literal('command-receipt'),
  commandId: name,
  verdict: z.enum(['done', 'unchanged', 'superseded', 'unknown-alarm']),
  detail: text,
  rows: count,
});

export const messageSchemas: { readonly [K in WireMessage['kind']]: ZodType<Extract<WireMessage, { kind: K }>> } = {
  hello,
  calibration,
  calibrate,
  fit,
  evaluate,
  update,
  'update-receipt': updateReceipt,
  'alarm-receipt': alarmReceipt,
  'blob-request': blobRequest,
  'chunk-request': chunkRequest,
  manifest,
  trust,
  'model-report': modelReport,
  'alarm-command': alarmCommand,
  'label-command': labelCommand,
  'command-receipt': commandReceipt,
};

/** `message` is checked afterwards by the schema of its kind, so that errors name that kind's fields. */
export const envelopeSchema = z.object({
  protocol: z.int(),
  federation: id,
  sender: id,
  sequence: count,
  sentAtMs: z.number(),
  message: z.unknown(),
  keyId: bytes.refine((value) => value.length === 8, 'must be 8 bytes').exactOptional(),
  signature: bytes.refine((value) => value.length === 64, 'must be 64 bytes').nullable(),
});

export const scalerSchema: ZodType<Lineage['scaler']> = z.object({
  mean: z.array(z.number()).max(16384),
  scale: z.array(z.number().positive()).max(16384),
  clip: z.number().positive(),
});

export const architectureSchema: ZodType<Lineage['architecture']> = z.object({
  inputs: positive.max(16384),
  hidden: z.array(positive.max(8192)).max(16),
  members: positive.max(64),
});

export const lineageSchema: ZodType<Lineage> = z
  .object({
    schema: featureSchema,
    schemaHash: hash,
    scaler: scalerSchema,
    architecture: architectureSchema,
    exchange: blob.nullable(),
  })
  .refine(
    ({ scaler, architecture }) =>
      scaler.mean.length === architecture.inputs && scaler.scale.length === architecture.inputs,
    { path: ['scaler'], message: 'must have one mean and one scale per input of the architecture' },
  );

export const agentStatusSchema: ZodType<AgentStatus> = z.object({
  online: z.boolean(),
  connectionId: name,
  atMs: z.number(),
  softwareVersion: name,
  modelVersion: name.nullable(),
  health: z
    .object({
      rowsAcquired: count,
      rowsMissing: count,
      badSamples: count,
      duplicateReadings: count,
      lateReadings: count,
      droppedTelemetry: count,
      outboxEvents: count,
      droppedEvents: count.exactOptional(),
      rssBytes: count,
      sensorToAlarmMsP50: z.number().nullable(),
      sensorToAlarmMsP99: z.number().nullable(),
      sensorToAlarmCount: count,
      deviceFaults: z.record(name, text),
      refusedMessages: z.record(name, count).exactOptional(),
    })
    .nullable(),
  instance: z.object({ id: name, startedAtMs: z.number(), host: z.string().max(256) }).exactOptional(),
  protocols: protocols.exactOptional(),
});

export const serverStatusSchema: ZodType<ServerStatus> = z.object({
  online: z.boolean(),
  connectionId: name,
  softwareVersion: name,
  protocols: protocols.exactOptional(),
});

const silentTags: ZodType<SilentTags> = z.object({
  tags: z.array(name).max(64),
  reason: z.string().max(1_024),
  devices: z.array(name).max(64).exactOptional(),
  sinceMs: z.number().exactOptional(),
});

export const alarmEventSchema: ZodType<AlarmEvent> = z.object({
  eventId: name,
  alarmId: name,
  agent: id,
  transition: z.enum(['raised', 'cleared', 'acknowledged', 'shelved', 'unshelved']),
  atMs: z.number(),
  score: z.number(),
  threshold: z.number(),
  modelVersion: name,
  contributions: z.array(z.object({ tag: name, share: z.number(), value: z.number() })).max(256),
  latencyMs: z.number(),
  communication: silentTags.exactOptional(),
  peakScore: z.number().exactOptional(),
});

export const telemetrySchema: ZodType<Telemetry> = z.object({
  atMs: z.number(),
  score: z.number().nullable(),
  values: z.record(
    name,
    z.object({ value: z.number().nullable(), quality: z.string().max(16), text: z.string().max(256).exactOptional() }),
  ),
  isPartial: z.boolean().exactOptional(),
});
