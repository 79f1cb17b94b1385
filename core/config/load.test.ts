import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { TwinwatchError } from '../errors.js';
import { duration, durationBetween } from './duration.js';
import { parseConfig } from './load.js';

const device = z.strictObject({
  name: z.string().min(1),
  unit: z.number().int().min(1).max(247).describe('Modbus unit id'),
  byte_order: z.enum(['ABCD', 'CDAB', 'BADC', 'DCBA']).default('ABCD'),
});

const feature = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('raw'), tag: z.string() }),
  z.strictObject({ type: z.literal('lag'), tag: z.string(), rows: z.number().int().min(1) }),
]);

const schema = z
  .strictObject({
    federation: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
    interval: duration,
    poll: z.strictObject({ every: durationBetween('0ms', '1h') }).prefault({ every: '1s' }),
    buses: z
      .array(z.strictObject({ url: z.url(), timeoutMs: z.number().default(1000), devices: z.array(device) }))
      .min(1),
    features: z.array(feature).default([]),
    ports: z.record(z.string(), z.number().int()).default({}),
    twin: z.union([z.string(), z.strictObject({ csv: z.string(), rows: z.number() })]).optional(),
    password: z.string().min(8).optional(),
    shadow: z.boolean().default(false),
  })
  .superRefine((config, context) => {
    const seen = new Set<string>();
    for (const [bus, { devices }] of config.buses.entries()) {
      for (const [index, { name }] of devices.entries()) {
        if (seen.has(name)) {
          context.addIssue({
            code: 'custom',
            path: ['buses', bus, 'devices', index, 'name'],
            message: `is already the name of another device; every device needs its own`,
          });
        }
        seen.add(name);
      }
    }
  });

function failure(text: string, against: z.ZodType = schema): TwinwatchError {
  try {
    parseConfig(against, text, 'agent.yaml');
  } catch (error) {
    if (error instanceof TwinwatchError) return error;
    throw error;
  }
  throw new Error('expected a TwinwatchError');
}

const VALID = `federation: demo
interval: 15m
buses:
  - url: tcp://127.0.0.1:5021
    devices: [{ name: PLC1, unit: 1 }]
`;

