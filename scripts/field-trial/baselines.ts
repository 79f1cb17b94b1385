import { createRandom } from '@twinwatch/core/learning/random';
import type { Row } from '@twinwatch/core/scada/sample';
import type { Tag } from '@twinwatch/core/scada/tag';

/** What a detector must beat: answers that look at nothing, and one rule that any operator could write down. */

export interface Baseline {
  readonly name: string;
  readonly description: string;
  /** [rows]. */
  readonly score: readonly number[];
  /** [rows]. */
  readonly alarm: readonly boolean[];
}

export function baselines(
  history: readonly Row[],
  feed: readonly Row[],
  tags: readonly Tag[],
  seed: number,
): Baseline[] {
  const random = createRandom(`${seed}:baseline`);
  const drawn = feed.map(() => random.next());
  const constant = (alarm: boolean) => ({ score: feed.map(() => (alarm ? 1 : 0)), alarm: feed.map(() => alarm) });
  return [
    { name: 'always normal', description: 'never says anything', ...constant(false) },
    {
      name: 'always alarm',
      description: 'says attack at every row: what S is worth without any skill',
      ...constant(true),
    },
    {
      name: 'random',
      description: 'says attack at every other row, by chance',
      score: drawn,
      alarm: drawn.map((value) => value >= 0.5),
    },
    actuatorRule(history, feed, tags),
  ];
}

/**
 * Learned from the history: which combinations of states of pumps and valves there are, and how much flows with each state of each of them. A
 * row with a combination never seen, or a flow that its state never had, is an alarm; the score is how many of these it breaks.
 */
function actuatorRule(history: readonly Row[], feed: readonly Row[], tags: readonly Tag[]): Baseline {
  const states = [...tags.keys()].filter((i) => tags[i]!.kind === 'status');
  const pairs = states.flatMap((state) => {
    const flow = tags.findIndex(
      ({ name }) => name === tags[state]!.name.replace(/^S_/, 'F_') && !name.startsWith('S_'),
    );
    return flow === -1 ? [] : [{ state, flow }];
  });
  const combination = ({ values }: Row) => states.map((i) => values[i]).join();
  const seen = new Set(history.map(combination));
  const ranges = pairs.map(({ state, flow }) => {
    const byState = new Map<number, { low: number; high: number }>();
    for (const { values } of history) {
      const known = byState.get(values[state]!) ?? { low: Number.POSITIVE_INFINITY, high: Number.NEGATIVE_INFINITY };
      byState.set(values[state]!, {
        low: Math.min(known.low, values[flow]!),
        high: Math.max(known.high, values[flow]!),
      });
    }
    return { state, flow, byState, margin: tags[flow]!.resolution };
  });
  const broken = (row: Row): number => {
    const flows = ranges.filter(({ state, flow, byState, margin }) => {
      const range = byState.get(row.values[state]!);
      const value = row.values[flow]!;
      return range !== undefined && (value < range.low - margin || value > range.high + margin);
    });
    return flows.length + (seen.has(combination(row)) ? 0 : 1);
  };
  const score = feed.map(broken);
  return {
    name: 'actuator rule',
    description: 'a combination of pump and valve states, or a flow with a state, that the history does not have',
    score,
    alarm: score.map((value) => value > 0),
  };
}
