import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { agentSchema } from '@twinwatch/core/config/agent';
import type { plantSimSchema } from '@twinwatch/core/config/plant-sim';
import type { serverConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Row } from '@twinwatch/core/scada/sample';
import { parse, stringify } from 'yaml';
import type { z } from 'zod';
import { agentConfig } from '../processes/agent-config.js';
import { readTextFile } from '../processes/read-config.js';
import type { FieldTrialOptions } from './field-trial.js';
import { ROUNDS, type TrialDetector, twinOf } from './trial-detector.js';

/** The files a field trial is run from, all in one folder below --out, for whoever wants to start a part by hand. */

const FEDERATION = 'field-trial';
const DUTY = 'duty';

export interface TrialPorts {
  readonly broker: number;
  readonly page: number;
  /** PLC → port. */
  readonly plcs: Readonly<Record<string, number>>;
}

/** Lies in a folder that a field trial made, and may therefore empty. */
const MARKER = '.twinwatch-field-trial';

/**
 * An empty folder for this run; what an earlier run left there goes.
 * @throws TwinwatchError TRIAL_FOLDER_FOREIGN where a folder of that name holds something that no field trial put there.
 */
export function emptyWorkFolder(out: string): string {
  const work = resolve(out, 'work');
  const isForeign = existsSync(work) && readdirSync(work).length > 0 && !existsSync(join(work, MARKER));
  if (isForeign)
    throw new TwinwatchError(
      'TRIAL_FOLDER_FOREIGN',
      `${work} holds files that no field trial made, and would be emptied; give another folder with --out`,
      { context: { folder: work } },
    );
  rmSync(work, { recursive: true, force: true });
  mkdirSync(join(work, 'configs'), { recursive: true });
  writeFileSync(join(work, MARKER), 'Made by a field trial, which empties this folder when it runs again.\n');
  return work;
}

/** The plant's folder with the network that was asked for; returns its plant.yaml. */
export async function writePlant(work: string, plantPath: string, networkPath: string): Promise<string> {
  const from = dirname(plantPath);
  const folder = join(work, 'plant');
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(from)) if (name.endsWith('.yaml')) copyFileSync(join(from, name), join(folder, name));
  const file = join(folder, basename(plantPath));
  const plant = parse(await readTextFile(plantPath)) as { network: string };
  writeFileSync(file, stringify({ ...plant, network: resolve(networkPath) }));
  return file;
}

/** History cut into `count` stretches that follow each other, one CSV per agent, under the names of the tags. */
export function writeSlices(
  work: string,
  rows: readonly Row[],
  labels: readonly (0 | 1 | null)[] | null,
  tagNames: readonly string[],
  count: number,
): string[] {
  const folder = join(work, 'history');
  mkdirSync(folder, { recursive: true });
  return Array.from({ length: count }, (_, k) => {
    const from = Math.floor((rows.length * k) / count);
    const to = Math.floor((rows.length * (k + 1)) / count);
    const lines = rows.slice(from, to).map(({ timeMs, values }, i) => {
      const label = labels === null ? [] : [labels[from + i] ?? -999];
      const cells = [...values].map((value) => (Number.isNaN(value) ? '' : String(value)));
      return [new Date(timeMs).toISOString(), ...cells, ...label].join();
    });
    const header = ['time', ...tagNames, ...(labels === null ? [] : ['ATT_FLAG'])].join();
    const file = join(folder, `slice-${k + 1}.csv`);
    writeFileSync(file, `${header}\n${lines.join('\n')}\n`);
    return file;
  });
}

export interface TrialFiles {
  readonly broker: string;
  readonly server: string;
  readonly plant: string;
  readonly learners: readonly { readonly agent: string; readonly file: string }[];
  readonly duty: string;
}

export function writeTrialConfigs(
  work: string,
  options: FieldTrialOptions,
  facts: {
    readonly plantFile: string;
    readonly detector: TrialDetector;
    readonly intervalMs: number;
    readonly ports: TrialPorts;
    readonly minimumRows: number;
  },
): TrialFiles {
  const { ports, plantFile, intervalMs } = facts;
  const write = (name: string, content: object) => {
    const file = join(work, 'configs', `${name}.yaml`);
    writeFileSync(file, stringify(content));
    return file;
  };
  const agent = (name: string, plcPorts: TrialPorts['plcs']): z.input<typeof agentSchema> =>
    agentConfig({
      federation: FEDERATION,
      agent: name,
      brokerPort: ports.broker,
      dataDir: `../${name}`,
      intervalMs,
      plcPorts,
      templateOf: (plc) => join(dirname(plantFile), `${plc.toLowerCase()}.yaml`),
    });
  const learners = Array.from({ length: options.agents }, (_, k) => `learner-${k + 1}`);
  const server: z.input<typeof serverConfig> = {
    federation: FEDERATION,
    broker: { url: `mqtt://127.0.0.1:${ports.broker}` },
    dataDir: '../server',
    http: { host: '127.0.0.1', port: ports.page },
    twin: {
      plant: plantFile,
      // Districts' demands as the agents see them: summaries travel, rows do not.
      demands: 'agents',
      seed: options.seed,
      ...twinOf(intervalMs, options.episodes ?? null),
    },
    detector: facts.detector,
    rounds: {
      ...ROUNDS,
      // As when what results.md and the report say was measured.
      codec: 'int8',
      // Online, rounds never end: every so many the best model so far is released.
      ...(options.online === true
        ? { count: ONLINE_ROUNDS, releaseEvery: options.rounds }
        : { count: options.rounds, releaseEvery: 0 }),
      quorum: options.agents,
      minimumRows: facts.minimumRows,
      deadline: '5m',
    },
  };
  return {
    broker: write('broker', { host: '127.0.0.1', port: ports.broker, dataDir: '../broker' }),
    server: write('server', server),
    plant: write('plant', feedPlant(options, plantFile, ports)),
    learners: learners.map((name) => ({ agent: name, file: write(name, agent(name, {})) })),
    duty: write(DUTY, { ...agent(DUTY, ports.plcs), training: { enabled: options.online === true } }),
  };
}

const ONLINE_ROUNDS = 100_000;
/** Fast enough for a trial, slow enough that there is time to learn from what has come. */
const ONLINE_ROWS_PER_SECOND = 40;

function feedPlant(options: FieldTrialOptions, plantFile: string, ports: TrialPorts): z.input<typeof plantSimSchema> {
  const { realtimeFactor, online } = options;
  const pace = online === true ? { rowsPerSecond: ONLINE_ROWS_PER_SECOND } : {};
  return {
    plant: plantFile,
    ...(realtimeFactor === undefined ? pace : { realtimeFactor }),
    feed: { csv: resolve(options.feed), ...columnsOf(options) },
    sites: [{ name: DUTY, ports: { ...ports.plcs } }],
  };
}

/** How the columns of history and feed are read. */
export function columnsOf({ timeColumn, dateOrder, delimiter, column }: FieldTrialOptions) {
  const columns = Object.fromEntries(
    column.map((text) => {
      const at = text.indexOf('=');
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
  return { ...(timeColumn === undefined ? {} : { timeColumn }), dateOrder, delimiter, columns };
}
