import { z } from 'zod';
import { ALLOW_INSECURE, LOOPBACK, lockOutSchema, storedPassword } from './broker.js';
import { type Contradiction, crossCheck, type Sound } from './cross-check.js';
import { durationBetween } from './duration.js';

/** Who may see the twin-server's page and use its API. */

const operator = z.strictObject({
  name: z
    .string()
    .trim()
    .min(1)
    .max(64)
    .meta({ description: 'what the operator logs in with; decisions are kept under it' }),
  password: storedPassword.meta({
    description: 'what `twinwatch hash-password` prints for it, or the password itself',
  }),
  role: z
    .enum(['viewer', 'operator'])
    .default('operator')
    .meta({ description: 'viewer: sees everything, changes nothing; operator: decides, too' }),
});

interface Fields {
  readonly host: string;
  readonly tls: object;
  readonly operators: readonly { readonly name: string }[];
  readonly allowInsecure: string;
}

function* contradictions(sound: Sound<Fields>): Generator<Contradiction> {
  const { host, operators, allowInsecure } = sound;
  const names = operators?.map((entry) => entry?.name) ?? [];
  for (const [index, name] of names.entries())
    if (name !== undefined && names.indexOf(name) !== index)
      yield { path: ['operators', index, 'name'], message: `'${name}' is there twice` };
  const [hasTls, hasOperators] = [Object.hasOwn(sound, 'tls'), Object.hasOwn(sound, 'operators')];
  if (host === undefined || LOOPBACK.test(host) || (hasTls && hasOperators) || allowInsecure !== undefined) return;
  const danger = hasOperators
    ? 'without tls passwords go over the network in clear; name certificate and key under tls'
    : 'without operators anybody there may decide about alarms; list who may under operators';
  yield {
    path: ['host'],
    message: `'${host}' can be reached from other machines, and ${danger}, or write allowInsecure: ${ALLOW_INSECURE}`,
  };
}

export const httpAccess = z
  .strictObject({
    host: z.string().default('127.0.0.1').meta({ description: 'address to listen on; 0.0.0.0 for every interface' }),
    port: z.int().min(0).max(65_535).default(8_080).meta({ description: '0 takes any free port' }),
    tls: z
      .strictObject({
        cert: z.string().min(1).meta({ description: 'file with the certificate as PEM' }),
        key: z.string().min(1).meta({ description: 'file with its private key as PEM, not encrypted' }),
      })
      .optional()
      .meta({ description: 'HTTPS instead of HTTP' }),
    operators: z
      .array(operator)
      .min(1)
      .max(1_000)
      .optional()
      .meta({ description: 'who may log in; where absent, whoever reaches the port may see and decide everything' }),
    session: durationBetween('1m', '30d')
      .prefault('12h')
      .meta({ description: 'without a request for this long an operator is logged out' }),
    longestSession: durationBetween('1m', '365d')
      .prefault('7d')
      .meta({ description: 'after this long an operator logs in again, however busy the session was' }),
    lockOut: lockOutSchema.prefault({}).meta({ description: 'against guessing of passwords' }),
    requestsPerMinute: z
      .int()
      .min(10)
      .max(1_000_000)
      .default(1_200)
      .meta({ description: 'from one address; further ones are refused until the minute is over' }),
    allowInsecure: z
      .literal(ALLOW_INSECURE)
      .optional()
      .meta({ description: 'lets a server without tls or operators listen on an address that other machines reach' }),
  })
  .check(crossCheck(contradictions));

export type HttpAccess = z.output<typeof httpAccess>;
