import { expect, it } from 'vitest';
import { z } from 'zod';
import { duration, durationText, parseDuration } from './duration.js';

it.each([
  ['0ms', 0],
  ['250ms', 250],
  ['1.5s', 1_500],
  ['15m', 900_000],
  ['12 h', 43_200_000],
  ['7d', 604_800_000],
])('reads %s as %i ms', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

it.each(['0ms', '250ms', '90s', '15m', '12h', '7d'])('writes %s as it was read', (text) => {
  expect(durationText(parseDuration(text)!)).toBe(text);
});

it.each(['', '15', '15M', '-1s', '1m30s', '15mn', 'm', '1e3s', '.5s'])('refuses %j', (text) => {
  expect(parseDuration(text)).toBeNull();
  expect(duration.safeParse(text).success).toBe(false);
});

it('takes its default as text, so that the JSON Schema shows what a person would write', () => {
  const field = z.strictObject({ interval: duration.prefault('15m') });
  expect(field.parse({})).toEqual({ interval: 900_000 });
  expect(z.toJSONSchema(field, { io: 'input' }).properties?.interval).toMatchObject({ type: 'string', default: '15m' });
});
