import { dirname, resolve } from 'node:path';
import { type ServerConfig, type ServerFile, serverConfig } from '@twinwatch/core/config/server';
import { TwinwatchError } from '@twinwatch/core/errors';
import { type Advice, advise, ratiosOf } from '@twinwatch/twin-server/advice/advise';
import type { Alignment } from '@twinwatch/twin-server/advice/audit';
import { auditHistory } from '@twinwatch/twin-server/advice/audit-history';
import { measuredTwins } from '@twinwatch/twin-server/advice/measured-twins';
import { loadServerConfig } from '@twinwatch/twin-server/server-config';
import { EpanetTwin } from '@twinwatch/twin-server/twin/epanet-twin';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import type { RecordingColumns } from '@twinwatch/twin-server/twin/recording';
import { ProgressLine } from '../demo/progress-line.js';
import { readRecording } from '../plant/recording.js';
import { systemClock } from '../processes/node-runtime.js';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';

export interface AdviseOptions {
  readonly history: string;
  readonly plant: string;
  readonly network?: string;
  /** server.yaml, for its detector and twin. */
  readonly config?: string;
  readonly columns: RecordingColumns;
  readonly json: boolean;
}

/**
 * The alignment audit of a twin against a recording of the plant, and what follows from it.
 * @throws TwinwatchError CONFIG_*, PLANT_*, TWIN_*, FEED_INVALID, LEARNER_NO_ATTACKS
 */
export async function runAdvise(options: AdviseOptions): Promise<void> {
  const line = new ProgressLine(options.json ? process.stderr : process.stdout, () => systemClock.monotonic());
  const server = options.config === undefined ? null : await loadServerConfig(options.config, readTextFile);
  const plant = await loadPlant(plantFile(options, server), readTextFile, options.network);
  const names = plant.config.tags.map(({ name }) => name);
  const recording = await readRecording(options.history, names, options.columns);
  const { twin, detector } = server ?? serverDefaults();
  line.live('simulating the twin');
  const source = new EpanetTwin({ plant, threads: 2 });
  const { alignment, areLabelled } = await auditHistory(source, recording, detector, twin.seed);
  line.end();
  const advice = advise(alignment, areLabelled, await measuredTwins());
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ alignment, areLabelled, ...advice }, null, 1)}\n`
      : adviceWords(alignment, advice),
  );
}

const serverDefaults = (): ServerConfig =>
  serverConfig.parse({ federation: 'advice', broker: { url: 'mqtt://none' }, dataDir: '.', twin: { plant: '-' } });

function plantFile({ plant, config }: AdviseOptions, server: ServerFile | null): string {
  if (config === undefined || server === null) return fromRepository(plant);
  if (server.twin.plant === undefined)
    throw new TwinwatchError('CLI_USAGE', 'the twin of that configuration is a CSV file; advise works on a plant file');
  return resolve(dirname(config), server.twin.plant);
}

function adviceWords(alignment: Alignment, { reasons, method }: Advice): string {
  const { mmd, swd, mmdAmongReal, swdAmongReal } = alignment;
  const ratios = ratiosOf(alignment);
  const figures = [
    `MMD ${mmd.rbf.toFixed(3)} (five kernels ${mmd.multiKernel.toFixed(3)}), among the plant's own rows ${mmdAmongReal.rbf.toFixed(3)}: ${ratios.mmd.toFixed(1)} times`,
    `SWD ${swd.toFixed(3)}, among the plant's own rows ${swdAmongReal.toFixed(3)}: ${ratios.swd.toFixed(1)} times`,
  ];
  const settings = method === null ? [] : ['', 'In server.yaml:', `  rounds: ${JSON.stringify(method.rounds)}`];
  return `${[...reasons, '', ...figures, ...settings].join('\n')}\n`;
}
