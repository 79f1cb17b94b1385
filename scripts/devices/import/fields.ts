/** Reading files of other programs: nothing in them is as it should be until it was looked at. */

export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Null where it is no number. TOML's whole numbers may be bigints. */
export function numberOf(value: unknown): number | null {
  if (value === undefined || value === null || value === '' || typeof value === 'boolean') return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

export function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

/** '1s', '500ms' or '1m30s' in milliseconds, as Go writes durations; null where it is none. */
export function durationMs(value: unknown): number | null {
  const unit: Readonly<Record<string, number>> = {
    ns: 1e-6,
    us: 1e-3,
    µs: 1e-3,
    ms: 1,
    s: 1_000,
    m: 60_000,
    h: 3_600_000,
  };
  if (typeof value !== 'string' || !/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(value)) return null;
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  return parts.reduce((sum, [, amount, name]) => sum + Number(amount) * unit[name ?? 'ms']!, 0);
}

/** The URL of a serial line; null where it has no path. */
export function serialUrl(
  scheme: 'rtu' | 'ascii',
  path: string | null,
  line: { baudRate: unknown; parity: unknown; dataBits: unknown; stopBits: unknown },
): string | null {
  if (path === null) return null;
  const parity: Readonly<Record<string, string>> = { N: 'none', E: 'even', O: 'odd' };
  const given = textOf(line.parity)?.[0]?.toUpperCase();
  const query = new URLSearchParams({
    baudRate: String(numberOf(line.baudRate) ?? 9_600),
    ...(given === undefined ? {} : { parity: parity[given] ?? 'none' }),
    ...(numberOf(line.dataBits) === null ? {} : { dataBits: String(line.dataBits) }),
    ...(numberOf(line.stopBits) === null ? {} : { stopBits: String(line.stopBits) }),
  });
  return `${scheme}://${path.startsWith('/') ? '' : '/'}${path}?${query}`;
}
