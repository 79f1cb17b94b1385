import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createWriteStream, existsSync, mkdtempSync, rmSync, type WriteStream } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SourceConfig, sourceSchema } from '@twinwatch/core/config/sources';
import type { Sample } from '@twinwatch/core/scada/sample';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock, systemTimers } from '../../system-runtime.js';
import { openSource } from '../open-sources.js';
import { checked, type FrameOptions, type LineState, lineStep, openedLine } from './framing.js';
import { lineValues } from './line-values.js';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
const config = (rest: object) =>
  sourceSchema.parse({ kind: 'serial-line', name: 'S', port: '/dev/none', tags: [], ...rest }) as Extract<
    SourceConfig,
    { kind: 'serial-line' }
  >;
const values = (line: string, rest: object) => {
  const one = config(rest);
  const read = lineValues(
    Buffer.from(line, 'latin1'),
    one,
    one.pattern === undefined ? null : new RegExp(one.pattern, 'u'),
  );
  return read === null ? null : Object.fromEntries(read);
};

describe('frames', () => {
  /** What pieces of a line give: each with the ms after which it comes, on a line that was opened at 0. */
  function framesOf(options: FrameOptions, ...pieces: readonly (readonly [atMs: number, bytes: string])[]): string[] {
    let state: LineState = openedLine(0);
    return pieces.flatMap(([atMs, bytes]) => {
      const step = lineStep(state, Buffer.from(bytes, 'latin1'), atMs, options);
      state = step.state;
      return step.frames.map(String);
    });
  }
  const line = { delimiter: Buffer.from('\r\n'), length: 0 };

  it('come by delimiter or by length, whatever pieces the bytes come in, and noise is given up', () => {
    expect(framesOf(line, [1_000, 'a\r\nbc\r'], [1_010, '\nd'])).toEqual(['a', 'bc']);
    expect(framesOf({ delimiter: null, length: 3 }, [1_000, 'abcd'], [1_010, 'efg'])).toEqual(['abc', 'def']);
    expect(lineStep(openedLine(0), Buffer.alloc(5_000, 'x'), 1_000, line)).toMatchObject({
      frames: [],
      dropped: 5_000,
    });
  });

  it('are whole: not of a line that was opened in the middle of one, nor of a sender that got stuck in one', () => {
    expect(framesOf(line, [10, '20\r'], [20, '\n7\r\n'])).toEqual(['7']);
    expect(framesOf(line, [1_000, '12'], [1_700, '0\r\n7\r\n'])).toEqual(['0', '7']);
    const fixed = { delimiter: null, length: 2 };
    expect(framesOf(fixed, [10, 'abc'], [20, 'de'])).toEqual([]);
    expect(framesOf(fixed, [10, 'a'], [600, 'bcd'], [1_200, 'ef'])).toEqual(['bc', 'ef']);
  });

  it('are the same however the bytes are cut, and one changed letter of a sentence is never read', () => {
    const letters = fc.stringMatching(/^[0-9A-Z,.]{1,12}$/);
    fc.assert(
      fc.property(
        fc.array(letters, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(20), { maxLength: 20 }),
        (lines, cuts) => {
          const line = { delimiter: Buffer.from('\r\n'), length: 0 };
          let left = Buffer.from(lines.map((text) => `${text}\r\n`).join(''));
          const pieces = [...cuts, left.length].map((cut): [number, string] => {
            const piece = left.subarray(0, cut);
            left = left.subarray(cut);
            return [1_000, piece.toString()];
          });
          const frames = framesOf(line, ...pieces);
          expect(frames.join('|')).toBe(lines.join('|'));
        },
      ),
    );
    fc.assert(
      fc.property(letters, fc.nat(), fc.integer({ min: 1, max: 127 }), (body, at, flip) => {
        const sum = [...Buffer.from(body)].reduce((a, b) => a ^ b, 0);
        const sentence = Buffer.from(`$${body}*${sum.toString(16).padStart(2, '0').toUpperCase()}`);
        sentence[1 + (at % body.length)]! ^= flip;
        expect(checked(sentence.toString('latin1'), 'nmea')).toBeNull();
      }),
    );
  });

  it('are read only where their checksum holds', () => {
    const sentence = '$GPGGA,092750.000,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,*76';
    expect(checked(sentence, 'nmea')).toBe(sentence.slice(0, -3));
    expect(checked(sentence.replace('61.7', '61.8'), 'nmea')).toBeNull();
    expect(checked(sentence.slice(0, -3), 'nmea')).toBeNull();
    expect(checked('AB83', 'sum8')).toBe('AB');
    expect(checked('AC83', 'sum8')).toBeNull();
  });

  it('hold values as fields, groups of a pattern, or JSON', () => {
    const tags = (...fields: (string | number)[]) => ({ tags: fields.map((field, i) => ({ name: `T${i}`, field })) });
    expect(values('12.5; 7;;x\r', { separator: ';', ...tags(0, 1, 2, 9) })).toEqual({
      T0: '12.5',
      T1: '7',
      T2: Number.NaN,
    });
    const scale = { format: 'regex', pattern: '^ST,(?<w>[+-] *\\d+\\.\\d+)kg$' };
    expect(values('ST,-  3.20kg', { ...scale, ...tags('w') })).toEqual({ T0: '-  3.20' });
    expect(values('US,  3.20kg', { ...scale, ...tags('w') })).toBeNull();
    expect(values('{"a":{"b":[1,2]}}', { format: 'json', ...tags('a.b[1]', 'a.c') })).toEqual({ T0: 2 });
    expect(values('{"a":', { format: 'json', ...tags('a') })).toBeNull();
    const gps = { checksum: 'nmea', tags: [{ name: 'alt', field: 9, match: '$GPGGA' }] };
    expect(values('$GPGSA,A*2F', gps)).toEqual({});
  });
});

