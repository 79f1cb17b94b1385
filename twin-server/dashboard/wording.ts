import type { Tag } from '@twinwatch/core/scada/tag';
import type { SilentTags } from '@twinwatch/core/wire/alarm-event';
import type { DecisionView, QuarantineView, RoundView, ServerPhase } from '@twinwatch/core/wire/http';

/** Numbers and times as the page shows them. All pure; a missing value is an em dash. */

export const MISSING = '—';

/** In order, with the words of the header. */
export const PHASES: readonly { readonly phase: ServerPhase; readonly words: string }[] = [
  { phase: 'simulating-twin', words: 'Simulate twin' },
  { phase: 'waiting-for-agents', words: 'Gather sites' },
  { phase: 'calibrating', words: 'Calibrate' },
  { phase: 'rounds', words: 'Learn in rounds' },
  { phase: 'finished', words: 'Watch' },
];

export function bytesWords(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined || !Number.isFinite(bytes)) return MISSING;
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 'B';
  for (const next of units) {
    if (value < 999.5) break;
    value /= 1_000;
    unit = next;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

export function countWords(count: number | null | undefined): string {
  return count === null || count === undefined ? MISSING : count.toLocaleString('en-GB').replaceAll(',', ' ');
}

/** As precise as its tag is measured, and 'on' or 'off' of a status; as valueWords has it without a tag. */
export function tagValueWords(value: number | null | undefined, tag: Tag | undefined): string {
  if (tag === undefined || value === null || value === undefined || !Number.isFinite(value)) return valueWords(value);
  if (tag.kind === 'status') return value === 0 ? 'off' : value === 1 ? 'on' : valueWords(value);
  const decimals = Math.max(0, Math.min(3, Math.ceil(-Math.log10(tag.resolution) - 1e-9)));
  return Math.abs(value) >= 10_000 ? valueWords(value) : value.toFixed(decimals).replace(/^-(0(\.0+)?)$/, '$1');
}

/** Four significant digits at most, none invented: 3.214, 0.05, 118.2, 12 040. */
export function valueWords(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 10_000) return String(value);
  if (size >= 10_000) return countWords(Math.round(value));
  return value.toFixed(size >= 1_000 ? 0 : size >= 100 ? 1 : size >= 0.1 ? 2 : 3);
}

const DECIDED: Readonly<Record<DecisionView['action'], string>> = {
  acknowledge: 'Acknowledged',
  shelve: 'Shelved',
  unshelve: 'Unshelved',
  confirm: 'Confirmed as an attack',
  dismiss: 'Dismissed as a false alarm',
  label: 'Labelled',
};

/** What was decided, by whom, and what its site made of it. */
export function decisionWords({ action, by, agent, answer }: DecisionView): string {
  const made = `${DECIDED[action]} by ${by}`;
  if (answer === null) return `${made}; ${agent} has not taken it yet, it is sent until it has`;
  const { verdict, detail, rows } = answer;
  if (verdict === 'unknown-alarm' || verdict === 'superseded') return `${made}, without effect: ${detail}`;
  const extra = detail === '' ? '' : `; ${detail}`;
  if (action === 'confirm') return `${made}: ${countWords(rows)} rows are learned as attacked${extra}`;
  if (action === 'dismiss') return `${made}: ${countWords(rows)} rows are learned as normal${extra}`;
  return `${made}${extra}`;
}

/** Whose values do not come: 'No good values of PLC2: 4 tags'. */
export function silentWords({ tags, devices = [] }: Pick<SilentTags, 'tags' | 'devices'>): string {
  const whose = devices.length === 0 ? '' : ` of ${devices.join(', ')}`;
  const many = tags.length === 0 ? '' : tags.length === 1 ? `: ${tags[0]}` : `: ${tags.length} tags`;
  return `No good values${whose}${many}`;
}

/** Why an agent is not asked any more, one line for each update that was refused. */
export function quarantineWords({ sinceMs, reasons }: QuarantineView): string {
  const lines = reasons.map(({ round, verdict, detail }) => `round ${round}: ${verdict}, ${detail}`);
  return [`Not asked since ${dateTimeWords(sinceMs)}; an operator can lift that`, ...lines].join('\n');
}

/** A score or a rate in [0, 1]. */
export function scoreWords(score: number | null | undefined): string {
  return score === null || score === undefined || !Number.isFinite(score) ? MISSING : score.toFixed(3);
}

export function shareWords(share: number): string {
  return `${Math.round(share * 100)} %`;
}

export function durationWords(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return MISSING;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return hours % 24 === 0 ? `${hours / 24} d` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** 2026-03-07 14:05, in the browser's time zone. */
export function dateTimeWords(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return MISSING;
  const at = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** For a <time>. */
export function isoTime(ms: number | null | undefined): string | undefined {
  return ms === null || ms === undefined ? undefined : new Date(ms).toISOString();
}

/** 14:05:09, in the browser's time zone. */
export function clockWords(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}

/** 7 Mar 14:05 – 16:20, or with both days where they differ; in the browser's time zone. */
export function spanWords(fromMs: number | null, toMs: number | null): string {
  const to = shortWords(toMs);
  const [day, clock] = [to.slice(0, -6), to.slice(-5)];
  const from = shortWords(fromMs);
  return from.slice(0, -6) === day ? `${from} – ${clock}` : `${from} – ${to}`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function shortWords(ms: number | null): string {
  if (ms === null) return MISSING;
  const at = new Date(ms);
  return `${at.getDate()} ${MONTHS[at.getMonth()]} ${dateTimeWords(ms).slice(-5)}`;
}

/** Labels for ascending times on an axis: the clock, and under it the day where it changes. Times and step in seconds. */
export function timeAxisWords(seconds: readonly number[], stepSeconds: number): string[] {
  let before = '';
  return seconds.map((second) => {
    const words = shortWords(second * 1_000);
    const [day, clock] = [words.slice(0, -6), words.slice(-5)];
    const isNew = day !== before;
    before = day;
    if (stepSeconds >= 86_400) return day;
    return isNew ? `${clock}\n${day}` : clock;
  });
}

/** As it went over the wire, where that was counted; of rounds of earlier releases the updates and parameters alone. */
export function roundBytes({ traffic, bytesUp, bytesDown }: RoundView, direction: 'up' | 'down'): number {
  if (traffic === undefined) return direction === 'up' ? bytesUp : bytesDown;
  return Object.values(traffic).reduce((sum, each) => sum + each[direction], 0);
}

/** By agent, the most first. */
export function trafficWords({ traffic }: RoundView, direction: 'up' | 'down'): string | undefined {
  const agents = Object.entries(traffic ?? {}).sort(([, a], [, b]) => b[direction] - a[direction]);
  if (agents.length === 0) return undefined;
  return agents.map(([agent, each]) => `${agent} ${bytesWords(each[direction])}`).join(', ');
}
