import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentSchema } from '@twinwatch/core/config/agent';
import { type SerialLineConfig, sourceSchema } from '@twinwatch/core/config/sources';
import { importHistory } from '@twinwatch/edge-agent/history/csv-history';
import { asciiFraming, type Framing, rtuFraming, tcpFraming } from '@twinwatch/edge-agent/sources/modbus/frames';
import { lineStep, openedLine } from '@twinwatch/edge-agent/sources/serial/framing';
import { lineValues } from '@twinwatch/edge-agent/sources/serial/line-values';
import { Store } from '@twinwatch/edge-agent/store/store';
import { systemTimers } from '../../processes/node-runtime.js';
import { type FuzzTarget, HOSTILE_TEXTS, hex, REFUSED, utf8 } from './target.js';

/** What comes from devices and from files of theirs. */

const asked = { unit: 7, request: { table: 'holding', address: 3, count: 2 }, transaction: 513 } as const;

/** Whatever is answered must be noticed as no answer, a wrong one, or one of two registers; and what is kept has a bound. */
function modbus(framing: Framing, answer: string): FuzzTarget {
  return {
    name: `Modbus ${framing.name} answer`,
    samples: async () => [hex(answer)],
    hostile: [hex(''), new Uint8Array(70_000), new Uint8Array(70_000).fill(0x3a), hex('ff'.repeat(2_000))],
    decode(bytes) {
      const { reply, rest } = framing.scan(Buffer.from(bytes), asked);
      framing.scan(Buffer.from(bytes), null);
      if (rest.length > bytes.length) throw new Error('more is kept than came');
      if (reply?.kind === 'words' && reply.words.length !== 2) throw new Error('an answer of another length');
      return reply?.kind === 'words' ? reply : REFUSED;
    },
  };
}

const serialLine = serialLineOf({
  ...{ kind: 'serial-line', name: 'scale', port: '/dev/ttyUSB0', format: 'json', tags: [{ name: 'x', field: 'a.b' }] },
});

function serialLineOf(written: object): SerialLineConfig {
  const source = sourceSchema.parse(written);
  if (source.kind !== 'serial-line') throw new Error('not a serial line');
  return source;
}

const HISTORY = 'time,L_T1,label\n2026-01-01T00:00Z,1.5,0\n2026-01-01T00:15Z,2.5,1\n2026-01-01T00:30Z,,-999\n';
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

function history(): FuzzTarget {
  const open = async () => {
    const directory = await mkdtemp(join(tmpdir(), 'twinwatch-fuzz-'));
    const limits = {
      maximumRows: 1_000,
      maximumBytes: 50_000_000,
      maximumOutboxEvents: 100,
      maximumBlobBytes: 1_000_000,
    };
    const runtime = { timers: systemTimers, log: quiet, maximumQueuedRows: 10_000 };
    return { directory, store: await Store.open({ directory, ...limits }, runtime) };
  };
  let opened: ReturnType<typeof open> | null = null;
  return {
    name: 'history in CSV',
    isSlow: true,
    samples: async () => [utf8(HISTORY)],
    hostile: HOSTILE_TEXTS,
    async decode(bytes) {
      opened ??= open();
      const { directory, store } = await opened;
      const path = join(directory, 'history.csv');
      await writeFile(path, bytes);
      return importHistory(store, path, ['L_T1'], agentSchema.shape.import.parse(undefined), 900_000);
    },
    async release() {
      const { directory, store } = await opened!;
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
}

export const deviceTargets: readonly FuzzTarget[] = [
  modbus(tcpFraming, '02010000000707030400010002'),
  modbus(rtuFraming, '070304000100024c32'),
  modbus(asciiFraming, Buffer.from(':07030400010002EF\r\n').toString('hex')),
  {
    name: 'serial line',
    samples: async () => [utf8('x\n{"a":{"b":1.5}}\n{"a":{"b":"2"}}\n')],
    hostile: [...HOSTILE_TEXTS, new Uint8Array(70_000)],
    decode(bytes) {
      const { state, frames } = lineStep(openedLine(0), Buffer.from(bytes), 1, {
        delimiter: Buffer.from('\n'),
        length: 0,
      });
      if (state.rest.length > 4_096) throw new Error('more is kept than a line can be long');
      const read = frames.map((frame) => lineValues(frame, serialLine, null));
      return read.some((values) => values !== null) ? read : REFUSED;
    },
  },
  history(),
];
