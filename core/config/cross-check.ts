import { z } from 'zod';
import type { ConfigPath } from './yaml-source.js';

/** What can be relied on of a file that may be wrong elsewhere: every field and item may be missing, but none is of another type. */
export type Sound<T> = T extends readonly (infer Item)[]
  ? (Sound<Item> | undefined)[]
  : T extends object
    ? { [Key in keyof T]?: Sound<T[Key]> | undefined }
    : T;

export interface Contradiction {
  /** From the block that is checked. */
  readonly path: readonly (string | number)[];
  /** As everywhere in a schema: one that starts with 'is', 'has' or 'must' gets the value put before it. */
  readonly message: string;
}

const CROSS_CHECK = { crossCheck: true };

/** A check of one block as a whole that also runs where single fields of it are wrong; to `contradictions` these are missing. */
export function crossCheck<T>(contradictions: (sound: Sound<T>) => Iterable<Contradiction>): z.core.$ZodCheck<T> {
  const check = new z.core.$ZodCheck({ check: 'custom', when: () => true }) as z.core.$ZodCheck<T>;
  check._zod.check = ({ value, issues }) => {
    const sound = soundPart(value, issues);
    if (typeof sound !== 'object' || sound === null) return;
    for (const { path, message } of contradictions(sound as Sound<T>))
      issues.push({
        code: 'custom',
        path: [...path],
        message,
        input: value,
        inst: check,
        continue: true,
        params: CROSS_CHECK,
      } as z.core.$ZodRawIssue);
  };
  return check;
}

interface PlacedIssue {
  readonly path?: readonly PropertyKey[] | undefined;
  readonly params?: Record<string, unknown> | undefined;
}

/** A copy of `value` without what the issues are about, except for those of cross-checks: each of these values is sound in itself. */
export function soundPart(value: unknown, issues: readonly object[]): unknown {
  let sound = value;
  for (const { path, params } of issues as readonly PlacedIssue[])
    if (params?.crossCheck !== true) sound = without(sound, path ?? []);
  return sound;
}

function without(value: unknown, path: ConfigPath): unknown {
  const [key, ...rest] = path;
  if (key === undefined || typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) return value.map((item, i) => (i === Number(key) ? without(item, rest) : item));
  if (!Object.hasOwn(value, key)) return value;
  return { ...value, [key]: without((value as Record<PropertyKey, unknown>)[key], rest) };
}
