import { readFile, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { agentSchema } from '@twinwatch/core/config/agent';
import { durationText } from '@twinwatch/core/config/duration';
import { parseConfig } from '@twinwatch/core/config/load';
import { TwinwatchError } from '@twinwatch/core/errors';
import { type Logger, stopRequest } from '@twinwatch/core/runtime';
import { join as joinFederation } from '@twinwatch/edge-agent/enrolment/enrolment-client';
import { renewIdentity } from '@twinwatch/edge-agent/enrolment/renewal';
import { enrol, writeIdentity } from './enrol.js';
import { startEnrolment } from './enrolment-service.js';
import { DAY_MS, FederationDirectory } from './federation-directory.js';
import { ADMINISTRATOR, type InitOptions, initFederation } from './init.js';
import { certificatesTable, listCertificates, WARNING_DAYS } from './list-certificates.js';
import { exists, isThere } from './private-files.js';
import { revoke } from './revoke.js';
import { retireAuthorities, rotateAuthority, rotateCertificate, rotateSigningKey } from './rotate.js';
import { makeToken } from './tokens.js';

/** What the commands of `twinwatch init` and those after it do, and say. */

export interface InDirectory {
  readonly dir: string;
}

const say = (text: string) => process.stdout.write(`${text}\n`);

/** @throws TwinwatchError SECURITY_FILE_UNREADABLE where there is no federation: before anything is written. */
async function open({ dir }: InDirectory): Promise<FederationDirectory> {
  const directory = new FederationDirectory(resolve(dir));
  if (await isThere(directory.file('federation.json'))) return directory;
  throw new TwinwatchError(
    'SECURITY_FILE_UNREADABLE',
    `${directory.path} holds no federation; name the folder that \`twinwatch init\` made with --dir`,
    { context: { path: directory.path } },
  );
}

export async function initCommand(path: string, options: InitOptions): Promise<void> {
  const { directory, password } = await initFederation(path, options, Date.now());
  const { brokerUrl, hosts } = await addresses(directory);
  say(`federation '${options.name}' made in ${directory.path}; agents will look for its broker at ${brokerUrl} (host ${hosts})
'${ADMINISTRATOR}' logs in to the page with the password ${password} which is shown only now.
Keep this folder: whoever has ca/ can let in anybody. Then:
  twinwatch broker --config ${directory.file('broker', 'broker.yaml')}
  twinwatch server --config ${directory.file('server.yaml')}
  twinwatch enrolment --dir ${directory.path}     # while devices join by token, and for renewal
  twinwatch enrol AGENT --dir ${directory.path}   # a folder for an agent, or twinwatch token AGENT`);
}

export async function enrolCommand(
  agent: string,
  options: InDirectory & { out?: string; again?: boolean },
): Promise<void> {
  const bundle = await enrol(await open(options), agent, options, Date.now());
  say(`agent '${agent}' enrolled. Copy ${bundle} to its device as it is, say what it reads in agent.yaml, and start there:
  twinwatch agent --config ${agent}/agent.yaml
then delete the copy here: it holds the agent's private keys`);
}

export async function tokenCommand(
  agent: string,
  options: InDirectory & { valid: number; again?: boolean },
): Promise<void> {
  const directory = await open(options);
  const token = await makeToken(
    directory,
    agent,
    { validMs: options.valid, again: options.again === true },
    Date.now(),
  );
  const { enrolmentUrl } = await addresses(directory);
  say(`on the device of '${agent}', once, within ${durationText(options.valid)}, while \`twinwatch enrolment\` runs here:
  twinwatch join ${enrolmentUrl} ${token}`);
}

/** @throws TwinwatchError SECURITY_EXISTS, SECURITY_TOKEN_INVALID, SECURITY_ENROLMENT_FAILED. */
export async function joinCommand(url: string, token: string, options: { out?: string }): Promise<void> {
  if (options.out !== undefined && (await isThere(options.out))) throw exists(options.out);
  const { membership, tlsKey, signingKey } = await joinFederation(url, token);
  const folder = resolve(options.out ?? membership.agent);
  await writeIdentity(
    folder,
    membership.agent,
    { ...membership, enrolmentUrl: url.replace(/\/+$/, '') },
    { tlsKey, signingKey },
  );
  say(`joined federation '${membership.federation}' as '${membership.agent}'. Say what it reads in agent.yaml, and start:
  twinwatch agent --config ${join(folder, 'agent.yaml')}`);
}

export async function revokeCommand(agent: string, options: InDirectory): Promise<void> {
  const directory = await open(options);
  await revoke(directory, agent, Date.now());
  const bundle = directory.file('bundles', agent);
  if (await isThere(bundle)) await rm(bundle, { recursive: true });
  say(`agent '${agent}' is revoked: broker and server on this machine refuse it within a second.
Where the broker runs on another machine, copy ${directory.file('broker', 'revoked.pem')} there`);
}

export type Rotated = 'ca' | 'broker' | 'server' | 'administrator' | 'signing';

export async function rotateCommand(
  what: Rotated,
  options: InDirectory & { overlap: number; finish?: boolean; force?: boolean },
): Promise<void> {
  const directory = await open(options);
  const nowMs = Date.now();
  if (what === 'signing') {
    const id = await rotateSigningKey(directory, options.overlap, nowMs);
    say(`the server signs with key ${id} in ${durationText(options.overlap)}; the one before counts for as long again`);
  } else if (what === 'ca' && options.finish === true) {
    await retireAuthorities(directory, options.force === true, nowMs);
    say('only the newest authority is trusted; broker and server have certificates of it');
  } else if (what === 'ca') {
    await rotateAuthority(directory, nowMs);
    say(
      'a new authority signs from now on, and both are trusted. When every agent has renewed: twinwatch rotate ca --finish',
    );
  } else {
    await rotateCertificate(directory, what === 'administrator' ? 'operator' : what, nowMs);
    say(`${what} has a new key and certificate; broker, server and enrolment take it up while they run`);
  }
}

/** The exit code is 1 where one has ended or ends soon. */
export async function certificatesCommand(options: InDirectory): Promise<void> {
  const rows = await listCertificates(await open(options), Date.now());
  say(certificatesTable(rows));
  const due = rows.filter(({ state }) => state === 'ended' || state === 'ends soon');
  const damaged = rows.filter(({ state }) => state === 'damaged');
  if (damaged.length > 0)
    say(`${damaged.length} not believed, since their files under agents/ are damaged: restore those from a backup`);
  if (due.length > 0)
    say(
      `${due.length} to be renewed: agents by \`twinwatch enrolment\` running, or enrolled again; others by \`twinwatch rotate\``,
    );
  if (due.length + damaged.length > 0) process.exitCode = 1;
}

const LOOK_MS = DAY_MS / 2;

/** Until SIGINT or SIGTERM. One line of JSON, `{"ready":true,"port":…}`, goes to stdout when it listens. */
export async function enrolmentCommand(options: InDirectory & { host: string; port?: number }): Promise<void> {
  const log = lines();
  const directory = await open(options);
  const { enrolmentPort } = await directory.federation();
  const port = options.port ?? enrolmentPort;
  const service = await startEnrolment({ directory, host: options.host, port, now: Date.now, log });
  const warn = async () => {
    for (const { holder, serial, daysLeft, state } of await listCertificates(directory, Date.now()))
      if (state === 'damaged') log.error({ holder }, `its certificates are not known: ${serial}`);
      else if (state !== 'good' && state !== 'revoked')
        log.warn(
          { holder, daysLeft },
          `a certificate ends within ${WARNING_DAYS} days, or has ended; see twinwatch certificates`,
        );
  };
  await warn();
  const timer = setInterval(
    () => void warn().catch((error) => log.error({ error: String(error) }, 'cannot look')),
    LOOK_MS,
  );
  log.info({ host: options.host, port: service.port }, 'enrolment listens');
  say(JSON.stringify({ ready: true, port: service.port }));
  process.send?.({ ready: true, port: service.port });
  log.info({ reason: await stopRequest(process) }, 'enrolment stops');
  clearInterval(timer);
  await service.close();
}

/** @throws TwinwatchError CONFIG_*, SECURITY_ENROLMENT_FAILED. */
export async function renewCommand(options: { config: string; signing?: boolean }): Promise<void> {
  const config = parseConfig(agentSchema, await readFile(options.config, 'utf8'), options.config);
  const { security } = config;
  if (security?.renewal === undefined)
    throw new TwinwatchError(
      'CONFIG_INVALID',
      `${options.config} has no security.renewal: it was not enrolled, or not to renew`,
    );
  const done = await renewIdentity(
    {
      directory: resolve(dirname(options.config), security.directory),
      url: security.renewal.url,
      clock: { now: () => Date.now(), monotonic: () => performance.now() },
      log: lines(),
    },
    { force: true, withSigningKey: options.signing === true },
  );
  say(`renewed: ${done.join(', ')}`);
}

/** One line of JSON on stderr for each; debug is left out. */
function lines(): Logger {
  const at = (level: string) => (context: object, message: string) => {
    process.stderr.write(`${JSON.stringify({ level, time: new Date().toISOString(), ...context, message })}\n`);
  };
  return { debug: () => undefined, info: at('info'), warn: at('warn'), error: at('error') };
}

async function addresses(directory: FederationDirectory) {
  const { publicPart } = await import('./enrol.js');
  const { hosts } = await directory.federation();
  return { ...(await publicPart(directory)), hosts: hosts.join(', ') };
}
