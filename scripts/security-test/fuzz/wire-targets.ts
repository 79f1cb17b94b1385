import { Buffer } from 'node:buffer';
import { exportOnnx } from '@twinwatch/core/onnx/export';
import { encodeMetadata, readOnnxModel } from '@twinwatch/core/onnx/metadata';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { decodeLineage, decodeParameters, encodeLineage, encodeParameters } from '@twinwatch/core/wire/blobs';
import { decodeCbor, encodeCbor } from '@twinwatch/core/wire/cbor';
import { split } from '@twinwatch/core/wire/chunks';
import { decodeEnvelope, encodeEnvelope, readAnsweredTask } from '@twinwatch/core/wire/envelope';
import { decodeExchangeRows, encodeExchangeRows } from '@twinwatch/core/wire/exchange-rows';
import { encodeJson, parseAlarmEvent, parseServerStatus, parseTelemetry } from '@twinwatch/core/wire/json-messages';
import type { Lineage, WireMessage } from '@twinwatch/core/wire/messages';
import { decodeDelta, encodeDelta } from '@twinwatch/core/wire/parameter-codec';
import { Reassembly } from '@twinwatch/core/wire/reassembly';
import { decodeSparkplug, encodeSparkplug } from '@twinwatch/core/wire/sparkplug-payload';
import type { ServerStatus } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { parseTopic } from '@twinwatch/core/wire/topics';
import { Detector } from '@twinwatch/edge-agent/detection/detector';
import { systemClock } from '../../processes/node-runtime.js';
import { type FuzzTarget, HOSTILE_TEXTS, hex, REFUSED, textOf, utf8 } from './target.js';

/** What comes from a broker: everything that core/wire decodes, and the model files. */

const LARGEST = 256 * 1024;
const hash = 'a'.repeat(64);
const blob = { hash, bytes: 10 };
const tag = { name: 'L_T1', unit: 'm', kind: 'analog', resolution: 0.01 } as const;
const schema = { tags: [tag], features: [{ type: 'raw', tag: 'L_T1' } as const], intervalMs: 900_000, holdRows: 2 };
const architecture = { inputs: 1, hidden: [3], members: 1 };
const layers = [{ member: 0, layer: 0, inputs: 4, outputs: 3, weightOffset: 0, biasOffset: 12 }];

const messages: readonly WireMessage[] = [
  {
    ...{ kind: 'hello', softwareVersion: '0.1.0', tags: ['L_T1'], eligibleRows: 5, labelledRows: 0, codecs: ['f32'] },
    ...{ engine: 'builtin', lineageHash: null, modelVersion: null, publicKeyId: null },
  },
  { kind: 'calibration', schemaHash: hash, moments: { count: 3, mean: [1.5], m2: [0.25] } },
  { kind: 'calibrate', schema, schemaHash: hash, minimumRows: 100 },
  {
    ...{ kind: 'fit', round: 1, attempt: 0, method: 'cwa', lineage: blob, parameters: blob, epochs: 2, batchSize: 32 },
    ...{ learningRate: 0.001, proximalMu: 0, exchangeShare: 1, codec: 'f32', layerMask: [true, false], seed: -7 },
    deadlineMs: 60_000,
  },
  {
    ...{ kind: 'update', round: 1, attempt: 0, baseHash: hash, codec: 'f32', layerMask: null, rows: 200, loss: 0.1 },
    ...{ delta: new Uint8Array([1, 2, 3]), trainingMs: 12, scores: { counts: [3, 1], rows: 4 } },
  },
  { kind: 'blob-request', blob, missing: [0, 4] },
];

const lineage: Lineage = {
  ...{ schema, schemaHash: hash, scaler: { mean: [1], scale: [2], clip: 4 }, architecture, exchange: blob },
};

const telemetry: Telemetry = { atMs: 1, score: 0.5, values: { L_T1: { value: 1.5, quality: 'good' } } };
const status: ServerStatus = { online: true, connectionId: 'c', softwareVersion: '0.1.0' };
const alarm: AlarmEvent = {
  ...{ eventId: 's:1:1', alarmId: 's:1', agent: 's', transition: 'raised', atMs: 5_000, score: 0.9, threshold: 0.5 },
  ...{ modelVersion: 'm', latencyMs: 1, contributions: [{ tag: 'L_T1', share: 1, value: 2 }] },
};

/** Nesting, lengths that nothing could hold, tags that other decoders build objects from. */
const HOSTILE_CBOR = [
  '',
  '81'.repeat(30_000),
  '9bffffffffffffffff',
  '5bffffffffffffffff',
  'bbffffffffffffffff',
  'd8258100',
  'c1fb7e37e43c8800759c',
  'bf',
  '9f'.repeat(5_000),
  'a1695f5f70726f746f5f5fa168706f6c6c75746564f5',
  'd9010282',
  'f6',
  'ff',
].map(hex);

