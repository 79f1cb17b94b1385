import { z } from 'zod';
import { nearest } from './nearest.js';
import { declaredAt, valueAt } from './schema-walk.js';
import type { ConfigPath } from './yaml-source.js';

export type Issue = z.core.$ZodIssue;

const SECRET = /password|secret|token|privateKey/i;
const LONGEST_SHOWN = 60;

interface JsonShape {
  readonly type?: string;
  readonly description?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonShape[];
  readonly oneOf?: readonly JsonShape[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** One problem in words: what was wrong with the value found, and what to do. `text` came from the author of the schema where not empty. */
export function describeIssue(schema: z.ZodType, issue: Issue, root: unknown): string {
  const found = valueAt(root, issue.path);
  const shown = showValue(found, issue.path);
  const wanted = expectation(schema, issue.path, root);
  if (issue.message !== '') return authored(issue.message, shown, found);
  if (found === undefined) return `is missing; add it: ${wanted}`;
  if (found === null) return `is empty; write ${wanted}`;
  switch (issue.code) {
    case 'invalid_value':
      return notOneOf(shown, found, issue.values.map(String));
    case 'invalid_union':
      if ('options' in issue && issue.options !== undefined) {
        return notOneOf(shown, found, issue.options.map(String));
      }
      return `${shown} does not fit; write ${wanted}`;
    case 'invalid_key': {
      const why = issue.issues.find((inner) => inner.message !== '')?.message;
      return `the name '${String(issue.path.at(-1))}' ${why ?? 'is not allowed here; use letters, digits, - and _'}`;
    }
    case 'too_small':
    case 'too_big':
      return outOfRange(issue, shown, found, wanted);
    case 'not_multiple_of':
      return `${shown} is not a multiple of ${issue.divisor}; write one that is`;
    default:
      if (typeof found === 'string' && wanted.includes('number') && found !== '' && Number.isFinite(Number(found))) {
        return `${shown} is text because of its quotes; write ${found} without them`;
      }
      return `${shown} does not fit; write ${wanted}`;
  }
}

/** The branch of a union whose problems are the author's: the one that fits best, with paths from the top of the file. */
export function flattenUnions(issues: readonly Issue[]): Issue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
    const inside = issue.errors.filter(
      (branch) => !branch.some((one) => one.code === 'invalid_type' && one.path.length === 0),
    );
    if (inside.length === 0) return [issue];
    const best = inside.reduce((a, b) => (b.length < a.length ? b : a));
    return flattenUnions(best.map((one) => ({ ...one, path: [...issue.path, ...one.path] })));
  });
}

/** A message from the schema itself: a predicate or an advice about one value is put behind that value. */
function authored(message: string, shown: string, found: unknown): string {
  if (typeof found === 'object' || found === undefined) return message;
  if (/^(is|has|must) /.test(message)) return `${shown} ${message}`;
  return /^(write|use) /.test(message) ? `${shown} does not fit; ${message}` : message;
}

function notOneOf(shown: string, found: unknown, allowed: readonly string[]): string {
  const meant = nearest(String(found), allowed);
  const list = allowed.length === 1 ? `write ${allowed[0]}` : `write one of ${allowed.join(', ')}`;
  return meant === null || allowed.length === 1
    ? `${shown} is not known here; ${list}`
    : `${shown} is not known here; did you mean ${meant}? (${list})`;
}

function outOfRange(
  issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig,
  shown: string,
  found: unknown,
  wanted: string,
): string {
  const [least, bound] = issue.code === 'too_small' ? [true, issue.minimum] : [false, issue.maximum];
  if (Array.isArray(found)) return `has ${found.length} items; write ${least ? 'at least' : 'at most'} ${bound}`;
  if (typeof found === 'string') {
    if (found === '') return `is empty; write ${wanted}`;
    return `${shown} has ${found.length} characters; write ${least ? 'at least' : 'at most'} ${bound}`;
  }
  return `${shown} is too ${least ? 'small' : 'large'}; write ${wanted}`;
}

function showValue(value: unknown, path: ConfigPath): string {
  if (path.some((part) => SECRET.test(String(part)))) return 'the value (not shown)';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a block of fields';
  const text = typeof value === 'string' ? `'${value}'` : String(value);
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

/** What belongs at `path`, for a person: 'a whole number from 1 to 247 (Modbus unit id)'. */
function expectation(schema: z.ZodType, path: ConfigPath, root: unknown): string {
  const shapes = declaredAt(schema, path, root).map((declared) => {
    return z.toJSONSchema(declared, { io: 'input', unrepresentable: 'any' }) as JsonShape;
  });
  const kinds = [...new Set(shapes.map(kindText))].join(' or ');
  const meaning = shapes.find((shape) => shape.description !== undefined)?.description;
  return (kinds === '' ? 'a value' : kinds) + (meaning === undefined ? '' : ` (${meaning})`);
}

function kindText(shape: JsonShape): string {
  const branches = shape.anyOf ?? shape.oneOf;
  if (branches !== undefined) return [...new Set(branches.map(kindText))].join(' or ');
  if (shape.enum !== undefined) return `one of ${shape.enum.join(', ')}`;
  if (shape.const !== undefined) return String(shape.const);
  switch (shape.type) {
    case 'integer':
      return `a whole number${rangeText(shape)}`;
    case 'number':
      return `a number${rangeText(shape)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      if (shape.format === 'duration-with-unit') return "a duration such as '15m'";
      if (shape.format === 'uri') return 'a URL';
      return shape.pattern === undefined ? 'text' : `text matching ${shape.pattern}`;
    case 'array':
      return "a list (one '- ' line per item)";
    case 'object':
      return 'a block of fields';
    case 'null':
      return 'null';
    default:
      return 'a value';
  }
}

function rangeText(shape: JsonShape): string {
  const sensible = (bound: number | undefined): number | undefined =>
    bound === undefined || Math.abs(bound) === Number.MAX_SAFE_INTEGER ? undefined : bound;
  const low = sensible(shape.minimum);
  const high = sensible(shape.maximum);
  const above = sensible(shape.exclusiveMinimum);
  const below = sensible(shape.exclusiveMaximum);
  if (low !== undefined && high !== undefined) return ` from ${low} to ${high}`;
  const parts = [
    low === undefined ? '' : ` of at least ${low}`,
    above === undefined ? '' : ` above ${above}`,
    high === undefined ? '' : ` of at most ${high}`,
    below === undefined ? '' : ` below ${below}`,
  ].filter((part) => part !== '');
  return parts.join(' and');
}
