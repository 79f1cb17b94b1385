import type { z } from 'zod';
import { TwinwatchError } from '../errors.js';
import { type Sound, soundPart } from './cross-check.js';
import { describeIssue, flattenUnions } from './describe-issue.js';
import { nearest } from './nearest.js';
import { fieldsAt } from './schema-walk.js';
import { type ConfigPath, pathText, YamlSource } from './yaml-source.js';

/** One thing that is wrong in a configuration file. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
}

/** A file that was looked through without giving up: for checks of several files against each other. */
export interface CheckedConfig<S extends z.ZodType> {
  /** Null where anything is wrong. */
  readonly value: z.output<S> | null;
  /** What of the file can be relied on, before defaults and conversions. */
  readonly sound: Sound<z.input<S>>;
  readonly problems: readonly ConfigProblem[];
  /** A problem of the value at `path` that this file alone does not show. */
  readonly problemAt: (path: ConfigPath, message: string) => ConfigProblem;
}

/** Repairs may bring out what they hid, in blocks below each other; no file nests deeper than this. */
const MAXIMUM_REPAIRS = 8;

/**
 * A configuration file's text → its checked content. `fileName` is what messages call the file. Refinements added with zod's
 * superRefine or check are placed by the path of the issue they add; a message that starts with 'is', 'has' or 'must' gets the value put before it.
 * Those of crossCheck run whatever else is wrong.
 *
 * @throws TwinwatchError CONFIG_UNREADABLE where the text is not YAML.
 * @throws TwinwatchError CONFIG_INVALID naming every problem at once with file, line, column, path and advice; `context.problems` holds them as data.
 */
export function parseConfig<S extends z.ZodType>(schema: S, text: string, fileName: string): z.output<S> {
  const { value, problems } = checkConfig(schema, text, fileName);
  if (problems.length > 0) throw invalidConfig(fileName, problems);
  return value as z.output<S>;
}

/** What a file is before it is held against its schema: itself, or what it expands to. `origin` leads from there back to places in the file. */
export interface Prepared {
  readonly value: unknown;
  readonly problems: readonly { readonly path: ConfigPath; readonly message: string }[];
  readonly origin: (path: ConfigPath) => ConfigPath;
}

const asItIs = (value: unknown): Prepared => ({ value, problems: [], origin: (path) => path });

/** As parseConfig, but gives the problems back. @throws TwinwatchError CONFIG_UNREADABLE where the text is not YAML. */
export function checkConfig<S extends z.ZodType>(
  schema: S,
  text: string,
  fileName: string,
  prepare: (root: unknown) => Prepared = asItIs,
): CheckedConfig<S> {
  const source = YamlSource.parse(text, fileName);
  let prepared = prepare(source.value());
  const problemAt = (path: ConfigPath, message: string): ConfigProblem => {
    const place = prepared.origin(path);
    return { file: fileName, ...source.position(place, 'value'), path: pathText(place), message };
  };
  const problems: ConfigProblem[] = prepared.problems.map(({ path, message }) => ({
    ...{ file: fileName, ...source.position(path, 'value') },
    ...{ path: pathText(path), message },
  }));
  for (let repairs = 0; ; repairs++) {
    prepared = prepare(source.value());
    const root = prepared.value;
    const result = schema.safeParse(root, { error: () => '', reportInput: true });
    const issues = result.success ? [] : flattenUnions(result.error.issues);
    const unknown = issues.filter((issue) => issue.code === 'unrecognized_keys');
    // A field under a wrong name hides what is wrong inside it: mend it and look again.
    if (unknown.length > 0 && repairs < MAXIMUM_REPAIRS) {
      for (const issue of unknown) {
        for (const key of issue.keys) problems.push(mendUnknownField(schema, source, prepared, issue.path, key));
      }
      continue;
    }
    for (const issue of issues) problems.push(problemAt(issue.path, describeIssue(schema, issue, root)));
    const sound = soundPart(root, issues) as Sound<z.input<S>>;
    return { value: result.success && problems.length === 0 ? result.data : null, sound, problems, problemAt };
  }
}

/** Every problem of a file and of those that it names, file by file, from top to bottom. */
export function invalidConfig(fileName: string, problems: readonly ConfigProblem[]): TwinwatchError {
  const files = [...new Set([fileName, ...problems.map(({ file }) => file)])];
  const sorted = [...problems].sort(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column,
  );
  const lines = sorted.map(
    ({ file, line, column, path, message }) => `  ${file}:${line}:${column} ${path}: ${message}`,
  );
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  const where = files.length === 1 ? `${fileName} has` : `${fileName} and what it names have`;
  return new TwinwatchError('CONFIG_INVALID', `${where} ${count}:\n${lines.join('\n')}`, {
    context: { file: sorted[0]?.file ?? fileName, line: sorted[0]?.line ?? 1, problems: sorted },
  });
}

/** The problems that an error of reading a file stands for; null for any other error. */
export function problemsOf(error: unknown): readonly ConfigProblem[] | null {
  const problems = error instanceof TwinwatchError ? error.context.problems : null;
  return Array.isArray(problems) ? (problems as readonly ConfigProblem[]) : null;
}

function mendUnknownField(
  schema: z.ZodType,
  source: YamlSource,
  { value: root, origin }: Prepared,
  block: ConfigPath,
  key: string,
): ConfigProblem {
  const path = [...origin(block), key];
  const present = Object.keys((block.reduce<unknown>(childOf, root) ?? {}) as object);
  const known = fieldsAt(schema, block, root);
  const free = known.filter((field) => !present.includes(field));
  const meant = nearest(key, free);
  const message =
    meant === null
      ? `is not a field here; remove it, or use one of ${known.join(', ')}`
      : `is not a field here; did you mean '${meant}'?`;
  const problem = { file: source.fileName, ...source.position(path, 'key'), path: pathText(path), message };
  if (meant === null) source.remove(path);
  else source.rename(path, meant);
  return problem;
}

const childOf = (value: unknown, key: PropertyKey): unknown => (value as Record<PropertyKey, unknown>)[key];

/**
 * Reads a file that a person named, or that another one names.
 * @throws TwinwatchError CONFIG_UNREADABLE naming the file.
 */
export async function configText(path: string, read: (path: string) => Promise<string>): Promise<string> {
  try {
    return await read(path);
  } catch (cause) {
    throw new TwinwatchError('CONFIG_UNREADABLE', `${path} cannot be read: ${whyUnreadable(cause)}`, {
      cause,
      context: { file: path },
    });
  }
}

/** What the file system said, in words with what to do. */
export function whyUnreadable(cause: unknown): string {
  switch ((cause as { readonly code?: string }).code) {
    case 'ENOENT':
      return 'it is not there; check the path';
    case 'EISDIR':
      return 'it is a folder; name the file in it';
    case 'EACCES':
    case 'EPERM':
      return 'this user has no right to; change its owner or its mode';
    default:
      return `${(cause as Error).message}; check the path`;
  }
}
