import { readFile } from 'node:fs/promises';
import { type RoundsConfig, roundsConfig, type ServerFile } from '@twinwatch/core/config/server';
import type { Logger } from '@twinwatch/core/runtime';
import { parseRecording } from '../twin/recording.js';
import type { TwinSource } from '../twin/twin-source.js';
import { advise } from './advise.js';
import { auditHistory } from './audit-history.js';
import { measuredTwins } from './measured-twins.js';

/**
 * The rounds of `method: auto`: what the alignment audit of the twin against `twin.history` speaks for. The same files give the same answer, so that a restart
 * goes on with it. Where no method can be named the server learns by cwa, and says loudly that nothing speaks for the result.
 * @throws TwinwatchError FEED_INVALID, PLANT_*, TWIN_*
 */
export async function settleRounds(
  { rounds, twin: { history, seed }, detector }: ServerFile,
  twin: TwinSource,
  { beside, log }: { readonly beside: (file: string) => string; readonly log: Logger },
): Promise<RoundsConfig> {
  const { method, ...others } = rounds;
  if (method !== 'auto') return { ...others, method };
  const { file, ...columns } = history!;
  const names = twin.tags.map(({ name }) => name);
  const recording = parseRecording(await readFile(beside(file)), file, names, columns);
  const { alignment, areLabelled } = await auditHistory(twin, recording, detector, seed);
  const advice = advise(alignment, areLabelled, await measuredTwins());
  const named = advice.method?.rounds ?? { method: 'cwa' };
  const whole = roundsConfig.parse(named);
  const fields = Object.fromEntries(Object.entries(whole).filter(([field]) => field in named));
  const settled: RoundsConfig = { ...others, ...fields, method: whole.method };
  const about = { alignment, method: settled.method, exchangeRows: settled.exchangeRows };
  const words = `method auto: ${settled.method}. ${advice.reasons.join(' ')}`;
  if (advice.method === null) log.warn(about, words);
  else log.info(about, words);
  return settled;
}
