import { type ZodType, z } from 'zod';
import { TwinwatchError } from '../errors.js';
import type { Scaler } from '../features/moments.js';
import type { FeatureSchema } from '../features/spec.js';
import type { Architecture } from '../learning/engine.js';
import { layers, parameterCount } from '../learning/network.js';
import { architectureSchema, featureSchema, scalerSchema } from '../wire/schemas/lineage.js';
import { GRAPH, MODEL, STRING_ENTRY, TENSOR, tensorName } from './export.js';
import { readFields } from './protobuf.js';

/** All that whoever runs a detector needs to know, carried in the ONNX file itself. */
export interface DetectorMetadata {
  readonly federation: string;
  readonly modelVersion: string;
  readonly lineageHash: string;
  readonly round: number;
  readonly schema: FeatureSchema;
  /** Already inside the graph; here for whoever explains a score. */
  readonly scaler: Scaler;
  readonly architecture: Architecture;
  /** A score at or above it is suspicious. */
  readonly threshold: number;
  readonly alarm: { readonly onDelayRows: number; readonly offDelayRows: number; readonly hysteresis: number };
  /** How the parameters came about: method, seed, clients, hashes; for people and audits. */
  readonly provenance: Readonly<Record<string, unknown>>;
  /** [inputs], mean of each input over normal rows, engineering units: what a contribution is measured against. */
  readonly baseline: readonly number[];
}

const count = z.int().min(0);

const metadataSchema: ZodType<DetectorMetadata> = z
  .object({
    federation: z.string(),
    modelVersion: z.string(),
    lineageHash: z.string(),
    round: count,
    schema: featureSchema,
    scaler: scalerSchema,
    architecture: architectureSchema,
    threshold: z.number().min(0).max(1),
    alarm: z.object({ onDelayRows: count, offDelayRows: count, hysteresis: z.number().min(0).max(1) }),
    provenance: z.record(z.string(), z.unknown()),
    baseline: z.array(z.number()),
  })
  .refine(
    ({ architecture, scaler, baseline }) =>
      [scaler.mean, scaler.scale, baseline].every((list) => list.length === architecture.inputs),
    { path: ['scaler'], message: 'must have one mean, scale and baseline per input' },
  );

const PREFIX = 'twinwatch.';
const FORMAT_KEY = `${PREFIX}format`;
const FORMAT = '1';

/** Strings for metadata_props: text as it is, everything else as JSON, each under a key of its own. */
export function encodeMetadata(metadata: DetectorMetadata): Record<string, string> {
  const entries = Object.entries(metadata).map(([field, value]): [string, string] => {
    return [PREFIX + field, typeof value === 'string' ? value : JSON.stringify(value)];
  });
  return Object.fromEntries([[FORMAT_KEY, FORMAT], ...entries]);
}

/**
 * What a file written by exportOnnx says about itself, and the parameters in it, laid out as in core/learning/network.ts. Files of
 * other programs are refused.
 * @throws TwinwatchError ONNX_MALFORMED saying what is missing or wrong.
 */
export function readOnnxModel(bytes: Uint8Array): { metadata: DetectorMetadata; parameters: Float32Array } {
  const strings = new Map<string, string>();
  const tensors = new Map<string, Uint8Array>();
  for (const { field, value } of readFields(bytes)) {
    if (field === MODEL.metadataProps) {
      const entry = new Map([...readFields(value)].map((part) => [part.field, text(part.value)]));
      strings.set(entry.get(STRING_ENTRY.key) ?? '', entry.get(STRING_ENTRY.value) ?? '');
    }
    if (field === MODEL.graph) readTensors(value, tensors);
  }
  const metadata = decodeMetadata(strings);
  return { metadata, parameters: collectParameters(metadata.architecture, tensors) };
}

function decodeMetadata(strings: ReadonlyMap<string, string>): DetectorMetadata {
  const format = strings.get(FORMAT_KEY);
  if (format === undefined) throw malformed('it carries no metadata of a detector');
  if (format !== FORMAT) throw malformed(`its metadata has format ${format}, this software reads ${FORMAT}`);
  const fields: Record<string, unknown> = {};
  for (const [key, value] of strings) {
    const field = key.slice(PREFIX.length);
    if (key.startsWith(PREFIX)) fields[field] = TEXT_FIELDS.has(field) ? value : parseJson(field, value);
  }
  const result = metadataSchema.safeParse(fields);
  if (result.success) return result.data;
  const wrong = result.error.issues.slice(0, 5).map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  throw malformed(`its metadata has wrong fields: ${wrong.join('; ')}`);
}

const TEXT_FIELDS: ReadonlySet<string> = new Set(['federation', 'modelVersion', 'lineageHash']);

function parseJson(field: string, value: string): unknown {
  try {
    return JSON.parse(value);
  } catch (cause) {
    throw malformed(`its metadata ${field} is not JSON`, cause);
  }
}

function readTensors(graph: Uint8Array, tensors: Map<string, Uint8Array>): void {
  for (const { field, value } of readFields(graph)) {
    if (field !== GRAPH.initializer) continue;
    const parts = new Map([...readFields(value)].map((part) => [part.field, part.value]));
    const name = parts.get(TENSOR.name);
    const raw = parts.get(TENSOR.rawData);
    if (name !== undefined && raw !== undefined) tensors.set(text(name), raw);
  }
}

function collectParameters(architecture: Architecture, tensors: ReadonlyMap<string, Uint8Array>): Float32Array {
  const count = parameterCount(architecture);
  const bytes = [...tensors.values()].reduce((sum, tensor) => sum + tensor.length, 0);
  if (count * 4 > bytes) throw malformed(`it holds ${bytes} bytes of tensors, its architecture needs ${count * 4}`);
  const parameters = new Float32Array(count);
  const copy = (name: string, offset: number, values: number): void => {
    const raw = tensors.get(name);
    if (raw?.length !== values * 4) throw malformed(`tensor ${name} is missing or not ${values} numbers`);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    for (let i = 0; i < values; i++) parameters[offset + i] = view.getFloat32(i * 4, true);
  };
  for (const { member, layer, inputs, outputs, weightOffset, biasOffset } of layers(architecture)) {
    copy(tensorName('weight', member, layer), weightOffset, inputs * outputs);
    copy(tensorName('bias', member, layer), biasOffset, outputs);
  }
  return parameters;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function malformed(what: string, cause?: unknown): TwinwatchError {
  return new TwinwatchError('ONNX_MALFORMED', `This file is no detector of this software: ${what}`, { cause });
}
