import { z } from 'zod';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const PATTERN = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)$/;

const EXPECTED = "write a number and a unit, one of ms, s, m, h, d, for example '15m'";

/** '15m' → 900000. Null where the text is not a number followed by ms, s, m, h or d. */
export function parseDuration(text: string): number | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  return Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? Number.NaN));
}

/** 900000 → '15m': as a configuration has it, in the largest unit that it is a whole number of. */
export function durationText(ms: number): string {
  const [unit] = Object.entries(UNIT_MS).findLast(([, length]) => ms >= length && ms % length === 0) ?? ['ms'];
  return `${ms / UNIT_MS[unit]!}${unit}`;
}

/** A duration in a configuration file: text such as '15m' in, milliseconds out. For a default use `.prefault('15m')`. */
export const duration = z
  .string({ error: (issue) => (typeof issue.input === 'number' ? `has no unit; ${EXPECTED}` : undefined) })
  .regex(PATTERN, { error: `is not a duration; ${EXPECTED}` })
  .meta({ format: 'duration-with-unit' })
  .transform((text) => parseDuration(text) ?? Number.NaN);

/** As `duration`, and neither shorter nor longer than the given durations, bounds included. */
export function durationBetween(minimum: string, maximum: string) {
  const from = parseDuration(minimum) ?? Number.NaN;
  const to = parseDuration(maximum) ?? Number.NaN;
  return duration.refine((ms) => ms >= from && ms <= to, {
    error: `is out of range; write a duration from ${minimum} to ${maximum}`,
  });
}
