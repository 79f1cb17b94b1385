import { encode } from 'cbor-x';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TwinwatchError } from '../errors.js';
import { blobRef, decodeLineage, decodeParameters, encodeLineage, encodeParameters } from './blobs.js';
import { decodeCbor, encodeCbor } from './cbor.js';
import { decodeEnvelope, encodeEnvelope } from './envelope.js';
import { encodeJson, parseAgentStatus, parseAlarmEvent, parseServerStatus, parseTelemetry } from './json-messages.js';
import type { Lineage, WireMessage } from './messages.js';
import { SPOKEN } from './protocol.js';

const hash = 'a'.repeat(64);
const blob = { hash, bytes: 10 };
const tag = { name: 'L_T1', unit: 'm', kind: 'analog', resolution: 0.01 } as const;
const schema = {
  tags: [tag],
  features: [
    { type: 'raw', tag: 'L_T1' } as const,
    { type: 'hourOfDay', harmonics: 1 } as const,
    {
      ...({
        type: 'residual',
        tag: 'L_T1',
        of: 'change',
        hours: [0.5, -0.25],
        offset: 1e-7,
        windows: [1, 24],
      } as const),
      terms: [{ tag: 'L_T1', rowsAgo: 1, power: 2, weight: -0.123456 } as const],
    },
  ],
  intervalMs: 900_000,
  holdRows: 2,
};

const decided = { commandId: 'c-1', by: 'Ada', decidedAtMs: 1_800_000_000_000 };

/** One of every kind. */
const messages: { readonly [K in WireMessage['kind']]: Extract<WireMessage, { kind: K }> } = {
  hello: {
    kind: 'hello',
    softwareVersion: '0.1.0',
    tags: ['L_T1'],
    eligibleRows: 5,
    labelledRows: 0,
    codecs: ['f32', 'int8'],
    engine: 'builtin',
    lineageHash: null,
    modelVersion: null,
    publicKeyId: null,
  },
  calibration: { kind: 'calibration', schemaHash: hash, moments: { count: 3, mean: [1.5], m2: [0.25] } },
  calibrate: { kind: 'calibrate', schema, schemaHash: hash, minimumRows: 100 },
  fit: {
    kind: 'fit',
    round: 1,
    attempt: 0,
    method: 'cwa',
    lineage: blob,
    parameters: blob,
    epochs: 2,
    batchSize: 32,
    learningRate: 0.001,
    proximalMu: 0,
    exchangeShare: 1,
    codec: 'int8',
    layerMask: [true, false],
    seed: -7,
    deadlineMs: 60_000,
  },
  evaluate: { kind: 'evaluate', round: 1, attempt: 0, lineage: blob, parameters: blob, deadlineMs: 60_000 },
  update: {
    kind: 'update',
    round: 1,
    attempt: 0,
    baseHash: hash,
    codec: 'f32',
    layerMask: null,
    delta: new Uint8Array([1, 2, 3]),
    rows: 200,
    loss: 0.1,
    trainingMs: 12,
    scores: { counts: [3, 1], rows: 4 },
  },
  'update-receipt': { kind: 'update-receipt', round: 1, attempt: 0, verdict: 'accepted', detail: '' },
  'alarm-receipt': { kind: 'alarm-receipt', eventIds: ['site-1:1:1'] },
  'blob-request': { kind: 'blob-request', blob, missing: null },
  'chunk-request': { kind: 'chunk-request', transfer: hash, missing: [0, 4] },
  manifest: {
    kind: 'manifest',
    modelVersion: 'v1',
    round: 3,
    model: blob,
    lineage: blob,
    threshold: 0.5,
    releasedAtMs: 1_800_000_000_000,
  },
  'alarm-command': { kind: 'alarm-command', ...decided, action: 'shelve', alarmId: 'site-1:1', shelveMs: 60_000 },
  'label-command': { kind: 'label-command', ...decided, fromMs: 5, toMs: 9, label: 'normal' },
  trust: {
    ...{ kind: 'trust', revision: 2 },
    serverKeys: [{ id: 'a'.repeat(16), publicKey: 'A'.repeat(43), fromMs: 1, untilMs: null }],
  },
  'model-report': {
    ...{ kind: 'model-report', modelVersion: 'v2', rows: 9, above: 1, currentAbove: 0, errors: 0 },
    ...{ failed: false, detail: '' },
  },
  'command-receipt': { kind: 'command-receipt', commandId: 'c-1', verdict: 'done', detail: '', rows: 4 },
};
const fields = { federation: 'demo', sender: 'site-1', sequence: 7, sentAtMs: 1_800_000_000_000 };
const wire = (message: unknown, more: object = {}) =>
  encodeCbor({ protocol: 1, ...fields, message, signature: null, ...more });
