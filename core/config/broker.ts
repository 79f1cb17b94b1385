import { z } from 'zod';
import { SCRYPT_HASH } from '../security/scrypt-hash.js';
import { type Contradiction, crossCheck, type Sound } from './cross-check.js';
import { durationBetween } from './duration.js';
import { identifier } from './identifier.js';

const MIB = 1024 * 1024;

/** The embedded broker's configuration file. Paths are relative to the file. */

/** What is stored for a password, of a client or of an operator. */
export const storedPassword = z
  .string()
  .min(8)
  .max(256)
  .refine((text) => !text.startsWith('$scrypt$') || SCRYPT_HASH.test(text), {
    error: 'begins as a scrypt hash and is none; copy the whole line that twinwatch hash-password prints',
  });

const credential = z
  .strictObject({
    username: z.string().min(1).max(128).meta({ description: 'as in the client’s file' }),
    password: storedPassword.meta({
      description: 'what `twinwatch hash-password` prints for the client’s password, or the password itself',
    }),
    role: z.enum(['agent', 'server', 'operator', 'observer']).meta({
      description:
        'agent: its own topics only; server: what a twin-server does; operator: reads everything, the broker’s own figures under $SYS included, writes nothing; observer: the same without those figures',
    }),
    agent: identifier.optional().meta({ description: 'whose topics, for the role agent' }),
  })
  .check(
    crossCheck(function* ({ role, agent }: Sound<{ role: string; agent?: string | undefined }>) {
      if (role === undefined) return;
      if (role === 'agent' && agent === undefined)
        yield { path: ['agent'], message: "is missing; a user with the role 'agent' needs the agent's id" };
      if (role !== 'agent' && agent !== undefined)
        yield { path: ['agent'], message: `is only for the role 'agent', not for '${role}'` };
    }),
  );

export const brokerLimitsSchema = z.strictObject({
  maximumPayloadBytes: z
    .int()
    .min(4096)
    .max(64 * 1024 * 1024)
    .default(256 * 1024)
    .meta({ description: 'a larger message is acknowledged and dropped; one four times as large ends the connection' }),
  maximumTopicLevels: z.int().min(6).max(100).default(16).meta({ description: 'deeper topics are refused' }),
  maximumTopicBytes: z.int().min(192).max(65_535).default(512).meta({ description: 'longer topics are refused' }),
  maximumSubscriptionsPerClient: z.int().min(1).default(256).meta({ description: 'further ones are refused' }),
  maximumConnections: z.int().min(1).default(4096).meta({ description: 'further ones are refused' }),
  maximumSessions: z.int().min(1).default(10_000).meta({
    description:
      'that outlive a connection (`clean: false`); for one more, that of the client that has been away for longest is dropped with what waits in it, counted and logged',
  }),
  maximumSessionsPerAgent: z
    .int()
    .min(2)
    .default(16)
    .meta({ description: 'the same for one agent, where there are users or certificates: its own oldest goes, then' }),
  maximumQueuedPerClient: z
    .int()
    .min(1)
    .default(10_000)
    .meta({ description: 'messages kept on disk for a client that is away; what comes after is dropped and counted' }),
  maximumQueuedBytesPerClient: z
    .int()
    .min(65_536)
    .default(64 * MIB)
    .meta({ description: 'the same, by what they hold' }),
  maximumQueuedBytes: z
    .int()
    .min(MIB)
    .default(1024 * MIB)
    .meta({
      description:
        'for all clients together; half of it goes to who needs it, and of the other half every session may have an equal part at any time',
    }),
  maximumRetained: z.int().min(1).default(10_000).meta({ description: 'topics with a retained message' }),
  maximumRetainedBytes: z
    .int()
    .min(65_536)
    .default(64 * MIB)
    .meta({ description: 'in all of them together; what would go beyond is dropped and counted' }),
  maximumUnsentBytesPerClient: z
    .int()
    .min(65_536)
    .default(8 * MIB)
    .meta({
      description:
        'that wait in memory for a client that reads too slowly. Beyond, QoS 0 is dropped and counted, and for QoS 1 the client is cut off: its session gives it all of it when it comes back',
    }),
  maximumMessagesPerSecond: z.number().min(1).max(1_000_000).default(2_000).meta({
    description:
      'of one client, over time; it is read no faster, so nothing is lost. Does not hold for the role server, which speaks to every agent',
  }),
  maximumMessageBurst: z
    .int()
    .min(1)
    .default(10_000)
    .meta({ description: 'of one client at once, after it was quiet' }),
});

export const lockOutSchema = z.strictObject({
  freeAttempts: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .meta({ description: 'wrong passwords from one address, or for one user name, before the first pause' }),
  firstPause: durationBetween('100ms', '1h').prefault('1s').meta({
    description: 'during which everything from there is refused unseen; doubles with every further wrong password',
  }),
  longestPause: durationBetween('1s', '1d').prefault('5m').meta({
    description: 'a doubled pause ends here; after twice this without a wrong password all is forgotten',
  }),
});

