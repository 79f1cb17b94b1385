import { hostname } from 'node:os';
import type { SourceConfig } from '@twinwatch/core/config/sources';
import type { Sample } from '@twinwatch/core/scada/sample';
import { parseAgentStatus, parseServerStatus } from '@twinwatch/core/wire/json-messages';
import { accessOptions, type BrokerAccess } from '@twinwatch/core/wire/mqtt-client';
import { agreement, SPOKEN } from '@twinwatch/core/wire/protocol';
import type { AgentStatus, ServerStatus } from '@twinwatch/core/wire/status';
import { topics } from '@twinwatch/core/wire/topics';
import mqtt from 'mqtt';
import type { AgentRuntime } from './agent.js';
import { brokerOf, sourceBrokerOf, sparkplugBrokerOf } from './broker-access.js';
import { rivalWords } from './federation/identity-watch.js';
import type { SiteConfig } from './site-config.js';
import { DeviceReader, type ModbusDevice } from './sources/modbus/device-reader.js';
import { openBus } from './sources/modbus/open-bus.js';
import { openSource } from './sources/open-sources.js';
import type { SourceRuntime } from './sources/source-runtime.js';

const BROKER_TIMEOUT_MS = 5_000;
/** What a broker retains comes with its answer to the subscription, or shortly after. */
const STATUS_MS = 1_000;
/** Most sensors that send by themselves do so within this time. */
const LISTEN_MS = 10_000;
const HEADER = ['device', 'tag', 'value', 'unit', 'quality', 'address', 'raw'];
const VALUE_COLUMN = 2;
const ILLEGAL_ADDRESS = 'MODBUS_EXCEPTION 2';
const FIRST_REFERENCE = 30_001;

/** Tries the broker and every bus, and reads every tag once. `text` is for a person; `ok` false where anything failed. */
export async function checkSite(
  site: SiteConfig,
  runtime: SourceRuntime & Release,
): Promise<{ ok: boolean; text: string }> {
  const lines: string[] = [];
  const problems: string[] = [];
  const tell = (line: string, good: boolean) => {
    lines.push(line);
    if (!good) problems.push(line);
  };
  const broker = await tryBroker(brokerOf(site));
  tell(`broker ${site.config.broker.url}: ${broker ?? 'connected'}`, broker === null);
  const others = broker === null ? await whoIsThere(site, runtime) : [];
  for (const { line, good } of others) tell(line, good);
  const rows: string[][] = [];
  const { sparkplug } = site.config;
  if (sparkplug?.url !== undefined) {
    const fault = await tryBroker(sparkplugBrokerOf(site, sparkplug));
    tell(`Sparkplug broker ${sparkplug.url}: ${fault ?? 'connected'}`, fault === null);
  }
  for (const { config, devices } of site.buses) {
    const bus = openBus(config, runtime);
    for (const device of devices) {
      const tried = await tryDevice(device, new DeviceReader(device, bus, runtime.clock), config.url);
      tell(tried.line, tried.good);
      rows.push(...tried.rows);
    }
    await bus.close();
  }
  for (const source of site.config.sources) {
    const { line, rows: read, good } = await trySource(source, site, runtime);
    tell(line, good);
    rows.push(...read);
  }
  if (site.buses.length === 0 && site.config.sources.length === 0)
    lines.push('no buses: this agent learns from imported history only');
  const text = [
    ...lines,
    ...(rows.length > 0 ? ['', ...aligned([HEADER, ...rows])] : []),
    '',
    problems.length === 0 ? 'all good' : [`not in order:`, ...problems].join('\n  '),
  ];
  return { ok: problems.length === 0, text: text.join('\n') };
}

