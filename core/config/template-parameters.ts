import { z } from 'zod';
import type { ConfigPath } from './yaml-source.js';

/**
 * Parameters of a device template: `${name}` in any text of the file stands for the value that a device gives, or its default. `${device}` is the
 * device's own name. A text that is nothing but one `${…}` takes the value's type, so it can stand where a number is wanted; numbers may be
 * added, subtracted and multiplied there, from left to right: `${0x1000 + first}`. A tag with `repeat: n` stands for n tags, with `${i}` from 0.
 */

const parameterName = /^[A-Za-z_][A-Za-z0-9_]{0,31}$/;
const value = z.union([z.string(), z.number()]);

export type ParameterValue = string | number;

/** In a template: what may be given, and what it is where nothing is. */
export const templateParameters = z
  .record(
    z.string().regex(parameterName, { error: 'must start with a letter and hold only letters, digits and _' }),
    z.strictObject({
      default: value.meta({ description: 'value where a device gives none' }),
      description: z.string().optional().meta({ description: 'what it is, for whoever uses the template' }),
    }),
  )
  .default({})
  .meta({ description: 'what a device may give under its own parameters; the text ${name} stands for it' });

/** In an agent's file: what a device gives. */
export const givenParameters = z
  .record(z.string(), value)
  .default({})
  .meta({ description: "values for the template's parameters: { prefix: M1_, ratio: 40 }" });

export interface ExpandedTemplate {
  readonly value: unknown;
  readonly problems: readonly { readonly path: ConfigPath; readonly message: string }[];
  /** Where in the file the value at a path of the expanded template comes from. */
  readonly origin: (path: ConfigPath) => ConfigPath;
}

const PLACEHOLDER = /\$\{([^}]*)\}/g;
const LONGEST_REPEAT = 1_000;

/**
 * @param root a template file's content as plain values; anything, as nothing of it is checked yet.
 * @param device null where the file is looked at on its own.
 */
export function expandTemplate(
  root: unknown,
  device: string | null,
  given: Readonly<Record<string, ParameterValue>>,
): ExpandedTemplate {
  const problems: { path: ConfigPath; message: string }[] = [];
  const declared = isRecord(root) && isRecord(root.parameters) ? root.parameters : {};
  const names: Record<string, ParameterValue> = { device: device ?? 'device' };
  for (const [name, one] of Object.entries(declared)) {
    const fallback = isRecord(one) ? one.default : undefined;
    const chosen = given[name] ?? fallback;
    if (typeof chosen === 'string' || typeof chosen === 'number') names[name] = chosen;
  }
  const fill = (node: unknown, path: ConfigPath, scope: Readonly<Record<string, ParameterValue>>): unknown => {
    if (typeof node === 'string')
      return filled(node, scope, (message) => {
        problems.push({ path, message });
      });
    if (Array.isArray(node)) return node.map((item, i) => fill(item, [...path, i], scope));
    if (!isRecord(node)) return node;
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, fill(item, [...path, key], scope)]));
  };
  if (!isRecord(root)) return { value: root, problems, origin: (path) => path };
  const { tags, parameters, ...rest } = root;
  const places: number[] = [];
  const expanded = Array.isArray(tags)
    ? tags.flatMap((tag: unknown, at) => {
        if (!isRecord(tag) || tag.repeat === undefined) {
          places.push(at);
          return [fill(tag, ['tags', at], names)];
        }
        const { repeat, ...one } = tag;
        const count = fill(repeat, ['tags', at, 'repeat'], names);
        if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > LONGEST_REPEAT) {
          problems.push({ path: ['tags', at, 'repeat'], message: `must be a whole number up to ${LONGEST_REPEAT}` });
          return [];
        }
        return Array.from({ length: count }, (_, i) => {
          places.push(at);
          return fill(one, ['tags', at], { ...names, i });
        });
      })
    : tags;
  const body = fill(rest, [], names) as Record<string, unknown>;
  return {
    value: {
      ...body,
      ...(parameters === undefined ? {} : { parameters }),
      ...(tags === undefined ? {} : { tags: expanded }),
    },
    problems,
    origin: (path) =>
      path[0] === 'tags' && typeof path[1] === 'number' ? ['tags', places[path[1]] ?? path[1], ...path.slice(2)] : path,
  };
}

function filled(
  text: string,
  scope: Readonly<Record<string, ParameterValue>>,
  wrong: (message: string) => void,
): ParameterValue {
  const whole = /^\$\{([^}]*)\}$/.exec(text);
  if (whole !== null) return evaluated(whole[1] ?? '', scope, wrong) ?? text;
  return text.replace(PLACEHOLDER, (all, inner: string) => String(evaluated(inner, scope, wrong) ?? all));
}

function evaluated(
  expression: string,
  scope: Readonly<Record<string, ParameterValue>>,
  wrong: (message: string) => void,
): ParameterValue | null {
  const parts = expression.trim().split(/\s*([+*-])\s*/);
  const values = parts.filter((_, i) => i % 2 === 0).map((word) => operand(word, scope));
  const missing = parts.filter((_, i) => i % 2 === 0).find((_, i) => values[i] === null);
  if (missing !== undefined) {
    const known = Object.keys(scope).join(', ');
    wrong(
      missing === ''
        ? `has an empty place in '\${${expression}}'; write a parameter or a number`
        : `names '${missing}', which is not a parameter; those of this template are ${known}`,
    );
    return null;
  }
  if (values.length === 1) return values[0]!;
  if (values.some((one) => typeof one !== 'number')) {
    wrong(`reckons with a text in '\${${expression}}'; only numbers can be added, subtracted and multiplied`);
    return null;
  }
  const numbers = values as number[];
  return parts
    .filter((_, i) => i % 2 === 1)
    .reduce(
      (sum, sign, i) =>
        sign === '+' ? sum + numbers[i + 1]! : sign === '-' ? sum - numbers[i + 1]! : sum * numbers[i + 1]!,
      numbers[0]!,
    );
}

function operand(word: string, scope: Readonly<Record<string, ParameterValue>>): ParameterValue | null {
  if (/^(0x[0-9a-f]+|\d+(\.\d+)?(e-?\d+)?)$/i.test(word)) return Number(word);
  return Object.hasOwn(scope, word) ? scope[word]! : null;
}

function isRecord(node: unknown): node is Record<string, unknown> {
  return typeof node === 'object' && node !== null && !Array.isArray(node);
}