const metricsSchema = z.strictObject({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .meta({ description: 'address to listen on; whoever reaches it may read the figures, without a password' }),
  port: z.int().min(0).max(65_535).optional().meta({
    description: 'of /metrics (Prometheus) and /health over HTTP; 0 takes any free port, absent serves none',
  }),
  interval: durationBetween('100ms', '1h').prefault('10s').meta({ description: 'between two publications under $SYS' }),
});

const CLIENT_LOGINS = ['certificate', 'certificate-or-password', 'password'] as const;
export type ClientLogin = (typeof CLIENT_LOGINS)[number];

const tls = z.strictObject({
  cert: z.string().min(1).meta({ description: 'file with the broker’s certificate as PEM' }),
  key: z.string().min(1).meta({ description: 'file with its private key as PEM, not encrypted' }),
  ca: z.string().min(1).meta({ description: 'file with the authorities that sign clients’ certificates, as PEM' }),
  revoked: z.string().min(1).optional().meta({
    description: 'file with revocation lists as PEM; whom they name is cut off and refused',
  }),
  clients: z.enum(CLIENT_LOGINS).default('certificate').meta({
    description: 'what a client has to show; a password is one of `credentials`',
  }),
});

/** Whoever writes it has read what it means. */
export const ALLOW_INSECURE = 'I trust everybody on this network';

export const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

interface Fields {
  readonly host: string;
  readonly tls: { readonly clients?: ClientLogin | undefined };
  readonly credentials: readonly object[];
  readonly allowInsecure: string;
}

function* openToOthers(sound: Sound<Fields>): Generator<Contradiction> {
  const { host, tls, allowInsecure } = sound;
  const has = (field: string) => Object.hasOwn(sound, field);
  const clients = tls?.clients ?? 'certificate';
  if (tls !== undefined && clients !== 'certificate' && !has('credentials'))
    yield { path: ['tls', 'clients'], message: `is ${clients}, and there are no credentials to compare with` };
  if (host === undefined || LOOPBACK.test(host) || has('tls') || allowInsecure !== undefined) return;
  const danger = has('credentials')
    ? 'passwords and everything else go over the network in clear'
    : 'anybody there may take part, and read everything';
  yield {
    path: ['host'],
    message: `'${host}' can be reached from other machines, and without tls ${danger}; let \`twinwatch init\` set it up, or write allowInsecure: ${ALLOW_INSECURE}`,
  };
}

/** Field by field: what a broker that is started without a file takes its defaults from. */
export const brokerFields = z.strictObject({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .meta({ description: 'address to listen on; 0.0.0.0 for every interface' }),
  port: z.int().min(0).max(65_535).default(1883).meta({ description: '0 takes any free port' }),
  dataDir: z.string().min(1).meta({ description: 'where sessions, queued and retained messages are kept' }),
  sync: z.boolean().default(false).meta({
    description:
      'acknowledge a message only when the disk has it, so that it survives a power cut and not only the end of the process; slower, and wears out flash memory',
  }),
  minimumFreeBytes: z
    .int()
    .min(0)
    .default(16 * MIB)
    .meta({
      description:
        'with less room on the disk of dataDir only deletions are written there, until there is twice as much; messages are passed on to who is connected meanwhile, and acknowledged afterwards',
    }),
  limits: brokerLimitsSchema.prefault({}).meta({ description: 'what one client, or all of them, may take' }),
  maximumAbsence: durationBetween('1m', '1000d').prefault('30d').meta({
    description:
      'a session whose client was away for longer is dropped with what waits in it, counted and logged; only time in which the broker ran counts',
  }),
  drainTimeout: durationBetween('100ms', '1m').prefault('5s').meta({
    description: 'a client that takes nothing from its socket for this long is cut off, because it holds up the others',
  }),
  heartbeat: durationBetween('1s', '1h').prefault('5s').meta({
    description:
      'also how soon wills of clients that vanished together with the broker are published: after four of these',
  }),
  credentials: z
    .array(credential)
    .min(1)
    .check(
      crossCheck(function* (entries: Sound<{ username: string }[]>) {
        const names = entries.map((entry) => entry?.username);
        for (const [index, name] of names.entries())
          if (name !== undefined && names.indexOf(name) !== index)
            yield { path: [index, 'username'], message: `'${name}' is there twice` };
      }),
    )
    .optional()
    .meta({ description: 'who may connect; anybody where absent, so only on a network that is trusted' }),
  lockOut: lockOutSchema.prefault({}).meta({ description: 'against guessing of passwords' }),
  tls: tls.optional().meta({ description: 'encryption, and who is who by certificates; `twinwatch init` makes it' }),
  allowInsecure: z
    .literal(ALLOW_INSECURE)
    .optional()
    .meta({ description: 'lets a broker without tls listen on an address that other machines reach' }),
  metrics: metricsSchema.prefault({}).meta({ description: 'what the broker tells about itself' }),
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .meta({ description: 'least level that is logged' }),
});

export const brokerSchema = brokerFields.check(crossCheck(openToOthers));

export type BrokerConfig = z.infer<typeof brokerSchema>;
export type BrokerLimits = z.infer<typeof brokerLimitsSchema>;
export type BrokerCredential = z.infer<typeof credential>;
