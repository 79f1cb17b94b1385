import { parentPort, workerData } from 'node:worker_threads';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { FromTwinWorker, TwinWork } from './epanet-twin.js';
import { simulateEpisode } from './episode.js';

/** Thread that simulates its share of the episodes and posts each as it is done. */

const port = parentPort!;
const post = (message: FromTwinWorker, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);

try {
  const { plant, request, indices } = workerData as TwinWork;
  for (const index of indices) {
    const rows = await simulateEpisode(plant, request, index);
    const buffers = [rows.values, rows.timesMs, rows.labels, rows.excluded].map(({ buffer }) => buffer as ArrayBuffer);
    post({ kind: 'episode', index, rows }, buffers);
  }
  post({ kind: 'done' });
} catch (error) {
  const known = error instanceof TwinwatchError;
  post({
    kind: 'failed',
    code: known ? error.code : 'TWIN_WORKER_FAILED',
    message: error instanceof Error ? error.message : String(error),
    context: known ? error.context : {},
  });
}
