import { z } from 'zod';
import { crossCheck, type Sound } from './cross-check.js';

/** How a client reaches an MQTT broker: the section `broker:` of agents and servers. */

const TLS_URL = /^(mqtts|ssl|wss):/;

/** To the broker: shared by every process that is a client of it. Paths are relative to the file. */
export const brokerConnectionSchema = z
  .strictObject({
    url: z
      .string()
      .regex(/^(mqtts?|tcp|ssl|wss?):\/\/\S+$/, { error: "must be a URL such as 'mqtt://broker.example:1883'" })
      .regex(/^[^@]*$/, { error: 'a URL is logged, so it holds no login; write username and passwordFile' })
      .meta({ description: 'of the MQTT broker: mqtt://host:1883, mqtts://host:8883, ws:// or wss://' }),
    protocol: z.enum(['mqtt-3.1.1', 'mqtt-5']).default('mqtt-3.1.1').meta({
      description:
        'mqtt-3.1.1 works with every broker; mqtt-5 where it speaks it, which tells why it refuses something',
    }),
    username: z.string().min(1).optional().meta({ description: 'where the broker asks for one' }),
    password: z.string().optional().meta({ description: 'where the broker asks for one; better kept in a file' }),
    passwordFile: z.string().min(1).optional().meta({
      description: 'file that holds the password and nothing else; a line end after it does not count',
    }),
    passwordEnv: z.string().min(1).optional().meta({ description: 'environment variable that holds the password' }),
    ca: z.string().min(1).optional().meta({
      description:
        "file with the certificate authority's PEM, for a broker whose certificate is not signed by a public one",
    }),
    cert: z.string().min(1).optional().meta({
      description: "file with this client's certificate as PEM, where the broker asks for one; needs key",
    }),
    key: z.string().min(1).optional().meta({ description: 'file with the private key of cert as PEM, not encrypted' }),
  })
  .check(crossCheck(contradictions));

const { shape } = brokerConnectionSchema;
/** The same for a broker that a source or a publisher may have of its own; the agent's where `url` is absent. */
export const otherBrokerFields = {
  ...shape,
  url: shape.url.optional().meta({ description: "of the broker; the agent's own without it" }),
};

type Fields = Record<'url' | 'username' | 'password' | 'passwordFile' | 'passwordEnv' | 'ca' | 'cert' | 'key', string>;

function* contradictions(given: Sound<Partial<Fields>>) {
  const passwords = (['password', 'passwordFile', 'passwordEnv'] as const).filter((name) => given[name] !== undefined);
  for (const name of passwords.slice(1)) yield { path: [name], message: `says again what ${passwords[0]} says` };
  if (passwords.length > 0 && given.username === undefined)
    yield { path: [passwords[0]!], message: 'needs a username beside it' };
  if (given.cert !== undefined && given.key === undefined)
    yield { path: ['cert'], message: 'needs key beside it, the file with its private key' };
  if (given.key !== undefined && given.cert === undefined)
    yield { path: ['key'], message: 'needs cert beside it, the file with its certificate' };
  if (given.url === undefined || TLS_URL.test(given.url)) return;
  for (const name of ['ca', 'cert', 'key'] as const)
    if (given[name] !== undefined)
      yield { path: [name], message: 'is for TLS only; write a URL that begins with mqtts:// or wss://' };
}

/** Of a block with otherBrokerFields: what is wrong between them. */
export function* brokerContradictions(given: Sound<Partial<Fields>>) {
  const { url, ca, cert, key, username, password, passwordFile, passwordEnv } = given;
  const fields = { ca, cert, key, username, password, passwordFile, passwordEnv };
  yield* contradictions(given);
  if (url !== undefined) return;
  for (const [name, value] of Object.entries(fields))
    if (value !== undefined)
      yield {
        path: [name],
        message: "is for a broker of its own, and needs url beside it; the agent's is reached as its own section says",
      };
}

export type BrokerConnectionConfig = z.output<typeof brokerConnectionSchema>;

/** Where the things that a section names are read. */
export interface ConnectionSecrets {
  /** A path as the section has it → the file's text. */
  readonly readText: (path: string) => Promise<string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What the section names, read: certificates and the key as PEM. */
export interface BrokerFiles {
  readonly password?: string | undefined;
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Reads what the section names. `problems` are of its fields, and never hold what was read. */
export async function readBrokerFiles(
  section: Sound<BrokerConnectionConfig>,
  { readText, environment }: ConnectionSecrets,
): Promise<{
  readonly files: BrokerFiles;
  readonly problems: readonly { readonly field: string; readonly message: string }[];
}> {
  const problems: { field: string; message: string }[] = [];
  const read = async (field: 'passwordFile' | 'ca' | 'cert' | 'key') => {
    const path = section[field];
    if (path === undefined) return undefined;
    return readText(path).catch((cause: Error) => {
      problems.push({ field, message: `names a file that cannot be read: ${cause.message}` });
      return undefined;
    });
  };
  const { passwordEnv } = section;
  let password = (await read('passwordFile'))?.replace(/\r?\n$/, '') ?? section.password;
  if (passwordEnv !== undefined) {
    password = environment[passwordEnv];
    if (password === undefined)
      problems.push({ field: 'passwordEnv', message: `names '${passwordEnv}', which the environment does not have` });
  }
  return { files: { password, ca: await read('ca'), cert: await read('cert'), key: await read('key') }, problems };
}

/** The section as clients want it: a BrokerAccess. */
export function brokerAccess(section: BrokerConnectionConfig, files: BrokerFiles) {
  const { url, username, password, protocol } = section;
  return { url, username, password, ...files, protocolVersion: protocol === 'mqtt-5' ? (5 as const) : (4 as const) };
}

/**
 * Certificates and key as they are in their files now, for the next connection: they may be renewed while a process runs. Nothing where one cannot
 * be read; what was read at the start stands in, then.
 */
export function currentCertificates(
  section: Pick<BrokerConnectionConfig, 'ca' | 'cert' | 'key'>,
  readText: (path: string) => string,
): { readonly ca?: string; readonly cert?: string; readonly key?: string } {
  const named = (['ca', 'cert', 'key'] as const).flatMap((field) => {
    const path = section[field];
    return path === undefined ? [] : [[field, path] as const];
  });
  try {
    return Object.fromEntries(named.map(([field, path]) => [field, readText(path)]));
  } catch {
    return {};
  }
}
