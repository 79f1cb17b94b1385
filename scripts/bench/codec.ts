import { availableParallelism, cpus } from 'node:os';
import { layers, parameterCount } from '@twinwatch/core/learning/network';
import { createRandom } from '@twinwatch/core/learning/random';
import { decodeDelta, encodeDelta, PARAMETER_CODECS } from '@twinwatch/core/wire/parameter-codec';
import { markdownTable } from '../experiments/summary.js';
import { systemClock } from '../processes/node-runtime.js';

const NETWORKS = [
  { inputs: 43, hidden: [16, 8], members: 1 },
  { inputs: 215, hidden: [256, 128, 64], members: 1 },
];
/** Of the parameters, for the codecs that send the largest alone. */
const KEEP = 0.25;
const MEASURED_MS = 300;

/** Time and bytes of each codec beside f32, on the paper's network and on a large one. */
export function benchCodec(): void {
  for (const architecture of NETWORKS) {
    const layout = layers(architecture);
    const count = parameterCount(architecture);
    const random = createRandom('bench');
    const delta = Float32Array.from({ length: count }, () => (random.next() - 0.5) ** 3);
    const rows = PARAMETER_CODECS.map((codec) => {
      const { bytes } = encodeDelta(delta, layout, codec, null, KEEP);
      const encodeUs = microseconds(() => encodeDelta(delta, layout, codec, null, KEEP));
      const decodeUs = microseconds(() => decodeDelta(bytes, layout, codec, null));
      return [
        codec.startsWith('topk') ? `${codec}, ${100 * KEEP} %` : codec,
        encodeUs.toFixed(0),
        decodeUs.toFixed(0),
        String(bytes.length),
        (bytes.length / (4 * count)).toFixed(3),
      ];
    });
    const name = [architecture.inputs, ...architecture.hidden, 1].join('-');
    const head = [`codec, ${name} (${count})`, 'encode, µs', 'decode, µs', 'bytes', 'of f32'];
    console.log(markdownTable(head, rows));
  }
  console.log(
    `${cpus()[0]?.model.trim() ?? 'processor'} (${availableParallelism()} cores), Node ${process.version}; encoding includes what is owed`,
  );
}

/** Of one call, once what it runs is compiled. */
function microseconds(work: () => void): number {
  meanOf(work);
  return 1_000 * meanOf(work);
}

/** Milliseconds. */
function meanOf(work: () => void): number {
  const startMs = systemClock.monotonic();
  let calls = 0;
  let tookMs = 0;
  for (; tookMs < MEASURED_MS; tookMs = systemClock.monotonic() - startMs) {
    work();
    calls++;
  }
  return tookMs / calls;
}