const codeOf = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    if (error instanceof TwinwatchError) return error.code;
    throw error;
  }
  return 'none';
};

describe('envelope', () => {
  it.each(Object.values(messages))('carries $kind', (message) => {
    const envelope = decodeEnvelope(encodeEnvelope({ ...fields, message }));
    expect(envelope).toMatchObject({ ...fields, protocol: SPOKEN.newest, signature: null });
    const { delta, ...rest } = envelope.message as typeof messages.update;
    expect(rest).toEqual({ ...message, delta: undefined });
    expect(delta && [...delta]).toEqual('delta' in message ? [1, 2, 3] : undefined);
  });

  it.each([
    ['WIRE_INVALID', 'epochs', { ...messages.fit, epochs: '2' }],
    ['WIRE_INVALID', 'lineage.hash', { ...messages.fit, lineage: { hash: 'x', bytes: 1 } }],
    ['WIRE_INVALID', 'loss', { ...messages.update, loss: Number.NaN }],
    ['WIRE_INVALID', 'rows', { ...messages.update, rows: -1 }],
    ['WIRE_INVALID', 'rows', { ...messages.update, rows: 2n ** 60n }],
    ['WIRE_INVALID', 'delta', { ...messages.update, delta: 'text' }],
    ['WIRE_INVALID', 'moments.m2', { ...messages.calibration, moments: { count: 1, mean: [1], m2: [] } }],
    [
      'WIRE_INVALID',
      'schema.features.0',
      { ...messages.calibrate, schema: { ...schema, features: [{ type: 'magic' }] } },
    ],
    ['WIRE_INVALID', 'toMs', { ...messages['label-command'], fromMs: 10 }],
    ['WIRE_INVALID', 'by', { ...messages['alarm-command'], by: '' }],
    ['WIRE_INVALID', 'action', { ...messages['alarm-command'], action: 'silence' }],
    ['WIRE_UNKNOWN_KIND', 'constructor', { kind: 'constructor' }],
    ['WIRE_UNKNOWN_KIND', 'kind', null],
  ])('refuses with %s and names %s', (code, named, message) => {
    expect(() => decodeEnvelope(wire(message))).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(named) }),
    );
  });

  it('leaves out fields of a newer release, in the envelope and at any depth', () => {
    const { fit, trust } = messages;
    const later = { ...fit, later: 1, lineage: { ...fit.lineage, later: 1 } };
    expect(decodeEnvelope(wire(later, { later: 1 }))).toEqual(decodeEnvelope(wire(fit)));
    const keys = trust.serverKeys.map((key) => ({ ...key, later: 1 }));
    expect(decodeEnvelope(wire({ ...trust, serverKeys: keys })).message).toEqual(trust);
  });

  it('reads and writes any protocol of the range that it is given', () => {
    const bytes = encodeEnvelope({ ...fields, message: messages.hello, protocol: 3 });
    expect(decodeEnvelope(bytes, undefined, { oldest: 2, newest: 3 }).protocol).toBe(3);
    expect(codeOf(() => decodeEnvelope(bytes, undefined, { oldest: 1, newest: 2 }))).toBe('WIRE_PROTOCOL');
    expect(codeOf(() => decodeEnvelope(bytes))).toBe('WIRE_PROTOCOL');
  });

  it('refuses other protocols, senders that are no ids, and what it would not decode itself', () => {
    expect(codeOf(() => decodeEnvelope(wire(messages.hello, { protocol: SPOKEN.newest + 1 })))).toBe('WIRE_PROTOCOL');
    expect(codeOf(() => decodeEnvelope(wire(messages.hello, { sender: 'a/b' })))).toBe('WIRE_INVALID');
    expect(codeOf(() => decodeEnvelope(wire(messages.hello, { signature: new Uint8Array(3) })))).toBe('WIRE_INVALID');
    expect(codeOf(() => encodeEnvelope({ ...fields, message: { ...messages.fit, epochs: 0 } }))).toBe('WIRE_INVALID');
    const large = { ...messages.update, delta: new Uint8Array(300_000) };
    expect(codeOf(() => encodeEnvelope({ ...fields, message: large }))).toBe('WIRE_TOO_LARGE');
    const bytes = encodeEnvelope({ ...fields, message: large }, 400_000);
    expect(codeOf(() => decodeEnvelope(bytes))).toBe('WIRE_TOO_LARGE');
    expect(decodeEnvelope(bytes, 400_000).message.kind).toBe('update');
  });

  it('refuses garbage and every cut message with a code, whatever the bytes', () => {
    const whole = encodeEnvelope({ ...fields, message: messages.fit });
    for (let length = 0; length < whole.length; length++)
      expect(codeOf(() => decodeEnvelope(whole.subarray(0, length)))).toBe('WIRE_MALFORMED');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) =>
        codeOf(() => decodeEnvelope(bytes)).startsWith('WIRE_'),
      ),
    );
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const changed = whole.slice();
        changed[at] = byte;
        return /^(WIRE_|none)/.test(codeOf(() => decodeEnvelope(changed)));
      }),
    );
  });
});

