import type { ZodType } from 'zod';
import { TwinwatchError } from '../errors.js';
import type { AlarmEvent } from './alarm-event.js';
import { checked, MAXIMUM_ENVELOPE_BYTES } from './envelope.js';
import { alarmEventSchema } from './schemas/alarms.js';
import { agentStatusSchema, serverStatusSchema } from './schemas/status.js';
import { telemetrySchema } from './schemas/telemetry.js';
import type { AgentStatus, ServerStatus } from './status.js';
import type { Telemetry } from './telemetry.js';

/** The messages that people and other tools read. Every parser throws TwinwatchError WIRE_TOO_LARGE, WIRE_MALFORMED or WIRE_INVALID. */

export const parseAgentStatus = (payload: Uint8Array): AgentStatus => parse('status', agentStatusSchema, payload);
export const parseServerStatus = (payload: Uint8Array): ServerStatus =>
  parse('server status', serverStatusSchema, payload);
export const parseAlarmEvent = (payload: Uint8Array): AlarmEvent => parse('alarm event', alarmEventSchema, payload);
export const parseTelemetry = (payload: Uint8Array): Telemetry => parse('telemetry', telemetrySchema, payload);

/** UTF-8 JSON; a number that JSON cannot say (NaN) becomes null, which the parsers refuse where the field is not nullable. */
export function encodeJson(message: AgentStatus | ServerStatus | AlarmEvent | Telemetry): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

function parse<T>(what: string, schema: ZodType<T>, payload: Uint8Array): T {
  if (payload.length > MAXIMUM_ENVELOPE_BYTES)
    throw new TwinwatchError('WIRE_TOO_LARGE', `${what} of ${payload.length} bytes is above ${MAXIMUM_ENVELOPE_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch (cause) {
    throw new TwinwatchError('WIRE_MALFORMED', `${what} is not JSON`, { cause });
  }
  return checked(what, schema, value);
}
