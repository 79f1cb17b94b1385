import type { DetectorConfig, RoundsConfig } from '@twinwatch/core/config/server';
import { serverConfig } from '@twinwatch/core/config/server';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Row } from '@twinwatch/core/scada/sample';
import { type FederationRequest, runFederation } from '@twinwatch/twin-server/aggregator/in-process';
import type { z } from 'zod';
import { scoreRows } from '../catalogue/watch-run.js';
import { systemClock } from '../processes/node-runtime.js';

/** A detector that is ready to watch, wherever it comes from: what experiments compare. */
export interface LearnedDetector {
  readonly threshold: number;
  /** [rows], higher is more suspicious; null where it abstains. */
  score(rows: readonly Row[]): Promise<(number | null)[]>;
}

export interface Learning {
  readonly detector: DetectorConfig;
  readonly rounds: RoundsConfig;
  readonly validationShare: number;
}

type ServerFile = z.input<typeof serverConfig>;

/** Detector and rounds with the server's defaults. @throws TwinwatchError CONFIG_INVALID */
export function learningOf(detector: ServerFile['detector'], rounds: ServerFile['rounds']): Learning {
  const parsed = serverConfig.parse({
    ...{ federation: 'experiment', broker: { url: 'mqtt://in-process' }, dataDir: '.', twin: { plant: '-' } },
    ...{ detector, rounds },
  });
  return { detector: parsed.detector, rounds: parsed.rounds, validationShare: parsed.twin.validationShare };
}

export interface FederatedRequest extends Pick<FederationRequest, 'clients' | 'twin' | 'seed' | 'onRound'> {
  readonly learning: Learning;
  readonly engine: TrainingEngine;
}

/** Rounds, threshold and release as on the server, in this process. @throws TwinwatchError */
export async function learnFederated({ learning, engine, ...request }: FederatedRequest): Promise<LearnedDetector> {
  const { lineage, parameters, threshold } = await runFederation({
    ...request,
    ...learning,
    engine,
    now: () => systemClock.now(),
    log: SILENT,
  });
  const { schema, scaler, architecture } = lineage;
  const score = (scaled: Float32Array) => engine.score(architecture, parameters, scaled);
  return { threshold, score: (rows) => scoreRows({ schema, scaler, score }, rows) };
}

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
