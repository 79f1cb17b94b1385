import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import type { ByteStream, OpenStream } from './byte-stream.js';
import type { Asked, Framing } from './frames.js';
import { OwedAnswers } from './owed-answers.js';
import { isWrite, type ModbusRequest, type ReadRequest, type Reply, type WriteRequest } from './requests.js';

export interface BusOptions {
  readonly name: string;
  readonly open: OpenStream;
  readonly framing: Framing;
  readonly timeoutMs: number;
  /**
   * Silence kept after an exchange, ms. On a line without transaction numbers an answer is believed only once the line has been silent for so
   * long after it: a second answer within that time means that neither can be trusted.
   */
  readonly silenceMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

const FIRST_RECONNECT_MS = 100;
/** With what a plug takes to be noticed, an unplugged port is back in use within 10 s. */
const LONGEST_RECONNECT_MS = 4_000;
/** No exchange is longer than a few hundred bytes; a line that babbles must not fill memory. */
const LONGEST_RECEIVED_BYTES = 8_192;
const KEPT_BYTES = 1_024;
/** After so many timeouts without a single byte, the line itself is opened anew: a gateway may be gone without having said so. */
const SILENT_TIMEOUTS = 6;
const NOTHING = Buffer.alloc(0);

interface Waiting extends Asked {
  settle(reply: Reply | TwinwatchError): void;
}

/**
 * One bus: one owner of the port, one queue, one request in flight, a deadline of its own on each.
 *
 * A late answer is never taken for the next one. On TCP a timeout closes the connection, and the transaction id must match. On RTU and ASCII, where
 * nothing names the request, a request waits for the line to be silent, an answer is believed only when nothing follows it, and
 * a unit that timed out is left alone for a while and then has to prove that it is in step again (OwedAnswers); the others are not held up.
 */
export class ModbusBus {
  readonly #options: BusOptions;
  readonly #owed: OwedAnswers;
  #stream: ByteStream | null = null;
  #waiting: Waiting | null = null;
  #received: Buffer = NOTHING;
  #lastByteMs = Number.NEGATIVE_INFINITY;
  #tail: Promise<unknown> = Promise.resolve();
  /** Requests that have not been settled. */
  #queued = 0;
  #transaction = 0;
  #closed = false;
  #connections = 0;
  #openFailures = 0;
  #silentTimeouts = 0;
  #reopenAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: BusOptions) {
    this.#options = options;
    this.#owed = new OwedAnswers(options.timeoutMs);
  }

  /** How often the line has been opened: another number is another line, and perhaps another device behind it. */
  get connections(): number {
    return this.#connections;
  }

  /**
   * Reads registers or bits of one unit, after all that was asked for before.
   * @throws TwinwatchError MODBUS_TIMEOUT, MODBUS_EXCEPTION (context.exception), MODBUS_MALFORMED, MODBUS_DISCONNECTED,
   * MODBUS_UNREACHABLE, MODBUS_OUT_OF_STEP; always settles within three timeouts of its turn.
   */
  read(unit: number, request: ReadRequest): Promise<Uint16Array> {
    return this.#inTurn(unit, request);
  }

  /** Writes a coil or registers of one unit, in its turn; resolves once the unit has confirmed it. @throws as read. */
  async write(unit: number, request: WriteRequest): Promise<void> {
    await this.#inTurn(unit, request);
  }

