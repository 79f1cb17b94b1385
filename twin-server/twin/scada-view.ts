import type { Random } from '@twinwatch/core/learning/random';
import type { Concealment } from './attacks.js';

/** The longest period of a replay for which rows are kept. */
const HISTORY_MS = 168 * 3_600_000;

export interface ScadaOptions {
  readonly tags: readonly { readonly name: string; readonly resolution: number; readonly kind: 'analog' | 'status' }[];
  readonly intervalMs: number;
  readonly random: Random;
}

/**
 * SCADA's side of the plant: what the PLCs send, row by row, with what an attacker hides on the way. Replays loop what SCADA had
 * recorded before the concealment began: the last `period`, or as much as there is.
 */
export class ScadaView {
  readonly #options: ScadaOptions;
  readonly #index: ReadonlyMap<string, number>;
  readonly #capacityRows: number;
  /** [capacityRows × tags], a ring of recorded rows. */
  readonly #history: Float64Array;
  /** Concealment → rows recorded before it began, [rows × tags]. */
  readonly #recordings = new Map<Concealment, Float64Array>();
  #rows = 0;

  constructor(options: ScadaOptions) {
    this.#options = options;
    this.#index = new Map(options.tags.map(({ name }, i) => [name, i]));
    this.#capacityRows = Math.ceil(HISTORY_MS / options.intervalMs);
    this.#history = new Float64Array(this.#capacityRows * options.tags.length);
  }

  /** The row SCADA records at `timeMs`, [tags], from the PLCs' readings [tags]. Once a row, in order of time. */
  record(timeMs: number, readings: Float64Array, concealments: readonly Concealment[]): Float64Array {
    const row = readings.slice();
    for (const known of this.#recordings.keys()) if (!concealments.includes(known)) this.#recordings.delete(known);
    for (const concealment of concealments) this.#conceal(concealment, timeMs, row);
    this.#history.set(row, (this.#rows % this.#capacityRows) * row.length);
    this.#rows++;
    return row;
  }

  #conceal(concealment: Concealment, timeMs: number, row: Float64Array): void {
    const columns = concealment.tags.map((name) => this.#index.get(name)!);
    if (concealment.kind === 'polyline') {
      const added = polylineAt(concealment.points, timeMs - concealment.startMs);
      for (const column of columns) row[column]! += added;
      return;
    }
    const { intervalMs, tags, random } = this.#options;
    const periodRows = concealment.kind === 'freeze' ? 1 : Math.max(1, Math.round(concealment.period / intervalMs));
    const recording = this.#recordings.get(concealment) ?? this.#lastRows(periodRows);
    this.#recordings.set(concealment, recording);
    const rows = recording.length / row.length;
    if (rows === 0) return;
    const sinceStart = Math.floor((timeMs - concealment.startMs) / intervalMs);
    const source = (sinceStart % rows) * row.length;
    const noise = concealment.kind === 'replay' ? concealment.noise : 0;
    for (const column of columns) {
      const { resolution, kind } = tags[column]!;
      const jitter = noise > 0 && kind === 'analog' ? noise * resolution * random.normal() : 0;
      row[column] = recording[source + column]! + jitter;
    }
  }

  /** Up to `wanted` rows before the present one, oldest first, as a copy. */
  #lastRows(wanted: number): Float64Array {
    const width = this.#options.tags.length;
    const rows = Math.min(wanted, this.#rows, this.#capacityRows);
    const copy = new Float64Array(rows * width);
    for (let i = 0; i < rows; i++) {
      const at = ((this.#rows - rows + i) % this.#capacityRows) * width;
      copy.set(this.#history.subarray(at, at + width), i * width);
    }
    return copy;
  }
}

/** Straight lines between the points; the first and last value outside. `points` are [ms, value] in order of time. */
export function polylineAt(points: readonly (readonly [number, number])[], ms: number): number {
  const next = points.findIndex(([at]) => at > ms);
  if (next === 0) return points[0]![1];
  if (next === -1) return points[points.length - 1]![1];
  const [[fromMs, from], [toMs, to]] = [points[next - 1]!, points[next]!];
  return from + ((to - from) * (ms - fromMs)) / (toMs - fromMs);
}
