import type { SerialLineConfig } from '@twinwatch/core/config/sources';
import { type ByteStream, type OpenStream, serialStream, tcpStream } from '../modbus/byte-stream.js';
import type { Source, SourceSink } from '../source.js';
import { reconnectPauseMs, type SourceRuntime, tellBoard } from '../source-runtime.js';
import { TagBoard } from '../tag-board.js';
import { type FrameOptions, type LineState, lineStep, openedLine } from './framing.js';
import { lineValues } from './line-values.js';

const CONNECT_TIMEOUT_MS = 5_000;
/** Frames a second that are looked at; of more only the newest count, and it is told. */
const FRAMES_PER_SECOND = 200;
/** Frames in a row that cannot be read, before it is told. */
const UNREADABLE_FRAMES = 5;

/** A device that sends lines or frames by itself. A port that is unplugged is opened again when it is back. */
export class SerialLineSource implements Source {
  readonly name: string;
  readonly devices: readonly string[];
  readonly #config: SerialLineConfig;
  readonly #runtime: SourceRuntime;
  readonly #board: TagBoard;
  readonly #pattern: RegExp | null;
  readonly #framing: FrameOptions;
  #line: LineState = openedLine(0);
  #down: string | null = 'is not opened yet';
  #unreadable = 0;
  /** Of the second that began at: monotonic ms. */
  #second = { atMs: 0, frames: 0, skipped: 0 };
  #floods = false;

  constructor(config: SerialLineConfig, runtime: SourceRuntime) {
    this.name = config.port;
    this.devices = [config.name];
    this.#config = config;
    this.#runtime = runtime;
    this.#board = new TagBoard(config.name, config.tags, config.staleAfter, runtime.clock);
    this.#pattern = config.pattern === undefined ? null : new RegExp(config.pattern, 'u');
    this.#framing =
      config.length === undefined
        ? { delimiter: Buffer.from(config.delimiter, 'latin1'), length: 0 }
        : { delimiter: null, length: config.length };
  }

  async start(signal: AbortSignal, sink: SourceSink): Promise<void> {
    await Promise.all([
      this.#keepOpen(signal),
      tellBoard(this.#config.name, this.#board, () => this.#trouble(), this.#runtime, signal, sink),
    ]);
  }

  #trouble(): string | null {
    if (this.#down !== null) return this.#down;
    if (this.#unreadable >= UNREADABLE_FRAMES)
      return `${this.name} sends what cannot be read; check baudRate, parity, format and checksum`;
    return this.#floods
      ? `${this.name} sends more than ${FRAMES_PER_SECOND} frames a second; only some are looked at`
      : null;
  }

  async #keepOpen(signal: AbortSignal): Promise<void> {
    const { timers, random } = this.#runtime;
    for (let failures = 0; !signal.aborted; ) {
      let stream: ByteStream | null = null;
      try {
        let end: (reason: string) => void = () => undefined;
        const ended = new Promise<string>((resolve) => {
          end = resolve;
        });
        this.#line = openedLine(this.#runtime.clock.monotonic());
        stream = await this.#open()({ data: (bytes) => this.#take(bytes), closed: (reason) => end(reason) });
        this.#down = null;
        failures = 0;
        const stop = () => end('stopped');
        signal.addEventListener('abort', stop, { once: true });
        if (signal.aborted) stop();
        this.#down = `${this.name}: ${await ended}`;
        signal.removeEventListener('abort', stop);
      } catch (error) {
        this.#down = (error as Error).message;
      }
      this.#board.clear();
      await stream?.close();
      await timers.sleep('serial-reopen', reconnectPauseMs(failures++, random()), signal).catch(() => undefined);
    }
  }

  #open(): OpenStream {
    const { port, baudRate, parity, dataBits, stopBits } = this.#config;
    const tcp = /^tcp:\/\/([^:]+):(\d+)$/.exec(port);
    if (tcp !== null) return tcpStream(tcp[1]!, Number(tcp[2]), CONNECT_TIMEOUT_MS);
    return serialStream({ path: port, baudRate, parity, dataBits, stopBits });
  }

  #take(bytes: Buffer): void {
    const { state, frames, dropped } = lineStep(this.#line, bytes, this.#runtime.clock.monotonic(), this.#framing);
    this.#line = state;
    if (dropped > 0) this.#unreadable = UNREADABLE_FRAMES;
    const room = this.#room(frames.length);
    for (const frame of frames.slice(frames.length - room)) this.#read(frame);
  }

  /** How many of so many frames are looked at in this second. */
  #room(frames: number): number {
    const nowMs = this.#runtime.clock.monotonic();
    if (nowMs - this.#second.atMs >= 1_000) {
      this.#floods = this.#second.skipped > 0;
      this.#second = { atMs: nowMs, frames: 0, skipped: 0 };
    }
    const room = Math.max(0, Math.min(frames, FRAMES_PER_SECOND - this.#second.frames));
    this.#second.frames += room;
    this.#second.skipped += frames - room;
    if (frames > room) this.#floods = true;
    return room;
  }

  #read(frame: Buffer): void {
    if (frame.length === 0) return;
    const values = lineValues(frame, this.#config, this.#pattern);
    if (values === null) {
      this.#unreadable++;
      return;
    }
    this.#unreadable = 0;
    for (const [tag, value] of values) this.#board.put(tag, value, null);
  }
}
