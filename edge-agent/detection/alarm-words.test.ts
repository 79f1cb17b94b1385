import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { expect, it } from 'vitest';
import { alarmWords, needsAttention } from './alarm-words.js';

const event: AlarmEvent = {
  ...{ eventId: 'a:1:1', alarmId: 'a:1', agent: 'a', transition: 'raised', atMs: 1, score: 0.9991, threshold: 0.5 },
  ...{ modelVersion: 'v1', latencyMs: 1 },
  contributions: ['L_T1', 'F_PU1', 'P_J1', 'P_J2'].map((tag, i) => ({ tag, share: 0.4 / (i + 1), value: 1 })),
};
const silent = { tags: ['L_T1', 'L_T2'], reason: 'MODBUS_TIMEOUT', devices: ['PLC1'] };

it.each([
  [event, 'ALARM raised: score 0.999 over the threshold 0.500, mostly L_T1 40 %, F_PU1 20 %, P_J1 13 %', true],
  [{ ...event, contributions: [] }, 'ALARM raised: score 0.999 over the threshold 0.500', true],
  [{ ...event, transition: 'acknowledged' as const }, 'alarm acknowledged', false],
  [
    { ...event, transition: 'cleared' as const, peakScore: 0.9996 },
    'alarm cleared; its score was at most 1.000',
    false,
  ],
  [{ ...event, transition: 'cleared' as const }, 'alarm cleared', false],
  [{ ...event, communication: silent }, 'communication alarm raised: no good values of PLC1, L_T1, L_T2', true],
  [{ ...event, transition: 'cleared' as const, communication: silent }, 'communication alarm cleared', false],
])('tells an alarm in words (%#)', (told, words, isWarning) => {
  expect(alarmWords(told)).toBe(words);
  expect(needsAttention(told)).toBe(isWarning);
});
