import { z } from 'zod';
import { brokerConnectionSchema } from './broker-connection.js';
import { crossCheck, type Sound } from './cross-check.js';
import { duration } from './duration.js';
import { httpAccess } from './http-access.js';
import { identifier } from './identifier.js';
import { lpeMisfit, methodFields } from './methods.js';
import { recordedFileFields } from './recorded-file.js';
import { registryConfig } from './registry.js';
import { robustnessContradictions, robustnessFields } from './robustness.js';

/** The twin-server's configuration: one source for its types, defaults, JSON Schema and messages. */

const rows = z.int().min(1).max(10_000);
const tag = z.string().min(1).meta({ description: "a tag, or a pattern such as 'L_*'" });

const TYPES =
  'raw: the value; delta: its change over `rows`; lag: its value `rows` before; rollingMean, rollingStd: over the last `rows`; hourOfDay: sine and cosine of the time of day; residual: what a linear expectation from other tags, fitted to the twin, leaves unexplained; rule: how far an on-off rule of a controller is broken';
const ROWS = 'rows back, or rows of the window';
const HARMONICS = 'pairs of sine and cosine of the time of day';

const kind = <T extends string>(type: T) => z.literal(type).meta({ description: TYPES });
const harmonics = z.int().max(6).meta({ description: HARMONICS });

const ruleCondition = z
  .strictObject({
    tag: z.string().min(1).meta({ description: 'the tag that switches' }),
    below: z.number().optional().meta({ description: "threshold, in the tag's unit" }),
    above: z.number().optional().meta({ description: "threshold, in the tag's unit" }),
  })
  .refine(({ below, above }) => (below === undefined) !== (above === undefined), {
    error: 'must have exactly one of below and above',
  });

const featurePattern = z.discriminatedUnion('type', [
  z.strictObject({ type: kind('raw'), tag }),
  z.strictObject({ type: kind('delta'), tag, rows: rows.default(1).meta({ description: ROWS }) }),
  z.strictObject({ type: kind('lag'), tag, rows: rows.default(1).meta({ description: ROWS }) }),
  z.strictObject({ type: kind('rollingMean'), tag, rows: rows.meta({ description: ROWS }) }),
  z.strictObject({ type: kind('rollingStd'), tag, rows: rows.min(2).meta({ description: ROWS }) }),
  z.strictObject({ type: kind('hourOfDay'), harmonics: harmonics.min(1).default(1) }),
  z.strictObject({
    type: kind('residual'),
    tag,
    of: z
      .enum(['value', 'change'])
      .default('value')
      .meta({ description: 'what is explained: the value of `tag`, or its change over one row' }),
    from: z
      .array(tag)
      .default([])
      .meta({ description: 'tags or patterns that may explain it; a tag never explains itself in the same row' }),
    squares: z.array(tag).default([]).meta({ description: 'tags or patterns whose squares may explain it, too' }),
    rowsAgo: z
      .array(z.int().min(0).max(100))
      .min(1)
      .max(8)
      .default([0])
      .meta({ description: 'rows that those tags are taken from; 0: the same row' }),
    harmonics: harmonics.min(0).default(0),
    windows: z
      .array(rows)
      .min(1)
      .max(16)
      .default([1])
      .meta({ description: 'rows of each mean of the residual; 1: the residual itself. One input each' }),
  }),
  z
    .strictObject({
      type: kind('rule'),
      state: z.string().min(1).default('*').meta({
        description: "tag of a pump's or valve's state; without `on` and `off`, a pattern over the plant's rules",
      }),
      on: ruleCondition.optional().meta({ description: 'what switches it on' }),
      off: ruleCondition.optional().meta({ description: 'what switches it off' }),
      windows: z
        .array(rows)
        .min(1)
        .max(16)
        .default([1])
        .meta({ description: 'rows of each mean; 1: the row itself. Two inputs each' }),
    })
    .refine(({ on, off }) => (on === undefined) === (off === undefined), {
      error: "must have both on and off, or neither to take the plant's rules",
    }),
]);

const csvTwin = z.strictObject({
  file: z.string().min(1).meta({ description: 'relative to this file' }),
  timeColumn: z.string().default('time').meta({ description: 'column with ISO 8601 times or seconds since 1970' }),
  labelColumn: z
    .string()
    .default('label')
    .meta({ description: 'column that is 1 under attack, 0 without, anything else where that is not known' }),
  episodeColumn: z.string().optional().meta({ description: 'column whose change begins a new episode' }),
  columns: recordedFileFields.columns,
});

const history = z.strictObject({
  file: z
    .string()
    .min(1)
    .meta({ description: 'CSV of the real plant, relative to this file; rows labelled 1 are left out' }),
  ...recordedFileFields,
});

