import { type AgentHistory, HISTORY_ROWS, type HistoryView } from '@twinwatch/core/wire/http';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';

/** Values of all agents together, 4 bytes each: 16 MB. Agents and tags that come when it is full are not kept. */
export const MAXIMUM_CELLS = 4_000_000;

/** A float has seven digits; a chart needs fewer, and they travel as text. */
const DIGITS = 5;

interface Ring {
  /** Rows in use; the oldest is at `next` once all are. */
  count: number;
  next: number;
  lastMs: number;
  readonly atMs: Float64Array;
  /** NaN where the detector abstained. */
  readonly score: Float32Array;
  /** Tag → [HISTORY_ROWS], NaN where it was not good. */
  readonly values: Map<string, Float32Array>;
}

/**
 * The last rows of every agent's telemetry, so that a page that is opened or loaded again shows the last minutes at once. In memory only, of
 * fixed size: a server that starts begins with none.
 */
export class TelemetryHistory {
  readonly #rings = new Map<string, Ring>();
  readonly #maximumCells: number;
  #cells = 0;

  constructor(maximumCells = MAXIMUM_CELLS) {
    this.#maximumCells = maximumCells;
  }

  /** @param telemetry whole, not changes alone. */
  add(agent: string, telemetry: Telemetry): void {
    const ring = this.#rings.get(agent) ?? this.#begin(agent);
    if (ring === null || (ring.count > 0 && telemetry.atMs === ring.lastMs)) return;
    // A plant that starts again starts its clock again: one time axis cannot show both.
    if (telemetry.atMs < ring.lastMs) {
      ring.count = 0;
      ring.next = 0;
    }
    const row = ring.next;
    ring.atMs[row] = telemetry.atMs;
    ring.score[row] = telemetry.score ?? Number.NaN;
    for (const column of ring.values.values()) column[row] = Number.NaN;
    for (const [tag, { value, quality }] of Object.entries(telemetry.values)) {
      if (quality !== 'good' || value === null) continue;
      const column = ring.values.get(tag) ?? this.#addTag(ring, tag);
      if (column !== null) column[row] = value;
    }
    ring.lastMs = telemetry.atMs;
    ring.next = (row + 1) % HISTORY_ROWS;
    ring.count = Math.min(HISTORY_ROWS, ring.count + 1);
  }

  /** Times and scores of every agent. */
  scores(): HistoryView {
    return Object.fromEntries([...this.#rings].map(([agent, ring]) => [agent, columnsOf(ring)]));
  }

  /** Of one agent, its tags as well; empty for one that is not kept. */
  of(agent: string): AgentHistory {
    const ring = this.#rings.get(agent);
    if (ring === undefined) return { atMs: [], score: [], values: {} };
    const values = [...ring.values].map(([tag, column]) => [tag, numbers(ring, column)] as const);
    return { ...columnsOf(ring), values: Object.fromEntries(values) };
  }

  #begin(agent: string): Ring | null {
    // A time takes twice the room of a value.
    if (!this.#takes(3 * HISTORY_ROWS)) return null;
    const ring: Ring = {
      ...{ count: 0, next: 0, lastMs: Number.NEGATIVE_INFINITY },
      ...{ atMs: new Float64Array(HISTORY_ROWS), score: new Float32Array(HISTORY_ROWS), values: new Map() },
    };
    this.#rings.set(agent, ring);
    return ring;
  }

  #addTag(ring: Ring, tag: string): Float32Array | null {
    if (!this.#takes(HISTORY_ROWS)) return null;
    const column = new Float32Array(HISTORY_ROWS).fill(Number.NaN);
    ring.values.set(tag, column);
    return column;
  }

  #takes(cells: number): boolean {
    if (this.#cells + cells > this.#maximumCells) return false;
    this.#cells += cells;
    return true;
  }
}

function columnsOf(ring: Ring): AgentHistory {
  return { atMs: rowsOf(ring).map((row) => ring.atMs[row]!), score: numbers(ring, ring.score) };
}

/** Places of the rows in use, oldest first. */
function rowsOf({ count, next }: Ring): number[] {
  return Array.from({ length: count }, (_, i) => (next - count + i + HISTORY_ROWS) % HISTORY_ROWS);
}

function numbers(ring: Ring, column: Float32Array): (number | null)[] {
  return rowsOf(ring).map((row) => {
    const value = column[row]!;
    return Number.isNaN(value) ? null : Number(value.toPrecision(DIGITS));
  });
}
