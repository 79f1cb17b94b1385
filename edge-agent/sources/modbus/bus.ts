import { isBitTable } from '@twinwatch/core/config/template-tag';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import type { ByteStream, OpenStream } from './byte-stream.js';
import { dataBytes, type Framing, type ReadRequest, type Reply } from './frames.js';

export interface BusOptions {
  readonly name: string;
  readonly open: OpenStream;
  readonly framing: Framing;
  readonly timeoutMs: number;
  /** Silence kept after an exchange, ms. */
  readonly delayMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

const FIRST_RECONNECT_MS = 100;
const LONGEST_RECONNECT_MS = 10_000;
/** After a timeout on a serial line, a unit is left alone for this many more: its late answer passes by while others are asked. */
const HOLD_OFF_TIMEOUTS = 2;
/** An unanswered request of a unit stops counting after this many timeouts: no device answers so late. */
const FORGET_AFTER_TIMEOUTS = 20;

interface Waiting {
  readonly request: ReadRequest;
  readonly unit: number;
  readonly transaction: number;
  received: Buffer;
  settle(reply: Reply | TwinwatchError): void;
}

/**
 * One bus: one owner of the port, one queue, one request in flight, a deadline of its own on each.
 *
 * A late answer is never taken for the next one. On TCP a timeout closes the connection, and the transaction id must match. On RTU, where
 * nothing names the request, a unit that timed out is left alone for a while (the others are not); then it must answer a read of *another length* than
 * it owes, sent for that purpose, before any of its answers is believed again. A unit answers in order, so that answer proves that older ones are gone.
 */
export class ModbusBus {
  readonly #options: BusOptions;
  #stream: ByteStream | null = null;
  #waiting: Waiting | null = null;
  #tail: Promise<unknown> = Promise.resolve();
  #transaction = 0;
  #closed = false;
  #openFailures = 0;
  #reopenAtMs = Number.NEGATIVE_INFINITY;
  /** Unit → reply shape that is still owed → monotonic ms at which it was given up. RTU only. */
  readonly #owed = new Map<number, Map<string, number>>();

  constructor(options: BusOptions) {
    this.#options = options;
  }

  /**
   * Reads registers or bits of one unit, after all reads asked for before.
   * @throws TwinwatchError MODBUS_TIMEOUT, MODBUS_EXCEPTION (context.exception), MODBUS_MALFORMED, MODBUS_DISCONNECTED,
   * MODBUS_UNREACHABLE, MODBUS_OUT_OF_STEP; always settles within twice the timeout of its turn.
   */
  read(unit: number, request: ReadRequest): Promise<Uint16Array> {
    const turn = this.#tail.then(() => this.#read(unit, request));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  /** Rejects what is in flight and queued; resolves when the port is free. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting?.settle(this.#disconnected('the bus was closed'));
    await this.#drop();
    await this.#tail;
    await this.#drop();
  }

  async #read(unit: number, request: ReadRequest): Promise<Uint16Array> {
    await this.#ensureOpen();
    if (this.#options.framing.name === 'rtu') await this.#fallInStep(unit, request);
    return this.#words(await this.#exchange(unit, request), unit, request);
  }

  #words(reply: Reply, unit: number, request: ReadRequest): Uint16Array {
    if (reply.kind === 'words') return reply.words;
    const where = `unit ${unit} on ${this.#options.name}, ${request.table} ${request.address}–${request.address + request.count - 1}`;
    if (reply.kind === 'exception')
      throw new TwinwatchError('MODBUS_EXCEPTION', `${where}: the device answers exception ${reply.exception}`, {
        context: { unit, ...request, exception: reply.exception },
      });
    throw new TwinwatchError('MODBUS_MALFORMED', `${where}: the answer is not one to this request: ${reply.detail}`, {
      context: { unit, ...request },
      retryable: true,
    });
  }