describe('a source', () => {
  function run(rest: object) {
    const stop = new AbortController();
    const latest = new Map<string, Sample>();
    const faults: (string | null)[] = [];
    const place = { agent: 'a', broker: { url: 'mqtt://127.0.0.1:1' }, configPath: '/x/agent.yaml' };
    const runtime = {
      clock: systemClock,
      timers: systemTimers,
      random: () => 0,
      log: quiet,
      connect: () => expect.fail(),
    };
    const running = openSource(config(rest), place, runtime).start(stop.signal, {
      reading: ({ samples }) => {
        for (const sample of samples) latest.set(sample.tag, sample);
      },
      fault: (_, fault) => faults.push(fault),
    });
    cleanUps.push(async () => {
      stop.abort();
      await running;
    });
    const until = (tag: string, wanted: object) =>
      expect.poll(() => latest.get(tag), { timeout: 10_000, interval: 20 }).toMatchObject(wanted);
    const fault = (wanted: unknown) =>
      expect.poll(() => faults.at(-1), { timeout: 10_000, interval: 20 }).toEqual(wanted);
    return { latest, until, fault };
  }

  it.skipIf(spawnSync('socat', ['-V']).status !== 0)(
    '(with socat) survives noise, a flood, silence, and an unplugged port',
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'twinwatch-line-'));
      cleanUps.push(() => rmSync(directory, { recursive: true }));
      const [near, far] = [join(directory, 'near'), join(directory, 'far')];
      const plug = async (): Promise<{ process: ChildProcess; line: WriteStream }> => {
        const process = spawn('socat', [`pty,raw,echo=0,link=${near}`, `pty,raw,echo=0,link=${far}`]);
        await expect.poll(() => existsSync(near) && existsSync(far), { timeout: 10_000 }).toBe(true);
        const line = createWriteStream(far);
        line.on('error', () => undefined);
        return { process, line };
      };
      const unplug = async ({ process, line }: { process: ChildProcess; line: WriteStream }) => {
        const ended = new Promise((resolve) => process.once('exit', resolve));
        process.kill();
        await ended;
        line.destroy();
      };
      let cable = await plug();
      cleanUps.push(() => unplug(cable));
      const tags = [{ name: 'W', unit: 'kg', field: 1, scale: 0.5, maximum: 50 }];
      const { until, fault } = run({ port: near, staleAfter: '600ms', tags });
      cable.line.write('0\nST,20\r\n');
      await until('W', { value: 10, quality: 'good' });
      await fault(null);
      cable.line.write('ST,2');
      cable.line.write('2\r\n');
      await until('W', { value: 11, quality: 'good' });
      cable.line.write('ST,200\n');
      await until('W', { quality: 'bad', reason: 'OUT_OF_RANGE' });
      cable.line.write('ST,oops\n');
      await until('W', { value: Number.NaN, quality: 'bad', reason: 'NOT_A_NUMBER' });
      await fault('sends nothing');
      cable.line.write('ST,20\n'.repeat(2_000));
      await fault(expect.stringContaining('frames a second'));
      await until('W', { value: 10, quality: 'good' });
      await unplug(cable);
      await fault(expect.stringMatching(/near/));
      cable = await plug();
      const again = setInterval(() => cable.line.write('ST,30\n'), 50);
      await until('W', { value: 15, quality: 'good' });
      await fault(null);
      clearInterval(again);
    },
  );

  it('reads a serial device server, and says that what it sends is no frame', async () => {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanUps.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    });
    const { port } = server.address() as net.AddressInfo;
    const { until, fault } = run({
      ...{ port: `tcp://127.0.0.1:${port}`, format: 'json', tags: [{ name: 'P', field: 'p' }] },
    });
    await expect.poll(() => sockets.size).toBe(1);
    const [socket] = sockets;
    socket!.write('"p":0}\n{"p":1.5}\n');
    await until('P', { value: 1.5, quality: 'good' });
    socket!.write('\u0000\u0001\n'.repeat(6));
    await fault(expect.stringContaining('cannot be read'));
  });
});
