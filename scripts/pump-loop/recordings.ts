import { createRandom, type Random } from '@twinwatch/core/learning/random';
import { type ActiveFault, drawFault, FAULTS, type Fault } from './faults.js';
import { type LoopRow, PumpLoop, TAGS } from './pump-loop.js';

/** Rows of pump loops, normal and with faults, as their owner would have recorded or simulated them. */

const DAY_ROWS = 1_440;
const EPISODE_ROWS = DAY_ROWS / 2;
/** The loop recovers after a fault: of these rows nobody says whether they are normal. */
const RECOVERY_ROWS = 60;
const START_MS = Date.UTC(2026, 2, 2);

export interface LabelledRow extends LoopRow {
  /** −999 where it is not known. */
  readonly label: 0 | 1 | -999;
}

/** Half a day each, every one of another loop; every fourth one without a fault. */
export function episodesOfTwin(episodes: number, seed: number): LabelledRow[][] {
  return Array.from({ length: episodes }, (_, i) => {
    const random = createRandom(`pump loop twin ${seed}/${i}`);
    const startMs = START_MS + random.integer(56) * 43_200_000;
    return record(random, startMs, EPISODE_ROWS, i % 4 === 0 ? [] : FAULTS);
  });
}

/** Normal running, for agents to learn from. */
export function siteRows(seed: string, days: number): LabelledRow[] {
  return record(createRandom(`pump loop ${seed}`), START_MS, days * DAY_ROWS, []);
}

/** A loop that nobody has learned from, with faults drawn anew. */
export function feedRows(seed: string, days: number): LabelledRow[] {
  return record(createRandom(`pump loop ${seed}`), START_MS + 30 * 86_400_000, days * DAY_ROWS, FAULTS);
}

function record(random: Random, startMs: number, count: number, kinds: readonly Fault['kind'][]): LabelledRow[] {
  const loop = new PumpLoop(random.next(), startMs);
  const gap = () => 60 + random.integer(180);
  let active: ActiveFault | null = null;
  let quiet = gap();
  let recovering = 0;
  let turn = random.integer(FAULTS.length);
  return Array.from({ length: count }, (): LabelledRow => {
    if (active === null && kinds.length > 0 && --quiet < 0) {
      active = { fault: drawFault(random, kinds[turn++ % kinds.length]!), row: 0 };
      quiet = gap();
    }
    const row = loop.next(active);
    if (active !== null) {
      const next: number = active.row + 1;
      active = next < active.fault.rows ? { ...active, row: next } : null;
      recovering = RECOVERY_ROWS;
      return { ...row, label: 1 };
    }
    return { ...row, label: recovering-- > 0 ? -999 : 0 };
  });
}

/** time, the tags, label (1 fault, 0 normal, −999 unknown), episode. */
export function csvOf(episodes: readonly (readonly LabelledRow[])[]): string {
  const lines = episodes.flatMap((rows, episode) =>
    rows.map(({ timeMs, values, label }) =>
      [
        new Date(timeMs).toISOString(),
        ...values.map((value) => String(Number(value.toFixed(2)))),
        label,
        episode + 1,
      ].join(),
    ),
  );
  return `${['time', ...TAGS, 'label', 'episode'].join()}\n${lines.join('\n')}\n`;
}