describe('parseConfig', () => {
  it('gives defaults and milliseconds', () => {
    expect(parseConfig(schema, VALID, 'agent.yaml')).toEqual({
      federation: 'demo',
      interval: 900_000,
      poll: { every: 1000 },
      buses: [
        { url: 'tcp://127.0.0.1:5021', timeoutMs: 1000, devices: [{ name: 'PLC1', unit: 1, byte_order: 'ABCD' }] },
      ],
      features: [],
      ports: {},
      shadow: false,
    });
  });

  it('names every problem at once, with place, path and advice', () => {
    const error = failure(`# a site
federation: demo plant
interval: 900
pol: { every: 2h }
buses:
  - url: tcp://127.0.0.1:5021
    timeotMs: fast
    devices:
      - { name: PLC1, unit: 300 }
      - { name: PLC2, unit: '2', byte_order: abdc }
      - { name: '' }
features:
  - { type: raw, tag: L_T1 }
  - { type: lagg, tag: L_T1, rows: 1 }
  - { type: lag, tag: L_T1, rows: 0, colour: red }
ports: { PLC1: no }
password: abc
shadow:
`);
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toBe(`agent.yaml has 17 problems:
  agent.yaml:2:13 federation: 'demo plant' does not fit; write text matching ^[A-Za-z0-9_-]{1,64}$
  agent.yaml:3:11 interval: 900 has no unit; write a number and a unit, one of ms, s, m, h, d, for example '15m'
  agent.yaml:4:1 pol: is not a field here; did you mean 'poll'?
  agent.yaml:4:15 poll.every: '2h' is out of range; write a duration from 0ms to 1h
  agent.yaml:7:5 buses[0].timeotMs: is not a field here; did you mean 'timeoutMs'?
  agent.yaml:7:15 buses[0].timeoutMs: 'fast' does not fit; write a number
  agent.yaml:9:29 buses[0].devices[0].unit: 300 is too large; write a whole number from 1 to 247 (Modbus unit id)
  agent.yaml:10:29 buses[0].devices[1].unit: '2' is text because of its quotes; write 2 without them
  agent.yaml:10:46 buses[0].devices[1].byte_order: 'abdc' is not known here; did you mean ABCD? (write one of ABCD, CDAB, BADC, DCBA)
  agent.yaml:11:9 buses[0].devices[2].unit: is missing; add it: a whole number from 1 to 247 (Modbus unit id)
  agent.yaml:11:17 buses[0].devices[2].name: is empty; write text
  agent.yaml:14:13 features[1].type: 'lagg' is not known here; did you mean lag? (write one of raw, lag)
  agent.yaml:15:35 features[2].rows: 0 is too small; write a whole number of at least 1
  agent.yaml:15:38 features[2].colour: is not a field here; remove it, or use one of type, tag, rows
  agent.yaml:16:16 ports.PLC1: 'no' does not fit; write a whole number
  agent.yaml:17:11 password: the value (not shown) has 3 characters; write at least 8
  agent.yaml:18:8 shadow: is empty; write true or false`);
    expect(error.context).toMatchObject({ file: 'agent.yaml', line: 2 });
  });

  it('places cross-checks, also where a misspelled field stands in their way', () => {
    const twice = VALID.replace('[{', '[{ name: PLC1, unit: 2 }, {').replace('interval', 'intervall');
    expect(failure(twice).message).toBe(`agent.yaml has 2 problems:
  agent.yaml:2:1 intervall: is not a field here; did you mean 'interval'?
  agent.yaml:5:48 buses[0].devices[1].name: 'PLC1' is already the name of another device; every device needs its own`);
  });

  it('follows the branch of a union that was meant', () => {
    expect(failure(`${VALID}twin: { csv: rows.csv, rows: many }\n`).message).toContain(
      "agent.yaml:6:30 twin.rows: 'many' does not fit; write a number",
    );
    expect(failure(`${VALID}twin: 7\n`).message).toContain(
      'agent.yaml:6:7 twin: 7 does not fit; write text or a block of fields',
    );
  });

  it('places a value behind an alias at its anchor', () => {
    const list = z.strictObject({ a: device, b: device });
    expect(failure('a: &d { name: PLC1, unit: 0 }\nb: *d\n', list).message).toBe(`agent.yaml has 2 problems:
  agent.yaml:1:27 a.unit: 0 is too small; write a whole number from 1 to 247 (Modbus unit id)
  agent.yaml:1:27 b.unit: 0 is too small; write a whole number from 1 to 247 (Modbus unit id)`);
  });

  it.each([
    ['', 'agent.yaml has 1 problem:\n  agent.yaml:1:1 (file): is empty; write a block of fields'],
    ['- a\n', 'agent.yaml has 1 problem:\n  agent.yaml:1:1 (file): a list does not fit; write a block of fields'],
    [
      '\u0000\u0001',
      "agent.yaml has 1 problem:\n  agent.yaml:1:1 (file): '\u0000\u0001' does not fit; write a block of fields",
    ],
  ])('explains a file that holds something else: %j', (text, message) => {
    expect(failure(text).message).toBe(message);
  });

  it.each([
    [
      'a: 1\nb: 2\na: 3\n',
      "agent.yaml:3:1 'a' this field is already given above in the same block; keep one of the two",
    ],
    ['a:\n\tb: 1\n', 'agent.yaml:2:1 a tab is used for indentation; use spaces'],
    ['a: "open\n', 'agent.yaml:2:1 Missing closing "quote'],
    ['a: 1\n---\nb: 2\n', "agent.yaml:2:1 '---' starts a second document; a configuration file holds one"],
    ['a: &a\n  b: *a\n', 'agent.yaml:1:1 an alias stands inside what it stands for'],
    ['a: *none\n', 'agent.yaml:1:1 Unresolved alias (the anchor must be set before the alias): none'],
  ])('says where a file is not YAML: %j', (text, message) => {
    const error = failure(text);
    expect(error.code).toBe('CONFIG_UNREADABLE');
    expect(error.message).toBe(`agent.yaml cannot be read as YAML:\n  ${message}`);
  });

  it('reads nothing that is deeper than any file of this product', () => {
    for (const text of ['['.repeat(20_000), `${'- '.repeat(500)}x\n`, '{"a":'.repeat(20_000)]) {
      const { code, message } = failure(text);
      expect(code).toBe('CONFIG_UNREADABLE');
      expect(message).toMatch(/is nested deeper than 100 levels/);
    }
  });

  it('takes __proto__ for an unknown field', () => {
    expect(failure(`${VALID}__proto__: { shadow: true }\n`).message).toContain(
      'agent.yaml:6:1 __proto__: is not a field',
    );
    expect(Object.hasOwn(Object.prototype, 'shadow')).toBe(false);
  });
});
