import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';

/** Alarms as the agent's log tells them, for whoever stands at the device. Pure. */

const TAGS_TOLD = 3;

/** Whether it is told as a warning. */
export function needsAttention({ transition }: AlarmEvent): boolean {
  return transition === 'raised';
}

export function alarmWords({
  transition,
  communication,
  score,
  threshold,
  peakScore,
  contributions,
}: AlarmEvent): string {
  if (communication !== undefined) {
    const { devices = [], tags } = communication;
    if (transition !== 'raised') return `communication alarm ${transition}`;
    return `communication alarm raised: no good values of ${[...devices, ...tags].slice(0, TAGS_TOLD).join(', ')}`;
  }
  if (transition === 'cleared')
    return `alarm cleared${peakScore === undefined ? '' : `; its score was at most ${peakScore.toFixed(3)}`}`;
  if (transition !== 'raised') return `alarm ${transition}`;
  const tags = contributions.slice(0, TAGS_TOLD).map(({ tag, share }) => `${tag} ${(share * 100).toFixed(0)} %`);
  const mostly = tags.length === 0 ? '' : `, mostly ${tags.join(', ')}`;
  return `ALARM raised: score ${score.toFixed(3)} over the threshold ${threshold.toFixed(3)}${mostly}`;
}
