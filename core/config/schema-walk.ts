import { z } from 'zod';
import type { ConfigPath } from './yaml-source.js';

type Schema = z.core.$ZodType;

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

/**
 * The schemas a value at this place is held against, with what only wraps them (optional, default, transform) taken off.
 * More than one for a union; `value` narrows a union that is told apart by a field.
 */
function alternatives(schema: Schema, value: unknown): Schema[] {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'catch':
    case 'readonly':
    case 'nonoptional':
      return alternatives(def.innerType, value);
    case 'pipe':
      return alternatives((def.in as z.core.$ZodTypes)._zod.def.type === 'transform' ? def.out : def.in, value);
    case 'lazy':
      return alternatives(def.getter(), value);
    case 'intersection':
      return [...alternatives(def.left, value), ...alternatives(def.right, value)];
    case 'union': {
      const options = def.options.flatMap((option) => alternatives(option, value));
      const field = 'discriminator' in def ? String(def.discriminator) : null;
      if (field === null || !isRecord(value)) return options;
      const chosen = options.filter((option) => {
        const shape = shapeOf(option)?.[field];
        return shape !== undefined && z.safeParse(shape, value[field]).success;
      });
      return chosen.length > 0 ? chosen : options;
    }
    default:
      return [schema];
  }
}

function shapeOf(schema: Schema): Readonly<Record<string, Schema>> | null {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  return def.type === 'object' ? def.shape : null;
}

function child(schema: Schema, key: PropertyKey): Schema | null {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case 'object':
      return def.shape[String(key)] ?? null;
    case 'array':
      return def.element;
    case 'record':
      return def.valueType;
    case 'tuple':
      return def.items[Number(key)] ?? def.rest;
    default:
      return null;
  }
}

/** What is declared for the place `path` (several in a union, none for an unknown field), before wrappers are taken off. */
export function declaredAt(schema: Schema, path: ConfigPath, value: unknown): Schema[] {
  let declared: Schema[] = [schema];
  let current = value;
  for (const part of path) {
    declared = declared
      .flatMap((one) => alternatives(one, current))
      .map((one) => child(one, part))
      .filter((one) => one !== null);
    current = isRecord(current) ? current[String(part)] : undefined;
  }
  return declared;
}

/** Names of the fields that may stand in the block at `path`. */
export function fieldsAt(schema: Schema, path: ConfigPath, value: unknown): string[] {
  const here = valueAt(value, path);
  const shapes = declaredAt(schema, path, value).flatMap((one) => alternatives(one, here).map(shapeOf));
  return [...new Set(shapes.flatMap((shape) => Object.keys(shape ?? {})))];
}

/** The value at `path`, undefined where there is none. */
export function valueAt(value: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>((current, part) => (isRecord(current) ? current[String(part)] : undefined), value);
}
