import { z } from 'zod';

/** The part of JSON Schema (draft 7) that zod writes. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  /** One schema for every item, or one per place. */
  readonly items?: JsonSchema | readonly JsonSchema[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** What a person may write in the file: text for durations, defaults not filled in. For editors, by way of a schema line on top of the YAML. */
export function jsonSchema(schema: z.ZodType, title: string): JsonSchema {
  const written = z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any', reused: 'inline' });
  return { ...written, title } as JsonSchema;
}

/** As an editor checks a template: a field that wants a number or a choice may hold a `${…}` instead. */
export function withPlaceholders(schema: JsonSchema): JsonSchema {
  const tags = schema.properties?.tags;
  const tag = tags?.items as JsonSchema | undefined;
  if (tags === undefined || tag?.properties === undefined) return schema;
  const fields = Object.entries(tag.properties).map(([name, field]) => {
    const isText = field.type === 'string' && field.enum === undefined;
    const { description, ...rest } = field;
    const either = { anyOf: [rest, { type: 'string', pattern: '^\\$\\{[^}]*\\}$' }] };
    return [name, isText ? field : { ...(description === undefined ? {} : { description }), ...either }];
  });
  const items = { ...tag, properties: Object.fromEntries(fields) as Record<string, JsonSchema> };
  return { ...schema, properties: { ...schema.properties, tags: { ...tags, items } } };
}
