import { z } from 'zod';
import type { Tag } from '../scada/tag.js';
import { brokerContradictions, otherBrokerFields } from './broker-connection.js';
import { type Contradiction, crossCheck, type Sound } from './cross-check.js';
import { durationBetween } from './duration.js';
import { identifier } from './identifier.js';
import { tagUnit, unitProblem } from './tag-unit.js';
import { templateTag } from './template-tag.js';

/** Sources that are not Modbus: lines of text on a serial port, MQTT messages, Sparkplug B, a file that grows. Each is one device. */

const { name, kind, resolution, minimum, maximum } = templateTag.shape;
const valueFields = {
  ...{ name, unit: tagUnit, kind, resolution, minimum, maximum },
  scale: z
    .number()
    .refine((scale) => scale !== 0, { error: 'must not be 0' })
    .default(1)
    .meta({ description: 'value = what is read · scale + offset' }),
  offset: z.number().default(0).meta({ description: 'value = what is read · scale + offset' }),
};

const common = {
  name: identifier.meta({ description: 'name of the device, unique in this file' }),
  staleAfter: durationBetween('100ms', '1d')
    .prefault('30s')
    .meta({ description: 'a value that nothing new was heard of for so long is stale, and feeds no detector' }),
};

const serialLine = z.strictObject({
  ...common,
  kind: z.literal('serial-line').meta({ description: 'text lines or fixed frames from a serial port' }),
  port: z
    .string()
    .regex(/^(\/\S+|tcp:\/\/[^/\s:]+:\d{1,5})$/, {
      error: "must be a path such as /dev/serial/by-id/usb-…, or 'tcp://host:port' of a serial device server",
    })
    .meta({ description: 'path of the port, by id where there is one: /dev/serial/by-id/…; or tcp://host:port' }),
  baudRate: z.int().min(50).max(4_000_000).default(9_600).meta({ description: 'speed of the line' }),
  parity: z.enum(['none', 'even', 'odd']).default('none').meta({ description: 'parity of the line' }),
  dataBits: z
    .union([z.literal(8), z.literal(7)])
    .default(8)
    .meta({ description: 'data bits of the line' }),
  stopBits: z
    .union([z.literal(1), z.literal(2)])
    .default(1)
    .meta({ description: 'stop bits of the line' }),
  delimiter: z.string().min(1).max(8).default('\n').meta({
    description: 'what a frame ends with; a carriage return before a line feed is taken off',
  }),
  length: z
    .int()
    .min(1)
    .max(4_096)
    .optional()
    .meta({ description: 'bytes of a frame, where frames have no delimiter' }),
  checksum: z.enum(['none', 'nmea', 'sum8']).default('none').meta({
    description:
      'nmea: $…*HH, exclusive or of the letters between; sum8: the last two hexadecimal digits are the sum of the bytes before, modulo 256. A frame that fails is not read',
  }),
  format: z.enum(['regex', 'json', 'fields']).default('fields').meta({
    description: 'fields: columns between separators; regex: named groups of `pattern`; json: one object a line',
  }),
  separator: z.string().min(1).max(4).default(',').meta({ description: 'between two fields' }),
  pattern: z.string().optional().meta({
    description: "regular expression with named groups, for format regex: '^ST,GS,(?<weight>[+-]\\d+\\.\\d+)kg'",
  }),
  tags: z
    .array(
      z.strictObject({
        ...valueFields,
        field: z
          .union([z.string().min(1), z.int().min(0)])
          .meta({ description: 'field number from 0, name of a group of the pattern, or path in the JSON: a.b[0]' }),
        match: z.string().optional().meta({
          description: 'only from frames that begin with this: $GPGGA; any frame without it',
        }),
      }),
    )
    .min(1)
    .meta({ description: 'values that the frames hold' }),
});

