import type { z } from 'zod';
import { TwinwatchError } from '../errors.js';
import { describeIssue, flattenUnions, type Issue } from './describe-issue.js';
import { nearest } from './nearest.js';
import { fieldsAt } from './schema-walk.js';
import { type ConfigPath, pathText, YamlSource } from './yaml-source.js';

interface Problem {
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
}

/** Repairs may bring out what they hid, in blocks below each other; no file nests deeper than this. */
const MAXIMUM_REPAIRS = 8;

/**
 * A configuration file's text → its checked content. `fileName` is what messages call the file. Refinements added with zod's
 * superRefine or check are placed by the path of the issue they add; a message that starts with 'is', 'has' or 'must' gets the value put before it.
 *
 * @throws TwinwatchError CONFIG_UNREADABLE where the text is not YAML.
 * @throws TwinwatchError CONFIG_INVALID naming every problem at once with file, line, column, path and advice; `context.problems` holds them as data.
 */
export function parseConfig<S extends z.ZodType>(schema: S, text: string, fileName: string): z.output<S> {
  const source = YamlSource.parse(text, fileName);
  const problems: Problem[] = [];
  for (let repairs = 0; repairs <= MAXIMUM_REPAIRS; repairs++) {
    const value = source.value();
    const result = schema.safeParse(value, { error: () => '', reportInput: true });
    if (result.success && problems.length === 0) return result.data;
    if (result.success) break;
    const issues = flattenUnions(result.error.issues);
    const unknown = issues.filter((issue) => issue.code === 'unrecognized_keys');
    // A field under a wrong name hides what is wrong inside it, and keeps the cross-checks from running: mend it and look again.
    if (unknown.length > 0 && repairs < MAXIMUM_REPAIRS) {
      for (const issue of unknown) {
        for (const key of issue.keys) problems.push(mendUnknownField(schema, source, value, issue.path, key));
      }
      continue;
    }
    for (const issue of issues) problems.push(toProblem(schema, source, value, issue));
    break;
  }
  throw invalid(fileName, problems);
}

function mendUnknownField(
  schema: z.ZodType,
  source: YamlSource,
  root: unknown,
  block: ConfigPath,
  key: string,
): Problem {
  const path = [...block, key];
  const present = Object.keys((block.reduce<unknown>(childOf, root) ?? {}) as object);
  const known = fieldsAt(schema, block, root);
  const free = known.filter((field) => !present.includes(field));
  const meant = nearest(key, free);
  const message =
    meant === null
      ? `is not a field here; remove it, or use one of ${known.join(', ')}`
      : `is not a field here; did you mean '${meant}'?`;
  const problem = { ...source.position(path, 'key'), path: pathText(path), message };
  if (meant === null) source.remove(path);
  else source.rename(path, meant);
  return problem;
}

const childOf = (value: unknown, key: PropertyKey): unknown => (value as Record<PropertyKey, unknown>)[key];

function toProblem(schema: z.ZodType, source: YamlSource, root: unknown, issue: Issue): Problem {
  return {
    ...source.position(issue.path, 'value'),
    path: pathText(issue.path),
    message: describeIssue(schema, issue, root),
  };
}

function invalid(fileName: string, problems: readonly Problem[]): TwinwatchError {
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
  const lines = sorted.map(({ line, column, path, message }) => `  ${fileName}:${line}:${column} ${path}: ${message}`);
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  return new TwinwatchError('CONFIG_INVALID', `${fileName} has ${count}:\n${lines.join('\n')}`, {
    context: { file: fileName, line: sorted[0]?.line ?? 1, problems: sorted },
  });
}

/**
 * Reads a file that a person named, or that another one names.
 * @throws TwinwatchError CONFIG_UNREADABLE naming the file.
 */
export async function configText(path: string, read: (path: string) => Promise<string>): Promise<string> {
  try {
    return await read(path);
  } catch (cause) {
    throw new TwinwatchError('CONFIG_UNREADABLE', `cannot read ${path}: ${(cause as Error).message}; check the path`, {
      cause,
      context: { file: path },
    });
  }
}