/** Listens until every tag has a good value, or for a while. */
async function trySource(source: SourceConfig, site: SiteConfig, runtime: SourceRuntime) {
  const stop = new AbortController();
  const samples = new Map<string, Sample>();
  let fault: string | null = null;
  const place = {
    agent: `${site.config.agent}-check-${process.pid}`,
    broker: sourceBrokerOf(site, source),
    configPath: site.configPath,
  };
  const isAllGood = () => source.tags.every(({ name }) => samples.get(name)?.quality === 'good');
  const giveUp = runtime.timers.after('check-source', LISTEN_MS, () => stop.abort());
  await openSource(source, place, runtime).start(stop.signal, {
    reading: (reading) => {
      for (const sample of reading.samples) samples.set(sample.tag, sample);
      if (isAllGood()) stop.abort();
    },
    fault: (_, what) => {
      fault = what;
    },
  });
  giveUp();
  const good = source.tags.filter(({ name }) => samples.get(name)?.quality === 'good').length;
  const trouble = good === source.tags.length || fault === null ? '' : `; ${fault}`;
  return {
    line: `${source.name} (${source.kind}): ${good} of ${source.tags.length} tags good within ${LISTEN_MS / 1_000} s${trouble}`,
    rows: source.tags.map(({ name, unit }) => {
      const sample = samples.get(name);
      const value =
        sample === undefined || Number.isNaN(sample.value) ? '–' : String(Number(sample.value.toPrecision(7)));
      const quality =
        sample?.quality === 'good' ? 'good' : `${sample?.quality ?? 'stale'}: ${sample?.reason ?? 'NEVER_HEARD_OF'}`;
      return [source.name, name, value, unit, quality, source.kind, ''];
    }),
    good: good === source.tags.length,
  };
}

async function tryDevice(device: ModbusDevice, reader: DeviceReader, url: string) {
  const { name, unit, template } = device;
  const units = new Map(template.tags.map((tag) => [tag.name, tag.unit]));
  try {
    const raw = new Map<string, readonly number[]>();
    const samples = await reader.readTags((tag, words) => raw.set(tag, words));
    const byTag = new Map(samples.map((sample) => [sample.tag, sample]));
    const rows = template.tags.map((tag) => {
      const sample = byTag.get(tag.name)!;
      const { register, address, bit } = tag;
      const quality = sample.quality === 'good' ? 'good' : `${sample.quality}: ${sample.reason}`;
      const words = (raw.get(tag.name) ?? []).map((word) => word.toString(16).padStart(4, '0')).join(' ');
      const number = Number.isNaN(sample.value) ? '–' : String(Number(sample.value.toPrecision(7)));
      const value = sample.text ?? number;
      return [
        name,
        tag.name,
        value,
        units.get(tag.name)!,
        quality,
        `${register} ${address}${bit === undefined ? '' : `.${bit}`}`,
        words,
      ];
    });
    const bad = samples.filter((sample) => sample.quality !== 'good').length;
    const clock = template.clock === undefined ? '' : `, ${await clockLine(reader)}`;
    return {
      line: `${name} (unit ${unit} on ${url}): ${samples.length - bad} of ${samples.length} tags good${clock}${addressAdvice(template.tags, samples)}`,
      rows,
      good: bad === 0,
    };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { line: `${name} (unit ${unit} on ${url}): ${detail}`, rows: [], good: false };
  }
}

/** Manuals call registers by numbers such as 40001, which are no addresses. */
function addressAdvice(tags: ModbusDevice['template']['tags'], samples: readonly Sample[]): string {
  const refused = new Set(samples.filter(({ reason }) => reason === ILLEGAL_ADDRESS).map(({ tag }) => tag));
  const isReference = tags.some(({ name, address }) => refused.has(name) && address >= FIRST_REFERENCE);
  return isReference
    ? '; the device has no such addresses: where those of the template are numbers of a manual (40001 and up), it needs `addresses: reference`'
    : '';
}

async function clockLine(reader: DeviceReader): Promise<string> {
  const { sequence, timeMs } = await reader.readClock();
  return `scan ${sequence} of ${new Date(timeMs).toISOString()}`;
}

type Release = Pick<AgentRuntime, 'softwareVersion' | 'protocols'>;

interface Finding {
  readonly line: string;
  readonly good: boolean;
}