const mqttSource = z.strictObject({
  ...common,
  kind: z.literal('mqtt').meta({ description: 'values from messages of an MQTT broker' }),
  ...otherBrokerFields,
  tags: z
    .array(
      z.strictObject({
        ...valueFields,
        topic: z
          .string()
          .min(1)
          .max(256)
          .regex(/^[^#+]+$/, { error: 'must name one topic, without + and #' })
          .meta({ description: 'topic of the message' }),
        path: z
          .string()
          .optional()
          .meta({ description: 'place in a JSON message: a.b[0]; the whole message is the number without it' }),
        timePath: z.string().optional().meta({
          description:
            'place of its time in the JSON: ISO 8601, or seconds or milliseconds since 1970. A retained message is read only where it has one',
        }),
      }),
    )
    .min(1)
    .meta({ description: 'values that the messages hold' }),
});

const sparkplugSource = z.strictObject({
  ...common,
  kind: z.literal('sparkplug').meta({ description: 'metrics of a Sparkplug B edge node' }),
  ...otherBrokerFields,
  group: z
    .string()
    .regex(/^[^#+/]+$/)
    .meta({ description: 'group id of the edge node' }),
  node: z
    .string()
    .regex(/^[^#+/]+$/)
    .meta({ description: 'id of the edge node' }),
  device: z
    .string()
    .regex(/^[^#+/]+$/)
    .optional()
    .meta({ description: "device of the node; the node's own metrics without it" }),
  tags: z
    .array(z.strictObject({ ...valueFields, metric: z.string().min(1).meta({ description: 'name of the metric' }) }))
    .min(1)
    .meta({ description: 'metrics that are read' }),
});

const csvTail = z.strictObject({
  ...common,
  kind: z.literal('csv-tail').meta({ description: 'lines that another program adds to a CSV file' }),
  file: z.string().min(1).meta({ description: 'the file, relative to this one; it may be replaced or begin anew' }),
  delimiter: z.string().length(1).default(',').meta({ description: 'between two columns' }),
  timeColumn: z
    .string()
    .optional()
    .meta({ description: 'column of times; the time at which a line is read without it' }),
  tags: z
    .array(z.strictObject({ ...valueFields, column: z.string().min(1).meta({ description: 'name of the column' }) }))
    .min(1)
    .meta({ description: 'columns that are read' }),
});

export const sourceSchema = z
  .discriminatedUnion('kind', [serialLine, mqttSource, sparkplugSource, csvTail])
  .check(crossCheck(contradictions));

export type SourceConfig = z.infer<typeof sourceSchema>;
export type SerialLineConfig = z.infer<typeof serialLine>;
export type MqttSourceConfig = z.infer<typeof mqttSource>;
export type SparkplugSourceConfig = z.infer<typeof sparkplugSource>;
export type CsvTailConfig = z.infer<typeof csvTail>;
/** What every tag of a source has, wherever its value comes from. */
export type SourceTag = Pick<
  SourceConfig['tags'][number],
  'name' | 'unit' | 'kind' | 'resolution' | 'scale' | 'offset' | 'minimum' | 'maximum'
>;

function* contradictions(source: Sound<SourceConfig>): Generator<Contradiction> {
  const names = new Set<string>();
  for (const [i, tag] of (source.tags ?? []).entries()) {
    if (tag?.name !== undefined && names.has(tag.name))
      yield { path: ['tags', i, 'name'], message: `tag '${tag.name}' is there twice; tag names are unique in a site` };
    if (tag?.name !== undefined) names.add(tag.name);
    const unit = unitProblem(tag?.unit, []);
    if (unit !== null) yield { path: ['tags', i, 'unit'], message: unit };
  }
  if (source.kind === 'mqtt' || source.kind === 'sparkplug') yield* brokerContradictions(source);
  if (source.kind !== 'serial-line' || source.format !== 'regex') return;
  if (source.pattern === undefined) {
    yield { path: ['format'], message: 'is regex, which needs a pattern' };
    return;
  }
  try {
    const groups = [...source.pattern.matchAll(/\(\?<([A-Za-z_]\w*)>/g)].map((match) => match[1]);
    new RegExp(source.pattern, 'u');
    for (const [i, tag] of (source.tags ?? []).entries())
      if (typeof tag?.field === 'string' && !groups.includes(tag.field))
        yield {
          path: ['tags', i, 'field'],
          message: `is no group of the pattern; it has ${groups.join(', ') || 'none'}`,
        };
  } catch (error) {
    yield { path: ['pattern'], message: `is no regular expression: ${(error as Error).message}` };
  }
}

/** A source's tags as features and rows know them. */
export function sourceTags(source: SourceConfig): Tag[] {
  return source.tags.map(({ name: tag, unit, kind: tagKind = 'analog', resolution: least }) => ({
    ...{ name: tag, unit, kind: tagKind, resolution: least ?? (tagKind === 'status' ? 1 : 0.01) },
  }));
}
