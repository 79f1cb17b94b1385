import { serverConfig } from '@twinwatch/core/config/server';
import { createRandom } from '@twinwatch/core/learning/random';
import type { Logger } from '@twinwatch/core/runtime';
import type { Row } from '@twinwatch/core/scada/sample';
import type { Tag } from '@twinwatch/core/scada/tag';
import type { TwinEpisode, TwinRows } from '../../twin/twin-source.js';
import type { ClientRows } from '../client-examples.js';

/** A made-up plant for tests: a level with a daily swing, a flow that follows it, a pump that never stops; attacks break the relation. */

export const INTERVAL_MS = 900_000;
const ROWS_PER_DAY = 96;

export const TAGS: readonly Tag[] = [
  { name: 'LEVEL', unit: 'm', kind: 'analog', resolution: 0.01 },
  { name: 'FLOW', unit: 'L/s', kind: 'analog', resolution: 0.1 },
  { name: 'PUMP', unit: '', kind: 'status', resolution: 1 },
];

/** @param bias of the plant's flow against the twin's: no site is quite like its twin. */
export function plantRows(
  seed: string,
  days: number,
  bias: number,
  attack: readonly [number, number] | null,
): TwinEpisode {
  const random = createRandom(seed);
  const labels = new Uint8Array(days * ROWS_PER_DAY);
  const rows = Array.from(labels, (_, i): Row => {
    const attacked = attack !== null && i >= attack[0] && i < attack[1];
    labels[i] = attacked ? 1 : 0;
    const level = 3 + Math.sin((2 * Math.PI * i) / ROWS_PER_DAY) + 0.1 * random.normal();
    const flow = 20 * level + bias + random.normal() + (attacked ? 14 : 0);
    return { timeMs: i * INTERVAL_MS, sequence: i, values: Float64Array.of(level, flow, 1) };
  });
  const none = new Array<null>(labels.length).fill(null);
  return { rows, labels, excluded: new Uint8Array(labels.length), attackNames: none };
}

export function syntheticTwin(seed: number, episodes = 8): TwinRows {
  return {
    tags: TAGS,
    intervalMs: INTERVAL_MS,
    warnings: new Map(),
    episodes: Array.from({ length: episodes }, (_, i) =>
      plantRows(`twin ${seed} ${i}`, 3, 0, i % 2 === 0 ? [60 + 10 * i, 110 + 10 * i] : null),
    ),
  };
}

/** Sites that saw normal running only, and have no label. */
export function normalClients(count: number, days = 6): ClientRows[] {
  return Array.from({ length: count }, (_, k) => ({
    id: `site-${k + 1}`,
    rows: plantRows(`site ${k}`, days, k - (count - 1) / 2, null).rows,
  }));
}

/** The configuration as a file would give it. */
export function syntheticConfig(rounds: object, detector: object = {}) {
  return serverConfig.parse({
    federation: 'test',
    broker: { url: 'mqtt://127.0.0.1:1' },
    dataDir: 'data',
    twin: { plant: 'none' },
    detector: { hidden: [12, 6], maximumFalseRate: 0.01, ...detector },
    rounds: { count: 6, quorum: 2, minimumRows: 50, batchSize: 32, learningRate: 0.01, exchangeRows: 400, ...rounds },
  });
}

export const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