describe('CBOR', () => {
  it('brings back what went in', () => {
    const value = { a: [1, -1, 1.5, 2 ** 40, true, null], b: 'ü', c: new Uint8Array([0, 255]) };
    expect(decodeCbor(encodeCbor(value), 1000)).toEqual({ ...value, c: Buffer.from(value.c) });
  });

  it.each([
    ['a date tag', encode(new Date(0))],
    ['a class', encode(new Map([[1, new Set([1])]]))],
    ['a record tag', Uint8Array.from([0xd9, 0xdf, 0xff, 0x83, 0x19, 0xe0, 0x00, 0x81, 0x61, 0x61, 0x01])],
    ['an indefinite array', Uint8Array.from([0x9f, 0xff])],
    ['bytes after the end', Uint8Array.from([0x00, 0x00])],
    ['a list longer than the message', Uint8Array.from([0x9a, 0xff, 0xff, 0xff, 0xff])],
    ['deep nesting', Uint8Array.from([...Array<number>(40).fill(0x81), 0x00])],
  ])('refuses %s', (_what, bytes) => {
    expect(codeOf(() => decodeCbor(bytes, 1000))).toBe('WIRE_MALFORMED');
  });

  it('does not pollute prototypes', () => {
    const bytes = Uint8Array.from([0xa1, 0x69, ...Buffer.from('__proto__'), 0xa1, 0x61, 0x78, 0x01]);
    expect((decodeCbor(bytes, 100) as { x?: number }).x).toBeUndefined();
  });
});

