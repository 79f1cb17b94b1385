import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type BrokerConfig, brokerSchema } from '@twinwatch/core/config/broker';
import { configText, parseConfig } from '@twinwatch/core/config/load';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Logger } from '@twinwatch/core/runtime';
import type { BrokerAccess } from './admission.js';
import type { BrokerTls } from './tls.js';

/** The broker's file, and the certificates, keys and revocation lists that it names. */

const LOOK_MS = 500;
/** Certificate and key are two files: what is written together is taken up together. */
const QUIET_MS = 300;

/** @throws TwinwatchError CONFIG_UNREADABLE, CONFIG_INVALID. */
export async function readBrokerConfig(configPath: string): Promise<BrokerConfig> {
  return parseConfig(brokerSchema, await configText(resolve(configPath), (file) => readFile(file, 'utf8')), configPath);
}

/** @throws TwinwatchError SECURITY_FILE_UNREADABLE, SECURITY_FILE_INVALID. */
export async function readTls({ tls }: BrokerConfig, configPath: string): Promise<BrokerTls | undefined> {
  if (tls === undefined) return undefined;
  const read = async (file: string) => {
    const path = resolve(dirname(configPath), file);
    return readFile(path, 'utf8').catch((cause: Error) => {
      throw new TwinwatchError(
        'SECURITY_FILE_UNREADABLE',
        `${path}, named under tls in ${configPath}, cannot be read: ${cause.message}; \`twinwatch init\` makes it`,
        { cause },
      );
    });
  };
  const ca = await read(tls.ca);
  return {
    ...{ cert: await read(tls.cert), key: await read(tls.key), ca, clients: tls.clients },
    revoked: tls.revoked === undefined ? new Set() : await serialsOf(await read(tls.revoked), ca),
  };
}

/** The library takes half a second to load: only where there is a list to read. */
async function serialsOf(crlPem: string, caPem: string): Promise<ReadonlySet<string>> {
  const { revokedSerials } = await import('@twinwatch/core/security/certificates');
  return revokedSerials(crlPem, caPem);
}

/**
 * At SIGHUP, and when one of the files has changed: certificates, whom they trust, who is revoked, and who may log in with a password are taken up.
 * What is wrong is told, and what was before goes on.
 * @returns what ends it.
 */
export function followAccess(
  first: BrokerConfig,
  configPath: string,
  setAccess: (access: BrokerAccess) => void,
  log: Logger,
): () => void {
  const { tls } = first;
  const beside = (file: string) => resolve(dirname(configPath), file);
  const named = tls === undefined ? [] : [tls.cert, tls.key, tls.ca, tls.revoked].filter((one) => one !== undefined);
  const files = [resolve(configPath), ...named.map(beside)];
  let turn: Promise<void> = Promise.resolve();
  const reload = async () => {
    try {
      const config = await readBrokerConfig(configPath);
      setAccess({ credentials: config.credentials, tls: await readTls(config, configPath) });
      log.info({}, 'certificates and users were read anew');
    } catch (error) {
      log.error({}, `changed certificates or users are not taken up, those before go on: ${(error as Error).message}`);
    }
  };
  let quiet: NodeJS.Timeout | undefined;
  const changed = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      turn = turn.then(reload);
    }, QUIET_MS);
  };
  for (const file of files) watchFile(file, { interval: LOOK_MS, persistent: false }, changed);
  process.on('SIGHUP', changed);
  return () => {
    clearTimeout(quiet);
    for (const file of files) unwatchFile(file, changed);
    process.off('SIGHUP', changed);
  };
}
