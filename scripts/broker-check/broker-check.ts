import { readFile } from 'node:fs/promises';
import { brokerAccess, brokerConnectionSchema, readBrokerFiles } from '@twinwatch/core/config/broker-connection';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { BrokerAccess } from '@twinwatch/core/wire/mqtt-client';
import { CheckConnection } from './check-connection.js';
import { type Finding, findingsTable, isSafe } from './findings.js';
import { type Recognised, recognise } from './known-brokers.js';
import { echo, guardsNatsSubjects, lastWill, payload, queue, readVersion, restart, retained } from './probes.js';

/** `twinwatch broker-check URL`: whether a broker is safe for a federation, and what to change where it is not. */

export interface BrokerCheckOptions {
  readonly protocol: 'mqtt-3.1.1' | 'mqtt-5';
  readonly username?: string;
  readonly passwordFile?: string;
  readonly passwordEnv?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Prefix of the probes' topics. */
  readonly topic: string;
  /** Queued for a client that is away. */
  readonly messages: number;
  /** Whether somebody will restart the broker when told to. */
  readonly restart?: boolean;
}

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const PROTOCOLS = [5, 4, 3] as const;
type Protocol = (typeof PROTOCOLS)[number];
const PROTOCOL_NAMES: Readonly<Record<Protocol, string>> = { 3: '3.1', 4: '3.1.1', 5: '5' };

/**
 * Prints the table. @returns the exit code: 0 where nothing unsafe was found; 1 where something was, or nothing could be tried.
 * @throws TwinwatchError CLI_USAGE, BROKER_UNREACHABLE.
 */
export async function checkBroker(url: string, options: BrokerCheckOptions, signal: AbortSignal): Promise<number> {
  const access = await accessOf(url, options);
  const connection = new CheckConnection(access, options.topic, signal);
  try {
    const { recognised, findings, trouble } = await examine(connection, access, options);
    process.stdout.write(`${url}: ${recognised.name}\n\n${findingsTable(findings, recognised.broker)}\n\n`);
    const safe = isSafe(findings) && trouble === null;
    const verdict =
      trouble !== null
        ? `What matters could not be tried: ${trouble}`
        : safe
          ? 'Nothing unsafe was found; see to what is UNKNOWN'
          : 'Not safe as it is; see what to CHANGE';
    process.stdout.write(`${verdict} (docs/brokers.md).\n`);
    return safe ? 0 : 1;
  } finally {
    await connection.cleanUp();
  }
}

async function examine(
  connection: CheckConnection,
  access: BrokerAccess,
  { messages, restart: isRestarted = false }: Pick<BrokerCheckOptions, 'messages' | 'restart'>,
): Promise<{
  readonly recognised: Recognised;
  readonly findings: readonly Finding[];
  readonly trouble: string | null;
}> {
  const protocols = await spokenProtocols(connection, access);
  const version = await readVersion(connection);
  const findings: Finding[] = [encryption(access.url), await login(connection, access.url), RIGHTS];
  findings.push({ concern: 'protocol', verdict: 'OK', found: `speaks MQTT ${namesOf(protocols)}` });
  const trouble = await echo(connection);
  let retainedToWildcards: boolean | null = null;
  let guards: boolean | null = null;
  if (trouble === null) {
    const kept = await retained(connection);
    retainedToWildcards = kept.toWildcards;
    guards = await guardsNatsSubjects(connection);
    findings.push(await whole('queue', queue(connection, messages)), await whole('payload', payload(connection)));
    findings.push(...kept.findings, await whole('last will', lastWill(connection)));
  } else
    for (const concern of ['queue', 'payload', 'retained', 'wildcards', 'last will'] as const)
      findings.push({ concern, verdict: 'UNKNOWN', found: 'could not be tried' });
  findings.push(SESSIONS_KEPT);
  findings.push(isRestarted && trouble === null ? await whole('restart', restart(connection, askForIt)) : RESTART);
  return {
    recognised: recognise({ version, protocols, retainedToWildcards, guardsNatsSubjects: guards }),
    findings,
    trouble,
  };
}

