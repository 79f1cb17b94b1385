import { userInfo } from 'node:os';
import { parseDuration } from '@twinwatch/core/config/duration';
import { TwinwatchError } from '@twinwatch/core/errors';
import { parseTime } from '@twinwatch/core/scada/dates';
import type { AlarmAction } from '@twinwatch/core/wire/commands';
import { alarmActionPath, type DecisionView, type LabelRequest, labelsPath } from '@twinwatch/core/wire/http';
import { systemTimers } from '../processes/node-runtime.js';
import { type ServerClient, type ServerOption, serverClient } from './server-client.js';
import { alarmTable, alarmWords, decisionLine } from './words.js';

/** What an operator does from a terminal: everything through the server, which tells the agents. */

export interface DecideOptions extends ServerOption {
  /** Whose decision it is; the user of this machine where absent. */
  readonly by?: string;
  /** How long to wait for the agent, as '10s'. */
  readonly wait: string;
}

const POLL_MS = 200;
const DAY_MS = 86_400_000;

/** @throws TwinwatchError CLI_SERVER_* */
export async function listAlarms(
  options: ServerOption & { readonly site?: string; readonly all?: boolean },
): Promise<void> {
  const state = await serverClient(options).state();
  process.stdout.write(`${alarmTable(state, { site: options.site ?? null, all: options.all === true })}\n`);
}

/** @throws TwinwatchError CLI_SERVER_* */
export async function showAlarm(alarmId: string, options: ServerOption): Promise<void> {
  const state = await serverClient(options).state();
  if (!state.alarms.some((event) => event.alarmId === alarmId)) process.exitCode = 2;
  process.stdout.write(`${alarmWords(state, alarmId)}\n`);
}

/**
 * @returns the exit code: 1 where an agent says that it cannot be.
 * @throws TwinwatchError CLI_USAGE, CLI_SERVER_*
 */
export async function decideAlarms(
  action: AlarmAction,
  alarmIds: readonly string[],
  options: DecideOptions & { readonly for?: string },
): Promise<number> {
  const client = serverClient(options);
  const waitMs = durationMs(options.wait, '--wait');
  const shelveMs = options.for === undefined ? undefined : durationMs(options.for, '--for');
  const by = options.by ?? userInfo().username;
  let code = 0;
  for (const alarmId of alarmIds)
    code = Math.max(
      code,
      await told(client, await client.decide(alarmActionPath(alarmId, action), { by, shelveMs }), waitMs),
    );
  return code;
}

/**
 * Both ends belong to the range; a day without a time means all of it.
 * @throws TwinwatchError CLI_USAGE, CLI_SERVER_*
 */
export async function labelRange(
  site: string,
  from: string,
  to: string,
  options: DecideOptions & { readonly normal?: boolean; readonly attack?: boolean },
): Promise<number> {
  if ((options.normal === true) === (options.attack === true))
    throw new TwinwatchError('CLI_USAGE', 'say what the rows of that time were: --normal or --attack');
  const toMs = timeMs(to, 'TO') + (/^\d{4}-\d{2}-\d{2}$/.test(to) ? DAY_MS - 1 : 0);
  const fromMs = timeMs(from, 'FROM');
  if (toMs < fromMs) throw new TwinwatchError('CLI_USAGE', `TO (${to}) is before FROM (${from})`);
  const client = serverClient(options);
  const waitMs = durationMs(options.wait, '--wait');
  const label = options.attack === true ? 'anomalous' : 'normal';
  const request: LabelRequest = { by: options.by ?? userInfo().username, fromMs, toMs, label };
  return told(client, await client.decide(labelsPath(site), request), waitMs);
}

/** Waits for the agent's answer, as long as it may take, and says what became of the decision. */
async function told(client: ServerClient, made: DecisionView, waitMs: number): Promise<number> {
  let decision = made;
  for (let waitedMs = 0; decision.answer === null && waitedMs < waitMs; waitedMs += POLL_MS) {
    await systemTimers.sleep('answer', POLL_MS);
    decision = await client.decision(made.commandId);
  }
  process.stdout.write(`${decisionLine(decision)}\n`);
  const verdict = decision.answer?.verdict;
  return verdict === 'unknown-alarm' || verdict === 'superseded' ? 1 : 0;
}

function durationMs(text: string, option: string): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new TwinwatchError('CLI_USAGE', `${option}: '${text}' is not a duration; write 10s, 30m or 8h`);
  return ms;
}

function timeMs(text: string, argument: string): number {
  const ms = parseTime(text, 'ymd');
  if (ms === null)
    throw new TwinwatchError(
      'CLI_USAGE',
      `${argument}: '${text}' is not a time; write 2026-01-17T00:15Z, or 2026-01-17 for the whole day`,
    );
  return ms;
}
