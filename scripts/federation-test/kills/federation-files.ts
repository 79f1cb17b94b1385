import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Row } from '@twinwatch/core/scada/sample';
import { INTERVAL_MS, plantRows, syntheticTwin, TAGS } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { parse, stringify } from 'yaml';
import { writeLocalKeys } from '../../processes/local-keys.js';

/** Configuration and rows of a federation so small that a round takes a moment: three tags, a few hundred rows, some thirty parameters. */

export interface FederationFiles {
  readonly broker: string;
  readonly server: string;
  /** Agent → configuration. */
  readonly agents: ReadonlyMap<string, string>;
  /** Agent → CSV to import. */
  readonly histories: ReadonlyMap<string, string>;
  /** Agent that has live values → CSV that they are read from, to be added to. */
  readonly live: ReadonlyMap<string, string>;
  /** Of an agent that has keys and no configuration: its `security.directory`. */
  readonly stranger: string;
}

export interface FederationSize {
  readonly agents: number;
  readonly port: number;
  readonly httpPort: number;
  readonly rounds: object;
  readonly trial: TrialTimes;
}

/** How a new model is tried. */
export interface TrialTimes {
  /** Beside the current one. A duration. */
  readonly shadow: string;
  /** In place of the current one on some agents, which judge live rows then. A duration; null for no such thing, and no live rows. */
  readonly canary: string | null;
}

/** On stored rows, over as soon as each agent has told. */
export const BRIEF_TRIAL: TrialTimes = { shadow: '5s', canary: null };
/** The longer one lasts for its time: there are fewer rows. */
const [SHADOW_ROWS, ALL_ROWS] = [40, 10_000];
const CANARY_ROWS = 5;

export const FEDERATION = 'kills';
export const STRANGER = 'stranger';
const HIDDEN = [4];
const LIVE_INTERVAL_MS = 200;

export function writeFederation(
  folder: string,
  { agents, port, httpPort, rounds, trial }: FederationSize,
): FederationFiles {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, text: string) => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  };
  const ids = Array.from({ length: agents }, (_, k) => `site-${k + 1}`);
  const keys = writeLocalKeys(join(folder, 'keys'), FEDERATION, [...ids, STRANGER], Date.now());
  const broker = { url: `mqtt://127.0.0.1:${port}` };
  // Live rows come faster than a plant's; the interval of a federation is one.
  const intervalMs = trial.canary === null ? INTERVAL_MS : LIVE_INTERVAL_MS;
  write('twin.csv', twinCsv(intervalMs));
  return {
    stranger: keys.agents[STRANGER]!,
    broker: write('broker.yaml', stringify({ host: '127.0.0.1', port, dataDir: 'broker' })),
    server: write(
      'server.yaml',
      stringify({
        ...{ federation: FEDERATION, broker, dataDir: 'server', http: { port: httpPort }, engine: 'builtin' },
        security: { directory: keys.server },
        twin: { csv: { file: 'twin.csv', episodeColumn: 'episode' }, episodes: 4, days: 2 },
        detector: { hidden: HIDDEN, maximumFalseRate: 0.05 },
        // Whatever is released is tried, and then to be run: which models are worth it is not in question here.
        registry: { validationMargin: 1, falseRateMargin: 1, ...trialOf(trial) },
        rounds: {
          ...{ method: 'cwa', count: 100_000, quorum: 2, minimumRows: 50, epochs: 1, twinEpochs: 1, batchSize: 64 },
          ...{ codec: 'int8', exchangeRows: 60, releaseEvery: 3, deadline: '60s', ...rounds },
        },
      }),
    ),
    agents: new Map(
      ids.map((agent) => [
        agent,
        write(
          `${agent}.yaml`,
          stringify({
            ...{ federation: FEDERATION, agent, broker, dataDir: agent, buses: [], statusEvery: '5s' },
            interval: `${intervalMs}ms`,
            ...(trial.canary === null ? {} : { sources: [liveSource(agent)] }),
            ...{ training: { engine: 'builtin' }, security: { directory: keys.agents[agent] } },
          }),
        ),
      ]),
    ),
    live: new Map(
      (trial.canary === null ? [] : ids).map((agent) => [agent, write(`${agent}-live.csv`, `${header}\n`)]),
    ),
    histories: new Map(
      ids.map((agent, k) => [
        agent,
        write(`${agent}.csv`, csv(plantRows(`site ${k}`, 2, k - 1, null).rows, intervalMs)),
      ]),
    ),
  };
}

function trialOf({ shadow, canary }: TrialTimes): object {
  if (canary === null) return { shadow: { rows: SHADOW_ROWS, time: shadow } };
  return {
    shadow: { rows: ALL_ROWS, time: shadow },
    canary: { share: 0.4, minimumAgents: 2, rows: CANARY_ROWS, time: canary },
  };
}

function liveSource(agent: string): object {
  const tags = TAGS.map(({ name }) => ({ name, column: name }));
  return { name: 'plant', kind: 'csv-tail', file: `${agent}-live.csv`, tags };
}

/** Values of normal running. @param count of the line, from 1. */
export function liveLine(count: number): string {
  const level = 3 + Math.sin(count / 10);
  return `${[new Date().toISOString(), level, 20 * level, 1].join()}\n`;
}

/** The server's file with other settings of its rounds, beside it. */
export function writeServerConfig(server: string, rounds: object): string {
  const config = parse(readFileSync(server, 'utf8')) as { rounds: object };
  const file = server.replace('.yaml', '-now.yaml');
  writeFileSync(file, stringify({ ...config, rounds: { ...config.rounds, ...rounds } }));
  return file;
}

const time = ({ timeMs }: Row, intervalMs: number) => new Date((timeMs / INTERVAL_MS) * intervalMs).toISOString();
const header = ['time', ...TAGS.map(({ name }) => name)].join();

function csv(rows: readonly Row[], intervalMs: number): string {
  return `${[header, ...rows.map((row) => [time(row, intervalMs), ...row.values].join())].join('\n')}\n`;
}

function twinCsv(intervalMs: number): string {
  const lines = syntheticTwin(1, 4).episodes.flatMap(({ rows, labels }, episode) =>
    rows.map((row, i) => [time(row, intervalMs), ...row.values, labels[i], episode].join()),
  );
  return `${[`${header},label,episode`, ...lines].join('\n')}\n`;
}
