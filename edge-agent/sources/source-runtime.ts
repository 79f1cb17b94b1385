import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import type { MqttClientLike, MqttConnectOptions } from '@twinwatch/core/wire/mqtt-client';
import type { SourceSink } from './source.js';
import type { TagBoard } from './tag-board.js';

export interface SourceRuntime {
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly connect: (options: MqttConnectOptions) => MqttClientLike;
}

/** How often a source tells what it has, though nothing came: rows are made at their own interval. */
const TELL_MS = 500;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;

/** Before attempt `failures` + 1: doubling up to ten seconds, spread so that many do not come at once. */
export function reconnectPauseMs(failures: number, random: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, failures)) * (0.5 + random / 2);
}

/**
 * Tells the board's values regularly until the signal aborts, and a fault while there is none or all of them are old.
 * @param trouble why there may be no values, null where nothing is known to be wrong.
 */
export async function tellBoard(
  device: string,
  board: TagBoard,
  trouble: () => string | null,
  { timers, log }: SourceRuntime,
  signal: AbortSignal,
  sink: SourceSink,
): Promise<void> {
  let told: string | null = null;
  while (!signal.aborted) {
    const fault = trouble() ?? (board.isAlive ? null : 'sends nothing');
    if (fault !== told) {
      if (fault === null) log.info({ device }, 'device sends again');
      else log.warn({ device }, fault);
      sink.fault(device, fault);
      told = fault;
    }
    if (fault === null || board.isAlive) sink.reading(board.reading());
    await timers.sleep('source-tell', TELL_MS, signal).catch(() => undefined);
  }
}
