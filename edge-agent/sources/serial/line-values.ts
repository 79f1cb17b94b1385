import type { SerialLineConfig } from '@twinwatch/core/config/sources';
import { valueAt } from '../json-path.js';
import { checked } from './framing.js';

/** What a frame says: tag → value as it came. Null where it is not one to be read: a failed checksum, or not of the format. */
export function lineValues(
  frame: Buffer,
  config: SerialLineConfig,
  pattern: RegExp | null,
): ReadonlyMap<string, unknown> | null {
  const text = frame.toString('latin1').replace(/\r$/, '');
  const body = checked(text, config.checksum);
  if (body === null) return null;
  const find = fieldsOf(body, config, pattern);
  if (find === null) return null;
  const values = new Map<string, unknown>();
  for (const { name, field, match } of config.tags) {
    if (match !== undefined && !body.startsWith(match)) continue;
    const value = find(field);
    // An empty field says that there is no value, not that it is 0.
    if (value !== undefined) values.set(name, value === '' ? Number.NaN : value);
  }
  return values;
}

function fieldsOf(
  body: string,
  { format, separator }: SerialLineConfig,
  pattern: RegExp | null,
): ((field: string | number) => unknown) | null {
  switch (format) {
    case 'fields': {
      const parts = body.split(separator);
      return (field) => parts[Number(field)]?.trim();
    }
    case 'regex': {
      const match = pattern?.exec(body);
      if (match === null || match === undefined) return null;
      return (field) => (typeof field === 'number' ? match[field] : match.groups?.[field]);
    }
    case 'json':
      try {
        const root: unknown = JSON.parse(body);
        return (field) => valueAt(root, String(field));
      } catch {
        return null;
      }
  }
}