const twin = z
  .strictObject({
    plant: z.string().optional().meta({ description: 'plant.yaml, relative to this file' }),
    csv: csvTwin.optional().meta({ description: 'a file of simulated rows instead of a plant' }),
    demands: z.enum(['plant', 'agents']).optional().meta({
      description:
        'agents: before the twin is simulated, its demands are fitted to summaries that the agents send, and kept in demands.yaml in dataDir; plant, or absent: as the plant file has them',
    }),
    history: history
      .optional()
      .meta({ description: 'a history that an operator hands over, to fit the demands to instead' }),
    seed: z.int().default(1).meta({ description: 'of everything random in the twin' }),
    episodes: z
      .int()
      .min(2)
      .max(10_000)
      .default(40)
      .meta({ description: 'simulated stretches of time, attacked ones included' }),
    days: z.number().min(0.25).max(366).default(7).meta({ description: 'simulated days of one episode' }),
    attackShare: z.number().min(0).max(1).default(0.5).meta({ description: 'share of episodes that hold an attack' }),
    validationShare: z
      .number()
      .min(0.05)
      .max(0.5)
      .default(0.25)
      .meta({ description: 'share of the episodes held back to validate on' }),
  })
  .check(
    crossCheck(function* (sound: Sound<{ plant?: unknown; csv?: unknown; demands?: unknown; history?: unknown }>) {
      // What is wrong in itself is there all the same: its key stays.
      const has = (field: string) => Object.hasOwn(sound, field);
      if (has('plant') === has('csv')) yield { path: [], message: "has to name exactly one source, 'plant' or 'csv'" };
      if (has('csv') && (sound.demands === 'agents' || has('history')))
        yield { path: [], message: 'has demands to fit, which a file of simulated rows does not have' };
      if (sound.demands === 'agents' && has('history'))
        yield { path: [], message: 'has two things to fit demands to; write demands or history' };
    }),
  );

const detector = z.strictObject({
  features: z
    .array(featurePattern)
    .min(1)
    .prefault([{ type: 'raw', tag: '*' }])
    .meta({ description: 'inputs of the model, in this order' }),
  holdRows: z
    .int()
    .min(0)
    .max(1_000)
    .default(3)
    .meta({ description: 'rows for which a tag that is not good keeps its last good value' }),
  hidden: z
    .array(z.int().min(1).max(4_096))
    .max(8)
    .default([32, 16])
    .meta({ description: 'width of each hidden layer, first to last' }),
  members: z.int().min(1).max(16).default(1).meta({ description: 'networks averaged into one score' }),
  twinScaling: z.enum(['own', 'sites']).default('own').meta({
    description:
      "what the twin's rows are scaled by: their own normal running, so that a twin that is a little off still shows what an attack does; or the sites'",
  }),
  clip: z.number().min(1).max(1_000).default(8).meta({ description: 'scaled inputs are cut off at ± this' }),
  alarm: z
    .strictObject({
      onDelayRows: z
        .int()
        .min(1)
        .max(1_000)
        .default(2)
        .meta({ description: 'rows in a row above the threshold that raise an alarm' }),
      offDelayRows: z.int().min(1).max(1_000).default(4).meta({ description: 'rows in a row below it that clear one' }),
      hysteresis: z
        .number()
        .min(0)
        .max(0.9)
        .default(0.1)
        .meta({ description: 'an alarm clears below threshold · (1 − hysteresis)' }),
    })
    .prefault({})
    .meta({ description: 'from scores to alarms' }),
  maximumFalseRate: z
    .number()
    .gt(0)
    .max(0.5)
    .default(0.001)
    .meta({ description: 'share of normal rows above the threshold that is accepted; sets the threshold' }),
});

const METHODS = ['fedavg', 'fedprox', 'dtml', 'fpf', 'lpe', 'cwa', 'dtkd'] as const;
const METHOD_WORDS =
  'the learning method, see methods.md: FedAvg and FedProx do without the twin model; dtml: meta-learning; fpf: parameter fusion; lpe: layer-wise parameter exchange; cwa: cyclic weight adaptation; dtkd: knowledge distillation';

const updateCodec = z.enum(['f32', 'f16', 'int8', 'topk-f16', 'topk-int8']);

