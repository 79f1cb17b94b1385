import { z } from 'zod';
import { crossCheck, type Sound } from './cross-check.js';
import { durationBetween } from './duration.js';
import { identifier } from './identifier.js';

/** The embedded broker's configuration file. Paths are relative to the file. */

const credential = z
  .strictObject({
    username: z.string().min(1).max(128).meta({ description: 'as in the client’s file' }),
    password: z.string().min(8).max(256).meta({ description: 'as in the client’s file' }),
    role: z.enum(['agent', 'server', 'observer']).meta({
      description:
        'agent: its own topics only; server: what a twin-server does; observer: reads everything, writes nothing',
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
  maximumQueuedPerClient: z
    .int()
    .min(1)
    .default(10_000)
    .meta({ description: 'messages kept on disk for a client that is away; what comes after is dropped and counted' }),
  maximumRetained: z.int().min(1).default(10_000).meta({ description: 'topics with a retained message' }),
});

export const brokerSchema = z.strictObject({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .meta({ description: 'address to listen on; 0.0.0.0 for every interface' }),
  port: z.int().min(0).max(65_535).default(1883).meta({ description: '0 takes any free port' }),
  dataDir: z.string().min(1).meta({ description: 'where sessions, queued and retained messages are kept' }),
  limits: brokerLimitsSchema.prefault({}).meta({ description: 'what one client, or all of them, may take' }),
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
  logLevel: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .meta({ description: 'least level that is logged' }),
});

export type BrokerConfig = z.infer<typeof brokerSchema>;
export type BrokerLimits = z.infer<typeof brokerLimitsSchema>;
export type BrokerCredential = z.infer<typeof credential>;
