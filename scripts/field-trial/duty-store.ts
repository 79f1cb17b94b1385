import { openStore } from '@twinwatch/edge-agent/agent';
import { loadSite } from '@twinwatch/edge-agent/site-config';
import { systemTimers } from '../processes/node-runtime.js';
import type { PolledRow } from './acquisition.js';

const LIMIT_ROWS = 10_000_000;
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Everything an agent has kept, with the scores given when the rows came. The agent must not be running. @throws TwinwatchError STORE_FAILED */
export async function readDutyStore(configPath: string, tagNames: readonly string[]): Promise<PolledRow[]> {
  const store = await openStore(await loadSite(configPath), { timers: systemTimers, log: SILENT });
  try {
    const { count, timesMs, values, scores } = await store.call('rows', tagNames, LIMIT_ROWS);
    return Array.from({ length: count }, (_, i) => ({
      timeMs: timesMs[i]!,
      values: values.subarray(i * tagNames.length, (i + 1) * tagNames.length),
      score: Number.isNaN(scores[i]) ? null : scores[i]!,
    }));
  } finally {
    await store.close();
  }
}
