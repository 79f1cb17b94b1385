import type { AgentConfig } from '@twinwatch/core/config/agent';
import type { Logger, Timers } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { WriteRequest } from '../sources/modbus/requests.js';

export interface AlarmOutputsOptions {
  readonly outputs: AgentConfig['alarmOutputs'];
  /** Rejects where the device did not confirm. */
  readonly write: (device: string, request: WriteRequest) => Promise<void>;
  readonly timers: Timers;
  readonly log: Logger;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;

/**
 * A coil or register that follows alarms: the only writing that the agent ever does. Only the newest state counts; it is tried until the device confirms
 * it. Nothing is written before the first transition, and in a dry run nothing at all.
 */
export class AlarmOutputs {
  readonly #options: AlarmOutputsOptions;
  /** Alarms that are on, by id: anomalies and communication alarms. */
  readonly #active = new Map<string, 'anomaly' | 'communication'>();
  /** Counts the states of an output, so that an older one is not tried any more. */
  readonly #newest = new Map<number, number>();

  constructor(options: AlarmOutputsOptions) {
    this.#options = options;
  }

  /** Alarms that were on before a restart: an output goes off only once all of its alarms are over. */
  resume(active: { readonly anomaly: string | null; readonly communication: string | null }): void {
    if (active.anomaly !== null) this.#active.set(active.anomaly, 'anomaly');
    if (active.communication !== null) this.#active.set(active.communication, 'communication');
  }

  /** Resolves once every output that this concerns is confirmed, or has a newer state. */
  async onAlarm(event: AlarmEvent, signal: AbortSignal): Promise<void> {
    const kind = event.communication === undefined ? 'anomaly' : 'communication';
    if (event.transition === 'raised') this.#active.set(event.alarmId, kind);
    else if (event.transition === 'cleared') this.#active.delete(event.alarmId);
    else return;
    const concerned = [...this.#options.outputs.entries()].filter(([, { on }]) => on === 'any' || on === kind);
    await Promise.all(concerned.map(([index]) => this.#follow(index, signal)));
  }

  async #follow(index: number, signal: AbortSignal): Promise<void> {
    const { outputs, write, timers, log } = this.#options;
    const { device, register, address, on, raised, cleared, dryRun } = outputs[index]!;
    const isOn = [...this.#active.values()].some((kind) => on === 'any' || on === kind);
    const value = isOn ? raised : cleared;
    const what = { device, register, address, value };
    if (dryRun) {
      log.info(what, 'alarm output (dry run): this would be written');
      return;
    }
    const state = (this.#newest.get(index) ?? 0) + 1;
    this.#newest.set(index, state);
    for (let retryMs = FIRST_RETRY_MS; ; retryMs = Math.min(LONGEST_RETRY_MS, 2 * retryMs)) {
      if (signal.aborted || this.#newest.get(index) !== state) return;
      try {
        await write(device, { table: register, address, words: [value] });
        log.info(what, 'alarm output written');
        return;
      } catch (error) {
        log.warn({ ...what, error: String(error) }, 'alarm output not written; it is tried again');
        await timers.sleep('alarm-output', retryMs, signal).catch(() => undefined);
      }
    }
  }
}