const reassembly = new Reassembly(systemClock);
const transfer = split(new Uint8Array(9_000).fill(7));
const onnx = () => {
  const { scaler } = lineage;
  const metadata = encodeMetadata({
    ...{ federation: 'demo', modelVersion: 'v1', lineageHash: hash, round: 1, schema, scaler, architecture },
    ...{ threshold: 0.5, alarm: { onDelayRows: 1, offDelayRows: 1, hysteresis: 0.1 }, provenance: {}, baseline: [1] },
  });
  return exportOnnx({ architecture, parameters: new Float32Array(10).fill(0.1), scaler, metadata });
};

export const wireTargets: readonly FuzzTarget[] = [
  {
    name: 'envelope',
    samples: async () =>
      messages.map((message) =>
        encodeEnvelope({ federation: 'demo', sender: 'site-1', sequence: 7, sentAtMs: 1.8e12, message }),
      ),
    hostile: HOSTILE_CBOR,
    decode(bytes) {
      readAnsweredTask(bytes);
      return decodeEnvelope(bytes);
    },
  },
  {
    name: 'cbor',
    samples: async () => [encodeCbor({ a: [1, 'two', new Uint8Array(3), { b: null }], c: -1.5, d: true })],
    hostile: HOSTILE_CBOR,
    decode: (bytes) => decodeCbor(bytes, LARGEST),
  },
  {
    name: 'chunks',
    samples: async () => [transfer.chunk(0), transfer.chunk(1), split(new Uint8Array(3)).chunk(0)],
    hostile: HOSTILE_CBOR,
    decode: (bytes) => reassembly.accept('tw/v1/demo/agents/site-1/up', bytes),
  },
  {
    name: 'parameter difference',
    samples: async () => [encodeDelta(new Float32Array(15).fill(0.25), layers, 'int8', null).bytes],
    hostile: [hex(''), new Uint8Array(100_000)],
    decode: (bytes) => decodeDelta(bytes, layers, 'int8', null),
  },
  {
    name: 'parameters',
    samples: async () => [encodeParameters(new Float32Array(9).fill(0.5))],
    hostile: [hex(''), new Uint8Array(35)],
    decode: (bytes) => decodeParameters(bytes, 9),
  },
  {
    name: 'lineage',
    samples: async () => [encodeLineage(lineage)],
    hostile: HOSTILE_CBOR,
    decode: decodeLineage,
  },
  {
    name: 'exchange rows',
    samples: async () => [
      encodeExchangeRows({ features: new Float32Array(6).fill(0.5), labels: new Float32Array([0, 1, 0]) }, 2, 4),
    ],
    hostile: HOSTILE_CBOR,
    decode: (bytes) => decodeExchangeRows(bytes, 2),
  },
  { name: 'alarm in JSON', samples: async () => [encodeJson(alarm)], hostile: HOSTILE_TEXTS, decode: parseAlarmEvent },
  {
    name: 'telemetry in JSON',
    samples: async () => [encodeJson(telemetry)],
    hostile: HOSTILE_TEXTS,
    decode: parseTelemetry,
  },
  {
    name: 'server status in JSON',
    samples: async () => [encodeJson(status)],
    hostile: HOSTILE_TEXTS,
    decode: parseServerStatus,
  },
  {
    name: 'Sparkplug payload',
    samples: async () => [
      encodeSparkplug({
        ...{ timeMs: 1.7e12, seq: 3 },
        metrics: [{ name: 'L_T1', alias: 1, timeMs: 1, type: 'Double', value: 1.5, quality: 192 }],
      }),
    ],
    hostile: [hex(''), hex('12ffffffff0f'), hex('0a'.repeat(2_000)), hex('12021201')],
    decode: (bytes) => decodeSparkplug(Buffer.from(bytes)),
  },
  {
    name: 'topic',
    samples: async () => [utf8('tw/v1/demo/agents/site-1/up'), utf8('tw/v1/demo/models/manifest')],
    hostile: [utf8(''), utf8('/'.repeat(60_000)), utf8('tw/v1/demo/agents/__proto__/constructor')],
    decode: (bytes) => parseTopic(textOf(bytes)) ?? REFUSED,
  },
  {
    name: 'model file',
    isSlow: true,
    samples: async () => [onnx()],
    hostile: [hex(''), hex('0a'.repeat(1_000)), hex('3affffffff0f')],
    async decode(bytes) {
      readOnnxModel(bytes);
      await (await Detector.load(bytes, ['L_T1'])).close();
    },
  },
];