describe('JSON messages', () => {
  const status = {
    online: true,
    connectionId: 'c1',
    atMs: 1,
    softwareVersion: '0.1.0',
    modelVersion: null,
    health: {
      rowsAcquired: 1,
      rowsMissing: 0,
      badSamples: 0,
      duplicateReadings: 3,
      lateReadings: 1,
      droppedTelemetry: 0,
      outboxEvents: 0,
      rssBytes: 80_000_000,
      sensorToAlarmMsP50: null,
      sensorToAlarmMsP99: 2.5,
      sensorToAlarmCount: 2_000,
      deviceFaults: { PLC1: 'no answer' },
    },
  };
  const alarm = {
    eventId: 'site-1:1:1',
    alarmId: 'site-1:1',
    agent: 'site-1',
    transition: 'raised' as const,
    atMs: 1,
    score: 0.9,
    threshold: 0.5,
    modelVersion: 'v1',
    contributions: [{ tag: 'L_T1', share: 0.8, value: 4.2 }],
    latencyMs: 3,
    peakScore: 0.95,
  };
  const telemetry = { atMs: 1, score: null, values: { L_T1: { value: null, quality: 'bad' } } };

  it('come back as they were', () => {
    expect(parseAgentStatus(encodeJson(status))).toEqual(status);
    expect(parseAlarmEvent(encodeJson(alarm))).toEqual(alarm);
    expect(parseTelemetry(encodeJson(telemetry))).toEqual(telemetry);
    const server = { online: true, connectionId: 'c', softwareVersion: '1' };
    expect(parseServerStatus(encodeJson(server))).toEqual(server);
    const later = { ...server, protocols: { oldest: 1, newest: 4 } };
    expect(parseServerStatus(encodeJson({ ...later, later: {} } as typeof later))).toEqual(later);
  });

  it('are refused with the field or the reason', () => {
    expect(() => parseAlarmEvent(encodeJson({ ...alarm, score: Number.NaN }))).toThrow(/score/);
    expect(() => parseAgentStatus(Buffer.from('{"online":1}'))).toThrow(/online/);
    expect(() => parseAgentStatus(encodeJson({ ...status, protocols: { oldest: 2, newest: 1 } }))).toThrow(/newest/);
    expect(codeOf(() => parseTelemetry(Buffer.from([0xff, 0xfe])))).toBe('WIRE_MALFORMED');
    expect(codeOf(() => parseTelemetry(Buffer.alloc(300_000, 0x20)))).toBe('WIRE_TOO_LARGE');
  });
});

describe('blobs', () => {
  const lineage: Lineage = {
    schema,
    schemaHash: hash,
    scaler: { mean: [1, 0, 0], scale: [1, 1, 1], clip: 8 },
    architecture: { inputs: 3, hidden: [16, 8], members: 1 },
    exchange: null,
  };

  it('give a lineage one hash whatever the order of its fields', () => {
    const shuffled = {
      ...lineage,
      schema: { ...schema, tags: [{ kind: tag.kind, resolution: 0.01, unit: 'm', name: 'L_T1' }] },
    };
    const reordered = Object.fromEntries(Object.entries(shuffled).reverse()) as unknown as Lineage;
    expect(blobRef(encodeLineage(reordered))).toEqual(blobRef(encodeLineage(lineage)));
    expect(decodeLineage(encodeLineage(lineage))).toEqual(lineage);
  });

  it('refuse a scaler that does not fit', () => {
    const wrong = { ...lineage, scaler: { ...lineage.scaler, mean: [1] } };
    expect(() => decodeLineage(encodeCbor(wrong))).toThrow(/scaler/);
  });

  it('carry parameters, and refuse what is cut or not finite', () => {
    const parameters = Float32Array.from([1, -2.5, 3e-8]);
    const bytes = encodeParameters(parameters);
    expect(decodeParameters(bytes, 3)).toEqual(parameters);
    expect(codeOf(() => decodeParameters(bytes.subarray(1), 3))).toBe('WIRE_DELTA_SHAPE');
    expect(codeOf(() => decodeParameters(encodeParameters(Float32Array.of(Number.NaN)), 1))).toBe(
      'WIRE_DELTA_NOT_FINITE',
    );
  });
});