const roundsFields = {
  count: z.int().min(1).max(100_000).default(20).meta({ description: 'rounds until the server has finished' }),
  quorum: z.int().min(1).max(100_000).default(3).meta({ description: 'updates without which a round fails' }),
  fraction: z.number().gt(0).max(1).default(1).meta({ description: 'of the agents online, asked per round' }),
  minimumRows: z
    .int()
    .min(1)
    .default(200)
    .meta({ description: 'rows that may be trained on without which an agent is not asked' }),
  deadline: duration
    .prefault('60s')
    .meta({ description: 'after which a round goes on without those that are missing' }),
  epochs: z.int().min(1).max(1_000).default(2).meta({ description: 'passes over an agent’s rows per round' }),
  twinEpochs: z.int().min(1).max(1_000).default(2).meta({ description: 'passes over the twin’s rows per round' }),
  batchSize: z.int().min(1).max(100_000).default(32).meta({ description: 'rows per step' }),
  learningRate: z.number().gt(0).max(1).default(0.001).meta({ description: 'of Adam' }),
  proximalMu: z.number().min(0).max(1_000).default(0.01).meta({ description: 'of fedprox' }),
  ...methodFields,
  ...robustnessFields,
  codec: updateCodec.default('topk-int8').meta({
    description:
      'how updates travel: f32 4 bytes per parameter, f16 2, int8 1, topk-f16 and topk-int8 the largest changes only; what is left out is carried over to the next round. An agent that lacks it sends f32',
  }),
  agentCodecs: z
    .record(identifier, updateCodec)
    .default({})
    .meta({ description: 'agent id → codec, for agents that are to send as another one than `codec`' }),
  topKShare: z
    .number()
    .gt(0)
    .max(1)
    .default(0.5)
    .meta({ description: 'share of the parameters that the codecs topk-f16 and topk-int8 send' }),
  exchangeRows: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(2_000)
    .meta({ description: 'twin rows sent to every agent once' }),
  exchangeShare: z
    .number()
    .min(0)
    .max(100)
    .default(1)
    .meta({ description: 'twin rows per row of the agent’s own in an epoch' }),
  releaseEvery: z.int().min(0).default(0).meta({ description: 'rounds; 0: only after the last' }),
  maximumUpdateNorm: z.number().gt(0).default(1_000).meta({ description: 'Euclidean norm of an accepted update' }),
  maximumUpdateRows: z.int().min(1).default(10_000_000).meta({ description: 'an update that claims more is refused' }),
};

/** A `rounds` block that names its method. */
export const roundsConfig = z
  .strictObject({ method: z.enum(METHODS).default('cwa').meta({ description: METHOD_WORDS }), ...roundsFields })
  .check(crossCheck(robustnessContradictions))
  .prefault({});

const roundsOfServer = z
  .strictObject({
    method: z
      .enum([...METHODS, 'auto'])
      .default('cwa')
      .meta({
        description: `${METHOD_WORDS}; auto: what \`twinwatch advise\` says of the twin and \`twin.history\`, at every start`,
      }),
    ...roundsFields,
  })
  .check(crossCheck(robustnessContradictions))
  .prefault({});

const serverFields = {
  federation: identifier.meta({
    description: 'name of the federation: everything that learns together; part of every MQTT topic',
  }),
  broker: brokerConnectionSchema.meta({ description: 'the MQTT broker, and how to log in' }),
  security: z
    .strictObject({
      directory: z.string().min(1).meta({ description: 'keys of the federation, and records of its agents' }),
    })
    .optional()
    .meta({ description: 'what `twinwatch init` made' }),
  dataDir: z.string().min(1).meta({ description: 'where the journal, models and the twin’s rows are kept' }),
  http: httpAccess.prefault({}).meta({ description: 'the page and the API' }),
  twin: twin.meta({ description: 'where labelled rows come from' }),
  registry: registryConfig.meta({ description: 'what a new model has to show before all agents run it' }),
  detector: detector.prefault({}).meta({ description: 'what the model looks at, its shape, and when it alarms' }),
  engine: z
    .enum(['auto', 'builtin', 'tensorflow'])
    .default('auto')
    .meta({ description: 'builtin, tensorflow, or the faster of the two for the size of the network' }),
  log: z.enum(['debug', 'info', 'warn', 'error']).default('info').meta({ description: 'least level that is logged' }),
};

const ROUNDS = 'federated rounds';
const contradictions = function* ({ rounds, detector, twin: source }: Sound<Checked>) {
  if (rounds?.method === 'auto' && !Object.hasOwn(source ?? {}, 'history'))
    yield {
      path: ['rounds', 'method'],
      message: 'is auto, and there is no twin.history to compare the twin with; name one, or a method',
    };
  const hidden = detector?.hidden;
  const misfit = hidden === undefined ? null : lpeMisfit(rounds?.lpe, hidden.length + 1);
  if (misfit !== null) yield { path: ['rounds', 'lpe', misfit.field], message: misfit.message };
};

/** What a server runs on: its method is named. */
export const serverConfig = z
  .strictObject({ ...serverFields, rounds: roundsConfig.meta({ description: ROUNDS }) })
  .check(crossCheck(contradictions));

/** What may be written in server.yaml: the method may be left to the twin and the history. */
export const serverFile = z
  .strictObject({ ...serverFields, rounds: roundsOfServer.meta({ description: ROUNDS }) })
  .check(crossCheck(contradictions));

interface Checked {
  readonly rounds: {
    readonly method: string;
    readonly lpe: { readonly map: readonly string[]; readonly lowerLayers: number };
  };
  readonly detector: { readonly hidden: number[] };
  readonly twin: { readonly history: object };
}

export type ServerConfig = z.output<typeof serverConfig>;
export type RoundsConfig = ServerConfig['rounds'];
export type ServerFile = z.output<typeof serverFile>;
export type DetectorConfig = ServerConfig['detector'];
