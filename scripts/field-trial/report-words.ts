/** Numbers and times as the report shows them. Times are the feed's own clock, which is kept as UTC. */

const MISSING = '—';

export function scoreWords(value: number | null): string {
  return value === null || !Number.isFinite(value) ? MISSING : value.toFixed(3);
}

export function timeWords(ms: number | null): string {
  return ms === null ? MISSING : new Date(ms).toISOString().slice(0, 16).replace('T', ' ');
}

export function dayWords(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

export function hoursWords(hours: number): string {
  return `${Number(hours.toFixed(hours < 10 ? 1 : 0))} h`;
}

export function millisecondsWords(ms: number | null): string {
  if (ms === null || !Number.isFinite(ms)) return MISSING;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`;
}

export function bytesWords(bytes: number): string {
  if (bytes < 1_000) return `${Math.round(bytes)} B`;
  if (bytes < 999_500) return `${(bytes / 1e3).toFixed(bytes < 9_950 ? 1 : 0)} kB`;
  return `${(bytes / 1e6).toFixed(bytes < 9.95e6 ? 1 : 0)} MB`;
}

export function countWords(count: number): string {
  return count.toLocaleString('en-GB').replaceAll(',', ' ');
}
