import { isBitTable } from '@twinwatch/core/config/template-tag';
import { isWrite, type ModbusRequest, type ReadRequest, replyBytes } from './requests.js';

/** After a timeout on a line without transaction numbers, a unit is left alone for this many more: its late answer passes by while others are asked. */
const HOLD_OFF_TIMEOUTS = 2;
/** An unanswered request of a unit stops counting after this many timeouts: no device answers so late. */
const FORGET_AFTER_TIMEOUTS = 8;

export type Standing =
  | { readonly kind: 'in-step' }
  /** Too early to ask. */
  | { readonly kind: 'wait' }
  /** A good answer to this read, whose shape nothing owed has, ends the doubt. */
  | { readonly kind: 'prove'; readonly probe: ReadRequest };

/**
 * Which answers the units of a line still owe. Where nothing names the request, a unit that timed out must answer a read of *another length* than
 * it owes before any of its answers is believed again. A unit answers in order, so that answer proves that older ones are gone.
 */
export class OwedAnswers {
  readonly #timeoutMs: number;
  /** Unit → reply shape → monotonic ms at which it was given up. */
  readonly #owed = new Map<number, Map<string, number>>();

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  owe(unit: number, request: ModbusRequest, nowMs: number): void {
    const owed = this.#owed.get(unit) ?? new Map<string, number>();
    owed.set(replyShape(request), nowMs);
    this.#owed.set(unit, owed);
  }

  settled(unit: number): void {
    this.#owed.delete(unit);
  }

  /** Whether a unit may be asked for `request`, and what has to be asked before. */
  standing(unit: number, request: ModbusRequest, nowMs: number): Standing {
    const owed = this.#owed.get(unit);
    if (owed === undefined) return { kind: 'in-step' };
    const sinceLastMs = nowMs - Math.max(...owed.values());
    for (const [shape, sinceMs] of owed)
      if (nowMs - sinceMs > FORGET_AFTER_TIMEOUTS * this.#timeoutMs) owed.delete(shape);
    if (owed.size === 0) {
      this.#owed.delete(unit);
      return { kind: 'in-step' };
    }
    if (sinceLastMs < HOLD_OFF_TIMEOUTS * this.#timeoutMs) return { kind: 'wait' };
    const probe = otherLength(isWrite(request) ? { ...request, count: request.words.length } : request, owed);
    return probe === null ? { kind: 'wait' } : { kind: 'prove', probe };
  }
}

/** What a good answer looks like on a serial line, all that tells one from another there. */
function replyShape(request: ModbusRequest): string {
  return `${isWrite(request) ? 'write' : 'read'} ${request.table}:${replyBytes(request)}`;
}

/** A read at the same address, shorter where possible, whose answer has a shape that nothing owed has. */
function otherLength({ table, address, count: asked }: ReadRequest, owed: ReadonlyMap<string, number>) {
  const step = isBitTable(table) ? 8 : 1;
  for (let count = Math.min(125, asked - step); count >= 1; count -= step) {
    const probe = { table, address, count };
    if (!owed.has(replyShape(probe))) return probe;
  }
  const longer = { table, address, count: asked + step };
  return owed.has(replyShape(longer)) ? null : longer;
}