/** A connection that breaks, or stays without an answer, in the middle of a probe. */
const whole = (concern: Finding['concern'], probe: Promise<Finding>): Promise<Finding> =>
  probe.catch((error: Error) => ({
    concern,
    verdict: 'CHANGE',
    found: `could not be tried to its end: ${error.message}`,
  }));

const askForIt = () => {
  process.stderr.write(
    'Restart the broker now, in the way that it is to survive (systemctl restart, kill -9, the power switch); what is left is looked at when it is back. Waiting for 10 minutes at most.\n',
  );
};

/** What no message shows. */
const SESSIONS_KEPT: Finding = {
  ...{ concern: 'sessions kept', verdict: 'UNKNOWN', found: 'for how long cannot be seen from outside' },
};
const RIGHTS: Finding = {
  ...{
    concern: 'rights',
    verdict: 'UNKNOWN',
    found: 'what other users may publish cannot be seen with the login of one',
  },
};
const RESTART: Finding = {
  ...{ concern: 'restart', verdict: 'UNKNOWN', found: 'what outlives one was not tried; --restart tries it' },
};

/** @throws TwinwatchError BROKER_UNREACHABLE where the one that is to be used does not get in. */
async function spokenProtocols(
  connection: CheckConnection,
  { url, protocolVersion: wanted = 4 }: BrokerAccess,
): Promise<readonly Protocol[]> {
  const spoken: Protocol[] = [];
  let reason = '';
  for (const protocolVersion of PROTOCOLS)
    try {
      const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT';
      const client = await connection.connect(`protocol-${protocolVersion}`, { protocolVersion, protocolId });
      await client.end();
      spoken.unshift(protocolVersion);
    } catch (error) {
      if (protocolVersion === wanted) reason = (error as Error).message;
    }
  if (spoken.includes(wanted)) return spoken;
  const advice =
    spoken.length > 0
      ? `it speaks MQTT ${namesOf(spoken)}; choose with --protocol`
      : 'check the address, that the broker runs, the user and password, and the certificates';
  throw new TwinwatchError('BROKER_UNREACHABLE', `no connection to ${url}: ${reason}; ${advice}`, { context: { url } });
}

const namesOf = (spoken: readonly Protocol[]) => spoken.map((one) => PROTOCOL_NAMES[one]).join(', ');

const isLoopback = (url: string) => LOOPBACK.test(new URL(url).hostname);

function encryption(url: string): Finding {
  const concern = 'encryption';
  if (/^(mqtts|ssl|wss):/.test(url)) return { concern, verdict: 'OK', found: 'TLS' };
  if (isLoopback(url)) return { concern, verdict: 'OK', found: 'none, and none needed within this machine' };
  return { concern, verdict: 'CHANGE', found: 'passwords and messages go in the clear' };
}

async function login(connection: CheckConnection, url: string): Promise<Finding> {
  const concern = 'login';
  try {
    await connection.connectAsNobody();
  } catch {
    return { concern, verdict: 'OK', found: 'refuses who has no login' };
  }
  const found = 'lets in anybody, without a login';
  if (!isLoopback(url)) return { concern, verdict: 'CHANGE', found };
  return { concern, verdict: 'UNKNOWN', found: `${found}; fine only where nothing but this machine reaches it` };
}

async function accessOf(url: string, options: BrokerCheckOptions): Promise<BrokerAccess> {
  const { protocol, username, passwordFile, passwordEnv, ca, cert, key } = options;
  const section = brokerConnectionSchema.safeParse({
    url,
    protocol,
    username,
    passwordFile,
    passwordEnv,
    ca,
    cert,
    key,
  });
  if (!section.success) {
    const { path, message } = section.error.issues[0]!;
    throw new TwinwatchError('CLI_USAGE', `${path.join('.')}: ${message}`);
  }
  const { files, problems } = await readBrokerFiles(section.data, {
    readText: (path) => readFile(path, 'utf8'),
    environment: process.env,
  });
  if (problems.length > 0)
    throw new TwinwatchError('CLI_USAGE', problems.map(({ field, message }) => `${field}: ${message}`).join('; '));
  return brokerAccess(section.data, files);
}