/**
 * Whether an agent of this id is connected now: another machine's would fight with this one for every connection. And whether the server,
 * where there was one, is of a release that this one understands.
 */
async function whoIsThere({ config, ...site }: SiteConfig, release: Release): Promise<Finding[]> {
  const { url, ...access } = accessOptions(brokerOf({ config, ...site }), true);
  const options = { ...access, clientId: `twinwatch-check-${process.pid}`, reconnectPeriod: 0 };
  const client = await mqtt.connectAsync(url, { ...options, connectTimeout: BROKER_TIMEOUT_MS }, false);
  const { serverStatus } = topics(config.federation);
  const { status } = topics(config.federation).agent(config.agent);
  let agent: AgentStatus | null = null;
  let server: ServerStatus | null = null;
  try {
    const told = new Promise<void>((resolve) => {
      setTimeout(resolve, STATUS_MS);
      client.on('error', () => resolve());
      client.on('message', (topic, payload) => {
        try {
          if (topic === status) agent = parseAgentStatus(payload);
          else server = parseServerStatus(payload);
        } catch {
          // Of whom nothing can be read, nothing is said.
        }
        if (agent !== null && server !== null) resolve();
      });
    });
    await client.subscribeAsync([status, serverStatus], { qos: 1 });
    await told;
    const lines = [identityLine(config.agent, agent, hostname()), versionLine(config.agent, server, release)];
    return lines.filter((line) => line !== null);
  } catch {
    return [];
  } finally {
    await client.endAsync(true);
  }
}

/** @param host of this machine. */
function identityLine(agent: string, status: AgentStatus | null, host: string): Finding | null {
  if (status === null || !status.online) return null;
  const fault = status.health?.deviceFaults.identity;
  const { instance } = status;
  if (fault !== undefined) return { line: `${agent} is connected now, and says: ${fault}`, good: false };
  if (instance === undefined || instance.host === '' || instance.host === host)
    return { line: `${agent} is connected now, from this machine as far as it says`, good: true };
  return { line: `${agent} is connected now: ${rivalWords(agent, instance)}`, good: false };
}

function versionLine(agent: string, server: ServerStatus | null, release: Release): Finding | null {
  if (server === null) return null;
  const { softwareVersion, protocols = SPOKEN } = release;
  const found = agreement(server, agent, { softwareVersion, protocols });
  if (!found.agreed) return { line: `server: ${found.reason}`, good: false };
  const presence = server.online ? 'there' : 'away now';
  return { line: `server: ${presence}, release ${server.softwareVersion}, protocol ${found.protocol}`, good: true };
}

/** Null when connected, else what went wrong. */
async function tryBroker(broker: BrokerAccess): Promise<string | null> {
  const { url, ...access } = accessOptions(broker, true);
  // Brokers refuse a certificate in the words for a wrong password.
  const login = broker.cert === undefined ? 'username and password' : 'certificate (was it revoked?)';
  let client: mqtt.MqttClient;
  try {
    client = mqtt.connect(url, {
      ...access,
      clientId: `twinwatch-check-${process.pid}`,
      reconnectPeriod: 0,
      connectTimeout: BROKER_TIMEOUT_MS,
    });
  } catch (error) {
    return `${(error as Error).message}; check what the files of ca, cert and key hold`;
  }
  const outcome = await new Promise<string | null>((resolve) => {
    let reason = 'connection closed before it was accepted';
    client.on('connect', () => resolve(null));
    client.on('error', (error) => {
      reason = error.message === '' ? ((error as NodeJS.ErrnoException).code ?? reason) : error.message;
    });
    client.on('close', () => resolve(`${reason}; check url, ${login}, and that the broker runs`));
  });
  await client.endAsync(true);
  return outcome;
}

function aligned(table: readonly (readonly string[])[]): string[] {
  const widths = HEADER.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table.map((row) =>
    row
      .map((cell, column) => (column === VALUE_COLUMN ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd(),
  );
}