  /** Rejects what is in flight and queued; resolves when the port is free. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting?.settle(this.#disconnected('the bus was closed'));
    await this.#drop();
    await this.#tail;
    await this.#drop();
  }

  #inTurn(unit: number, request: ModbusRequest): Promise<Uint16Array> {
    // Where nobody waits, the request is on its way before this returns: who asked has time for other work until the answer comes.
    const turn = this.#queued++ === 0 ? this.#ask(unit, request) : this.#tail.then(() => this.#ask(unit, request));
    const done = () => {
      this.#queued--;
    };
    this.#tail = turn.then(done, done);
    return turn;
  }

  async #ask(unit: number, request: ModbusRequest): Promise<Uint16Array> {
    if (this.#stream === null || this.#closed) await this.#open();
    if (!this.#options.framing.numbersRequests) await this.#fallInStep(unit, request);
    return this.#words(await this.#exchange(unit, request), unit, request);
  }

  #words(reply: Reply, unit: number, request: ModbusRequest): Uint16Array {
    if (reply.kind === 'words') return reply.words;
    const count = isWrite(request) ? request.words.length : request.count;
    const what = isWrite(request) ? 'write to ' : '';
    const where = `unit ${unit} on ${this.#options.name}, ${what}${request.table} ${request.address}–${request.address + count - 1}`;
    if (reply.kind === 'exception')
      throw new TwinwatchError('MODBUS_EXCEPTION', `${where}: the device answers exception ${reply.exception}`, {
        context: { unit, ...request, exception: reply.exception },
      });
    throw new TwinwatchError('MODBUS_MALFORMED', `${where}: the answer is not one to this request: ${reply.detail}`, {
      context: { unit, ...request },
      retryable: true,
    });
  }

  async #open(): Promise<void> {
    const { clock, random, open } = this.#options;
    if (this.#closed) throw this.#disconnected('the bus was closed');
    if (clock.monotonic() < this.#reopenAtMs) throw this.#disconnected('waiting before the next attempt to connect');
    try {
      // What a line says before it is handed over belongs to nobody.
      let stream: ByteStream | null = null;
      stream = await open({
        data: (bytes) => this.#onData(stream, bytes),
        closed: (reason) => this.#onClosed(stream, reason),
      });
      this.#stream = stream;
      this.#received = NOTHING;
      this.#connections++;
      this.#openFailures = 0;
      this.#silentTimeouts = 0;
    } catch (error) {
      const pauseMs = Math.min(LONGEST_RECONNECT_MS, FIRST_RECONNECT_MS * 2 ** Math.min(10, this.#openFailures++));
      this.#reopenAtMs = clock.monotonic() + pauseMs * (0.5 + random() / 2);
      throw error;
    }
    if (this.#closed) {
      await this.#drop();
      throw this.#disconnected('the bus was closed');
    }
  }

  async #exchange(unit: number, request: ModbusRequest): Promise<Reply> {
    const { framing, timeoutMs, silenceMs, timers, clock } = this.#options;
    if (!framing.numbersRequests) await this.#untilSilent(unit);
    this.#transaction = (this.#transaction + 1) & 0xffff;
    const asked: Asked = { unit, request, transaction: this.#transaction };
    const outcome = await new Promise<Reply | TwinwatchError>((resolve) => {
      const cancel = timers.after('modbus-deadline', timeoutMs, () => this.#waiting?.settle(this.#timeout(asked)));
      const settle = (result: Reply | TwinwatchError) => {
        cancel();
        this.#waiting = null;
        resolve(result);
      };
      this.#waiting = { ...asked, settle };
      if (this.#stream === null) settle(this.#disconnected('the line went away'));
      else this.#stream.write(framing.encode(asked));
    });
    const failed = outcome instanceof TwinwatchError;
    if (framing.numbersRequests) {
      if (failed ? outcome.code === 'MODBUS_TIMEOUT' : outcome.kind === 'malformed') await this.#drop();
      if (silenceMs > 0) await timers.sleep('modbus-silence', silenceMs);
    } else {
      if (failed && outcome.code === 'MODBUS_TIMEOUT') {
        this.#owed.owe(unit, request, clock.monotonic());
        if (++this.#silentTimeouts >= SILENT_TIMEOUTS) await this.#drop();
      }
      const beforeMs = this.#lastByteMs;
      await timers.sleep('modbus-silence', silenceMs);
      await this.#stream?.caughtUp();
      if (!failed && (this.#received.length > 0 || this.#lastByteMs !== beforeMs)) {
        this.#owed.owe(unit, request, clock.monotonic());
        throw this.#outOfStep(unit, 'gave more than one answer to a request');
      }
    }
    if (failed) throw outcome;
    return outcome;
  }

  /** What is still on its way belongs to nobody; a request must not begin in the middle of it. */
  async #untilSilent(unit: number): Promise<void> {
    const { clock, timers, silenceMs, timeoutMs } = this.#options;
    const startedMs = clock.monotonic();
    for (;;) {
      const leftMs = silenceMs - (clock.monotonic() - this.#lastByteMs);
      if (leftMs <= 0) break;
      if (clock.monotonic() - startedMs > timeoutMs)
        throw new TwinwatchError(
          'MODBUS_MALFORMED',
          `${this.#options.name} never falls silent; see whether another master or a sender of another protocol is on the line`,
          { context: { unit, bus: this.#options.name }, retryable: true },
        );
      await timers.sleep('modbus-silence', Math.ceil(leftMs));
    }
    this.#received = NOTHING;
  }

  /** Before a read whose answer could not be told from one still owed: a read of another length, whose answer ends the doubt. */
  async #fallInStep(unit: number, request: ModbusRequest): Promise<void> {
    const standing = this.#owed.standing(unit, request, this.#options.clock.monotonic());
    if (standing.kind === 'in-step') return;
    if (standing.kind === 'prove') {
      const reply = await this.#exchange(unit, standing.probe);
      // An exception has the same shape for every length of read, so it proves nothing.
      if (reply.kind === 'words') {
        this.#owed.settled(unit);
        return;
      }
    }
    throw this.#outOfStep(unit, 'still owes an answer');
  }

  #onData(stream: ByteStream | null, bytes: Buffer): void {
    if (stream === null || this.#stream !== stream) return;
    this.#lastByteMs = this.#options.clock.monotonic();
    this.#silentTimeouts = 0;
    const received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    const { reply, rest } = this.#options.framing.scan(received, this.#waiting);
    this.#received = rest.length > LONGEST_RECEIVED_BYTES ? rest.subarray(-KEPT_BYTES) : rest;
    if (reply === null) return;
    if (this.#waiting !== null) this.#waiting.settle(reply);
    // Nobody waits, and what came cannot be a frame: where the next one begins is not known any more.
    else if (reply.kind === 'malformed') void this.#drop();
  }

  #onClosed(stream: ByteStream | null, reason: string): void {
    if (stream === null || this.#stream !== stream) return;
    this.#stream = null;
    this.#waiting?.settle(this.#disconnected(reason));
    if (!this.#closed) this.#options.log.warn({ bus: this.#options.name, reason }, 'connection to the bus lost');
  }

  async #drop(): Promise<void> {
    const stream = this.#stream;
    this.#stream = null;
    await stream?.close();
  }

  #timeout({ unit, request }: Asked): TwinwatchError {
    return new TwinwatchError(
      'MODBUS_TIMEOUT',
      `unit ${unit} on ${this.#options.name} did not answer within ${this.#options.timeoutMs} ms; check unit id, wiring and timeoutMs`,
      { context: { unit, ...request }, retryable: true },
    );
  }

  #outOfStep(unit: number, why: string): TwinwatchError {
    return new TwinwatchError(
      'MODBUS_OUT_OF_STEP',
      `unit ${unit} on ${this.#options.name} ${why}; it is not believed until that is settled`,
      { context: { unit }, retryable: true },
    );
  }

  #disconnected(reason: string): TwinwatchError {
    return new TwinwatchError('MODBUS_DISCONNECTED', `${this.#options.name}: ${reason}`, {
      context: { bus: this.#options.name },
      retryable: true,
    });
  }
}