  async #ensureOpen(): Promise<void> {
    const { clock, random, open } = this.#options;
    if (this.#closed) throw this.#disconnected('the bus was closed');
    if (this.#stream !== null) return;
    if (clock.monotonic() < this.#reopenAtMs) throw this.#disconnected('waiting before the next attempt to connect');
    try {
      const stream = await open({
        data: (bytes) => this.#onData(bytes),
        closed: (reason) => this.#onClosed(stream, reason),
      });
      this.#stream = stream;
      this.#openFailures = 0;
    } catch (error) {
      const pauseMs = Math.min(LONGEST_RECONNECT_MS, FIRST_RECONNECT_MS * 2 ** Math.min(10, this.#openFailures++));
      this.#reopenAtMs = clock.monotonic() + pauseMs * (0.5 + random());
      throw error;
    }
    if (this.#closed) {
      await this.#drop();
      throw this.#disconnected('the bus was closed');
    }
  }

  async #exchange(unit: number, request: ReadRequest): Promise<Reply> {
    const { framing, timeoutMs, delayMs, timers } = this.#options;
    this.#transaction = (this.#transaction + 1) & 0xffff;
    const transaction = this.#transaction;
    const outcome = await new Promise<Reply | TwinwatchError>((settle) => {
      const cancel = timers.after('modbus-deadline', timeoutMs, () =>
        settle(
          new TwinwatchError(
            'MODBUS_TIMEOUT',
            `unit ${unit} on ${this.#options.name} did not answer within ${timeoutMs} ms; check unit id, wiring and timeoutMs`,
            { context: { unit, ...request }, retryable: true },
          ),
        ),
      );
      this.#waiting = {
        request,
        unit,
        transaction,
        received: Buffer.alloc(0),
        settle: (result) => {
          cancel();
          settle(result);
        },
      };
      if (this.#stream === null) this.#waiting.settle(this.#disconnected('the line went away'));
      else this.#stream.write(framing.encode(unit, request, transaction));
    });
    this.#waiting = null;
    const timedOut = outcome instanceof TwinwatchError && outcome.code === 'MODBUS_TIMEOUT';
    if (timedOut && framing.name === 'rtu') this.#owe(unit, request);
    const unusable = timedOut || (!(outcome instanceof TwinwatchError) && outcome.kind === 'malformed');
    if (unusable && framing.name === 'tcp') await this.#drop();
    if (delayMs > 0) await timers.sleep('modbus-silence', delayMs);
    if (outcome instanceof TwinwatchError) throw outcome;
    return outcome;
  }

  /** Before a read whose answer could not be told from one still owed: a read of another length, whose answer ends the doubt. */
  async #fallInStep(unit: number, request: ReadRequest): Promise<void> {
    const owed = this.#owed.get(unit);
    if (owed === undefined) return;
    const { clock, timeoutMs } = this.#options;
    const sinceLastMs = clock.monotonic() - Math.max(...owed.values());
    for (const [shape, sinceMs] of owed)
      if (clock.monotonic() - sinceMs > FORGET_AFTER_TIMEOUTS * timeoutMs) owed.delete(shape);
    const probe = sinceLastMs < HOLD_OFF_TIMEOUTS * timeoutMs ? null : otherLength(request, owed);
    if (owed.size > 0 && probe !== null) {
      const reply = await this.#exchange(unit, probe);
      // An exception has the same shape for every length of read, so it proves nothing.
      if (reply.kind === 'words') owed.clear();
    }
    if (owed.size === 0) this.#owed.delete(unit);
    else
      throw new TwinwatchError(
        'MODBUS_OUT_OF_STEP',
        `unit ${unit} on ${this.#options.name} still owes an answer; it is not believed until that is settled`,
        {
          context: { unit },
          retryable: true,
        },
      );
  }

  #owe(unit: number, request: ReadRequest): void {
    const owed = this.#owed.get(unit) ?? new Map<string, number>();
    owed.set(replyShape(request), this.#options.clock.monotonic());
    this.#owed.set(unit, owed);
  }

  #onData(bytes: Buffer): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    waiting.received = waiting.received.length === 0 ? bytes : Buffer.concat([waiting.received, bytes]);
    const reply = this.#options.framing.findReply(waiting.received, waiting.unit, waiting.request, waiting.transaction);
    if (reply !== null) waiting.settle(reply);
    // A line that babbles must not fill memory: no exchange is longer than a few hundred bytes.
    else if (waiting.received.length > 8_192) waiting.received = waiting.received.subarray(-1_024);
  }

  #onClosed(stream: ByteStream, reason: string): void {
    if (this.#stream !== stream) return;
    this.#stream = null;
    this.#waiting?.settle(this.#disconnected(reason));
    if (!this.#closed) this.#options.log.warn({ bus: this.#options.name, reason }, 'connection to the bus lost');
  }

  async #drop(): Promise<void> {
    const stream = this.#stream;
    this.#stream = null;
    await stream?.close();
  }

  #disconnected(reason: string): TwinwatchError {
    return new TwinwatchError('MODBUS_DISCONNECTED', `${this.#options.name}: ${reason}`, {
      context: { bus: this.#options.name },
      retryable: true,
    });
  }
}

/** What a good answer looks like on a serial line, all that tells one from another there. */
function replyShape(request: ReadRequest): string {
  return `${request.table}:${dataBytes(request)}`;
}

/** A read at the same address, shorter where possible, whose answer has a shape that nothing owed has. */
function otherLength(request: ReadRequest, owed: ReadonlyMap<string, number>): ReadRequest | null {
  const step = isBitTable(request.table) ? 8 : 1;
  for (let count = Math.min(125, request.count - step); count >= 1; count -= step) {
    const probe = { ...request, count };
    if (!owed.has(replyShape(probe))) return probe;
  }
  const longer = { ...request, count: request.count + step };
  return owed.has(replyShape(longer)) ? null : longer;
}
