import { COMMON_UNITS } from '@twinwatch/core/scada/engineering-units';
import type { JsonSchema } from './json-schema.js';

export interface ConfigFile {
  /** Base name of the JSON Schema: 'agent' for configs/schema/agent.json. */
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly schema: JsonSchema;
}

interface FieldRow {
  readonly path: string;
  readonly kind: string;
  readonly standard: string;
  readonly meaning: string;
}

const INTRODUCTION = `# Configuration

Generated from the schemas in \`core/config\` by \`node scripts/dist/generate.js\`; \`npm run check\` refuses a page that is out of date.

Configuration files are YAML. Paths in them are relative to the file they stand in. Durations are a number and a unit (ms, s, m, h, d): \`15m\`.
A field that is not listed here is an error, and all errors of a file, and of the files it names, are reported at once with
line and column. For completion in an editor, put \`# yaml-language-server: $schema=…/configs/schema/agent.json\` on the first line.

Units of tags are usual engineering units, with prefixes, powers, products and quotients of them: \`m3/h\`, \`m³/h\`, \`kWh/m3\`, \`mg/L Cl2\`;
among them ${COMMON_UNITS.map((unit) => `\`${unit}\``).join(', ')}. A file with tags that have another one declares it: \`units: ['trucks/d']\`.
`;

/** docs/configuration.md: one table per kind of file, one line per field. */
export function configurationPage(files: readonly ConfigFile[]): string {
  const contents = files.map(({ title }) => `- [${title}](#${anchor(title)})`).join('\n');
  const sections = files.map(({ name, title, about, schema }) => {
    const rows = fieldRows(schema, '').map(
      ({ path, kind, standard, meaning }) => `| \`${path}\` | ${cell(kind)} | ${cell(standard)} | ${cell(meaning)} |`,
    );
    const table = ['| field | value | default | meaning |', '|---|---|---|---|', ...rows].join('\n');
    return `## ${title}\n\n${about} JSON Schema: [configs/schema/${name}.json](../configs/schema/${name}.json).\n\n${table}\n`;
  });
  return `${INTRODUCTION}\n${contents}\n\n${sections.join('\n')}`;
}

function fieldRows(schema: JsonSchema, prefix: string): FieldRow[] {
  const branches = schema.anyOf ?? schema.oneOf ?? [schema];
  const seen = new Map<string, FieldRow>();
  for (const branch of branches) {
    for (const [key, field] of Object.entries(branch.properties ?? {})) {
      const path = `${prefix}${key}`;
      const required = branch.required?.includes(key) ?? false;
      const own = {
        path,
        kind: kindOf(field),
        standard: standardOf(field, required),
        meaning: field.description ?? '',
      };
      for (const row of [own, ...innerRows(field, path)]) {
        const before = seen.get(row.path);
        seen.set(row.path, before === undefined ? row : merged(before, row));
      }
    }
  }
  return [...seen.values()];
}

/** A field that several branches of a union have: what any of them takes. */
function merged(a: FieldRow, b: FieldRow): FieldRow {
  return {
    path: a.path,
    kind: a.kind === b.kind ? a.kind : `${a.kind} or ${b.kind}`,
    standard: a.standard === b.standard ? a.standard : '',
    meaning: a.meaning === '' ? b.meaning : a.meaning,
  };
}

function innerRows(field: JsonSchema, path: string): FieldRow[] {
  const branches = field.anyOf ?? field.oneOf ?? [field];
  return branches.flatMap((branch) => {
    if (branch.items !== undefined && 'length' in branch.items) return [];
    if (branch.items !== undefined) return fieldRowsOf(branch.items, `${path}[]`);
    if (typeof branch.additionalProperties === 'object')
      return fieldRowsOf(branch.additionalProperties, `${path}.NAME`);
    return branch.properties === undefined ? [] : fieldRows(branch, `${path}.`);
  });
}

const fieldRowsOf = (schema: JsonSchema, path: string): FieldRow[] => fieldRows(schema, `${path}.`);

function kindOf(schema: JsonSchema): string {
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches !== undefined) return [...new Set(branches.map(kindOf))].join(' or ');
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ');
  if (schema.const !== undefined) return `\`${schema.const}\``;
  switch (schema.type) {
    case 'integer':
      return `whole number${range(schema)}`;
    case 'number':
      return `number${range(schema)}`;
    case 'boolean':
      return '`true` or `false`';
    case 'array':
      return listOf(schema.items ?? {});
    case 'object':
      return typeof schema.additionalProperties === 'object'
        ? `name → ${kindOf(schema.additionalProperties)}`
        : 'block';
    case 'string':
      return schema.format === 'duration-with-unit' ? 'duration' : 'text';
    default:
      return 'any';
  }
}

function listOf(items: JsonSchema | readonly JsonSchema[]): string {
  if ('length' in items) return `[${items.map(kindOf).join(', ')}]`;
  const kind = kindOf(items);
  return `list of ${/^block\b/.test(kind) ? 'blocks' : kind}`;
}

function range(schema: JsonSchema): string {
  const bound = (value: number | undefined): number | undefined =>
    value !== undefined && Math.abs(value) < Number.MAX_SAFE_INTEGER ? value : undefined;
  const parts = [
    [' ≥ ', bound(schema.minimum)],
    [' > ', bound(schema.exclusiveMinimum)],
    [' ≤ ', bound(schema.maximum)],
    [' < ', bound(schema.exclusiveMaximum)],
  ] as const;
  return parts.flatMap(([sign, value]) => (value === undefined ? [] : [`${sign}${value}`])).join(',');
}

function standardOf(field: JsonSchema, required: boolean): string {
  if (required) return '**required**';
  const value = field.default;
  if (value === undefined || value === '') return '';
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) {
    return Array.isArray(value) ? 'none' : '';
  }
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const anchor = (title: string): string =>
  title
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-');

/** Fields of the page that no schema explains. */
export function unexplainedFields(page: string): string[] {
  return [...page.matchAll(/^\| `([^`]+)` \|.*\| {2}\|$/gm)].map((match) => match[1] ?? '');
}
