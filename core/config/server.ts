import { z } from 'zod';
import { duration } from './duration.js';

/** The twin-server's configuration: one source for its types, defaults, JSON Schema and messages. */

const id = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, { error: 'must be 1–64 letters, digits, _ or -' });
const rows = z.int().min(1).max(10_000);
const tag = z.string().min(1).meta({ description: "a tag, or a pattern such as 'L_*'" });

const featurePattern = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('raw'), tag }),
  z.strictObject({ type: z.literal('delta'), tag, rows: rows.default(1) }),
  z.strictObject({ type: z.literal('lag'), tag, rows: rows.default(1) }),
  z.strictObject({ type: z.literal('rollingMean'), tag, rows }),
  z.strictObject({ type: z.literal('rollingStd'), tag, rows: rows.min(2) }),
  z.strictObject({ type: z.literal('hourOfDay'), harmonics: z.int().min(1).max(6).default(1) }),
]);

const twin = z
  .strictObject({
    plant: z.string().optional().meta({ description: 'plant.yaml, relative to this file' }),
    csv: z.string().optional().meta({ description: 'a file of simulated rows instead of a plant' }),
    csvLabel: z.string().optional().meta({ description: 'column of the csv that is 1 under attack' }),
    seed: z.int().default(1),
    episodes: z.int().min(2).max(10_000).default(40),
    days: z.number().min(0.25).max(366).default(7),
    attackShare: z.number().min(0).max(1).default(0.5).meta({ description: 'share of episodes that hold an attack' }),
    validationShare: z.number().min(0.05).max(0.5).default(0.25),
  })
  .refine((value) => (value.plant === undefined) !== (value.csv === undefined), {
    error: "has to name exactly one source, 'plant' or 'csv'",
  });

const detector = z.strictObject({
  features: z
    .array(featurePattern)
    .min(1)
    .prefault([{ type: 'raw', tag: '*' }]),
  interval: duration.optional().meta({ description: "of rows; the plant's own where absent" }),
  holdRows: z.int().min(0).max(1_000).default(3),
  hidden: z.array(z.int().min(1).max(4_096)).max(8).default([32, 16]),
  members: z.int().min(1).max(16).default(1),
  clip: z.number().min(1).max(1_000).default(8),
  alarm: z
    .strictObject({
      onDelayRows: z.int().min(1).max(1_000).default(2),
      offDelayRows: z.int().min(1).max(1_000).default(4),
      hysteresis: z.number().min(0).max(0.9).default(0.1),
    })
    .prefault({}),
  maximumFalseRate: z.number().gt(0).max(0.5).default(0.001),
});

export const roundsConfig = z
  .strictObject({
    method: z.enum(['fedavg', 'fedprox', 'cwa']).default('cwa'),
    count: z.int().min(1).max(100_000).default(20),
    quorum: z.int().min(1).max(100_000).default(3),
    fraction: z.number().gt(0).max(1).default(1).meta({ description: 'of the agents online, asked per round' }),
    minimumRows: z.int().min(1).default(200),
    deadline: duration.prefault('60s'),
    epochs: z.int().min(1).max(1_000).default(2),
    twinEpochs: z.int().min(1).max(1_000).default(2),
    batchSize: z.int().min(1).max(100_000).default(32),
    learningRate: z.number().gt(0).max(1).default(0.001),
    proximalMu: z.number().min(0).max(1_000).default(0.01).meta({ description: 'of fedprox' }),
    codec: z.enum(['f32', 'int8']).default('int8'),
    exchangeRows: z.int().min(0).max(1_000_000).default(2_000),
    exchangeShare: z.number().min(0).max(100).default(1),
    releaseEvery: z.int().min(0).default(0).meta({ description: 'rounds; 0: only after the last' }),
    maximumUpdateNorm: z.number().gt(0).default(1_000).meta({ description: 'Euclidean norm of an accepted update' }),
    maximumUpdateRows: z.int().min(1).default(10_000_000),
  })
  .prefault({});

export const serverConfig = z.strictObject({
  federation: id,
  broker: z.strictObject({
    url: z.url({ protocol: /^(mqtts?|wss?|tcp)$/ }),
    username: z.string().optional(),
    password: z.string().optional(),
    ca: z.string().optional().meta({ description: 'PEM file, relative to this file' }),
  }),
  dataDir: z.string().min(1),
  http: z
    .strictObject({ host: z.string().default('127.0.0.1'), port: z.int().min(0).max(65_535).default(8_080) })
    .prefault({}),
  twin,
  detector: detector.prefault({}),
  rounds: roundsConfig,
  engine: z.enum(['auto', 'builtin', 'tensorflow']).default('auto'),
  log: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export type ServerConfig = z.output<typeof serverConfig>;
export type RoundsConfig = ServerConfig['rounds'];
export type DetectorConfig = ServerConfig['detector'];
