import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { AgentConfig, agentSchema } from '@twinwatch/core/config/agent';
import {
  type BrokerConnectionConfig,
  type BrokerFiles,
  brokerAccess,
  type ConnectionSecrets,
  currentCertificates,
  readBrokerFiles,
} from '@twinwatch/core/config/broker-connection';
import type { CheckedConfig, ConfigProblem } from '@twinwatch/core/config/load';
import type { SourceConfig } from '@twinwatch/core/config/sources';
import type { BrokerAccess } from '@twinwatch/core/wire/mqtt-client';
import type { SiteConfig } from './site-config.js';

/** Brokers of an agent: its own, and those that a source or the Sparkplug publisher has beside it. */

/** What the sections name, read: passwords, certificates and keys. */
export interface SiteBrokerFiles {
  readonly own: BrokerFiles;
  readonly sparkplug: BrokerFiles;
  /** In the order of `sources`. */
  readonly sources: readonly BrokerFiles[];
}

/** Reads what all sections name; what is wrong is put to `problems`. */
export async function readSiteBrokers(
  agent: CheckedConfig<typeof agentSchema>,
  directory: string,
  environment: ConnectionSecrets['environment'],
  problems: ConfigProblem[],
): Promise<SiteBrokerFiles> {
  const secrets = { readText: (path: string) => readFile(resolve(directory, path), 'utf8'), environment };
  const read = async (section: Parameters<typeof readBrokerFiles>[0], path: readonly (string | number)[]) => {
    const { files, problems: unread } = await readBrokerFiles(section, secrets);
    problems.push(...unread.map(({ field, message }) => agent.problemAt([...path, field], message)));
    return files;
  };
  const { broker = {}, sparkplug = {}, sources = [] } = agent.sound;
  const ofSources: BrokerFiles[] = [];
  for (const [i, source] of sources.entries())
    ofSources.push(source?.kind === 'mqtt' || source?.kind === 'sparkplug' ? await read(source, ['sources', i]) : {});
  return {
    own: await read(broker, ['broker']),
    sparkplug: await read(sparkplug, ['sparkplug']),
    sources: ofSources,
  };
}

/** How to reach the federation's broker, as clients of it want it. */
export function brokerOf(site: SiteConfig): BrokerAccess {
  return accessOf(site, site.config.broker, site.brokerFiles?.own);
}

/** Of the Sparkplug publisher: the agent's own where it names none. */
export function sparkplugBrokerOf(site: SiteConfig, section: NonNullable<AgentConfig['sparkplug']>): BrokerAccess {
  return otherBroker(site, section, site.brokerFiles?.sparkplug);
}

/** Of a source that listens to a broker: the agent's own where it names none, and for kinds that need none. */
export function sourceBrokerOf(site: SiteConfig, source: SourceConfig): BrokerAccess {
  if (source.kind !== 'mqtt' && source.kind !== 'sparkplug') return brokerOf(site);
  const at = site.config.sources.findIndex(({ name }) => name === source.name);
  return otherBroker(site, source, site.brokerFiles?.sources[at]);
}

type OtherBroker = Omit<BrokerConnectionConfig, 'url'> & { readonly url?: string | undefined };

function otherBroker(site: SiteConfig, section: OtherBroker, files: BrokerFiles | undefined): BrokerAccess {
  const { url } = section;
  return url === undefined ? brokerOf(site) : accessOf(site, { ...section, url }, files);
}

function accessOf({ configPath }: SiteConfig, section: BrokerConnectionConfig, files: BrokerFiles = {}): BrokerAccess {
  return {
    ...brokerAccess(section, files),
    // For every connection anew: certificates are renewed while an agent runs.
    renewed: () => currentCertificates(section, (file) => readFileSync(resolve(dirname(configPath), file), 'utf8')),
  };
}
