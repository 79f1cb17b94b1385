import { TwinwatchError } from '../errors.js';
import type { Scaler } from '../features/moments.js';
import type { Architecture } from '../learning/engine.js';
import { checkParameters, layers } from '../learning/network.js';
import { encodeMessage, type ProtoField, type ProtoMessage } from './protobuf.js';

/** Field numbers of onnx.proto (github.com/onnx/onnx, IR version 8), as far as they are written or read here. */
export const MODEL = { irVersion: 1, producerName: 2, graph: 7, opsetImport: 8, metadataProps: 14 } as const;
export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 } as const;
export const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 } as const;
export const STRING_ENTRY = { key: 1, value: 2 } as const;
const NODE = { input: 1, output: 2, name: 3, opType: 4 } as const;
const VALUE_INFO = { name: 1, type: 2 } as const;
const OPSET = { version: 2 } as const;

const IR_VERSION = 8;
const OPSET_VERSION = 17;
const FLOAT = 1;

/** Name of the tensor in the file that holds the weights or the bias of one layer. */
export function tensorName(part: 'weight' | 'bias', member: number, layer: number): string {
  return `${part}.${member}.${layer}`;
}

/**
 * One self-contained ONNX model: input `features` float [batch, inputs] in engineering units, output `score` float [batch, 1] in [0, 1].
 * Scaling and clipping come first, then every member's layers, then the mean of the members' scores.
 *
 * @param request.metadata goes into the file's metadata_props as it is.
 * @throws TwinwatchError LEARNING_SHAPE, LEARNING_NOT_FINITE, ONNX_INVALID.
 */
export function exportOnnx(request: {
  readonly architecture: Architecture;
  readonly parameters: Float32Array;
  readonly scaler: Scaler;
  readonly metadata: Readonly<Record<string, string>>;
}): Uint8Array {
  const { architecture, parameters, scaler } = request;
  checkParameters(architecture, parameters);
  checkScaler(scaler, architecture.inputs);
  const nodes: ProtoMessage[] = [
    node('Sub', ['features', 'scaler.mean'], 'centred'),
    node('Div', ['centred', 'scaler.scale'], 'unclipped'),
    node('Clip', ['unclipped', 'clip.low', 'clip.high'], 'scaled'),
  ];
  const tensors: ProtoMessage[] = [
    tensor('scaler.mean', [architecture.inputs], Float32Array.from(scaler.mean)),
    tensor('scaler.scale', [architecture.inputs], Float32Array.from(scaler.scale)),
    tensor('clip.low', [], Float32Array.of(-scaler.clip)),
    tensor('clip.high', [], Float32Array.of(scaler.clip)),
  ];
  const lastLayer = architecture.hidden.length;
  const memberScore = (member: number): string => (architecture.members === 1 ? 'score' : `score.${member}`);
  let below = 'scaled';
  for (const { member, layer, inputs, outputs, weightOffset, biasOffset } of layers(architecture)) {
    const weight = tensorName('weight', member, layer);
    const bias = tensorName('bias', member, layer);
    tensors.push(
      tensor(weight, [inputs, outputs], parameters.subarray(weightOffset, biasOffset)),
      tensor(bias, [outputs], parameters.subarray(biasOffset, biasOffset + outputs)),
    );
    const sum = `sum.${member}.${layer}`;
    nodes.push(node('Gemm', [layer === 0 ? 'scaled' : below, weight, bias], sum));
    below = layer === lastLayer ? memberScore(member) : `relu.${member}.${layer}`;
    nodes.push(node(layer === lastLayer ? 'Sigmoid' : 'Relu', [sum], below));
  }
  if (architecture.members > 1) {
    nodes.push(
      node(
        'Mean',
        Array.from({ length: architecture.members }, (_, member) => memberScore(member)),
        'score',
      ),
    );
  }
  return encodeMessage([
    [MODEL.irVersion, IR_VERSION],
    [MODEL.producerName, 'twinwatch'],
    [
      MODEL.graph,
      [
        ...nodes.map((each): ProtoField => [GRAPH.node, each]),
        [GRAPH.name, 'detector'],
        ...tensors.map((each): ProtoField => [GRAPH.initializer, each]),
        [GRAPH.input, valueInfo('features', architecture.inputs)],
        [GRAPH.output, valueInfo('score', 1)],
      ],
    ],
    [MODEL.opsetImport, [[OPSET.version, OPSET_VERSION]]],
    ...Object.entries(request.metadata).map(([key, value]): ProtoField => {
      return [
        MODEL.metadataProps,
        [
          [STRING_ENTRY.key, key],
          [STRING_ENTRY.value, value],
        ],
      ];
    }),
  ]);
}

function checkScaler(scaler: Scaler, inputs: number): void {
  const numbers = [...scaler.mean, ...scaler.scale, scaler.clip];
  const isUsable = numbers.every(Number.isFinite) && scaler.scale.every((scale) => scale > 0) && scaler.clip > 0;
  if (isUsable && scaler.mean.length === inputs && scaler.scale.length === inputs) return;
  throw new TwinwatchError(
    'ONNX_INVALID',
    `the scaler (${scaler.mean.length} means, ${scaler.scale.length} scales, clip ${scaler.clip}) does not fit ${inputs} inputs, or holds numbers that cannot scale`,
  );
}

function node(opType: string, inputs: readonly string[], output: string): ProtoMessage {
  return [
    ...inputs.map((input): ProtoField => [NODE.input, input]),
    [NODE.output, output],
    [NODE.name, `${opType}:${output}`],
    [NODE.opType, opType],
  ];
}

function tensor(name: string, dims: readonly number[], values: Float32Array): ProtoMessage {
  const raw = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, i) => {
    raw.setFloat32(i * 4, value, true);
  });
  return [
    ...dims.map((size): ProtoField => [TENSOR.dims, size]),
    [TENSOR.dataType, FLOAT],
    [TENSOR.name, name],
    [TENSOR.rawData, new Uint8Array(raw.buffer)],
  ];
}

/** ValueInfoProto of a float tensor [batch, columns]: TypeProto.tensor_type, its elem_type and shape, the shape's dims. */
function valueInfo(name: string, columns: number): ProtoMessage {
  const batch: ProtoMessage = [[2, 'batch']];
  const width: ProtoMessage = [[1, columns]];
  const shape: ProtoMessage = [
    [1, batch],
    [1, width],
  ];
  return [
    [VALUE_INFO.name, name],
    [
      VALUE_INFO.type,
      [
        [
          1,
          [
            [1, FLOAT],
            [2, shape],
          ],
        ],
      ],
    ],
  ];
}
