import { type Concern, type KnownBroker, settingFor } from './known-brokers.js';

/** OK: safe. CHANGE: unsafe as it is. UNKNOWN: cannot be seen from outside, or this user may not look. */
type Verdict = 'OK' | 'CHANGE' | 'UNKNOWN';

export interface Finding {
  readonly concern: Concern;
  readonly verdict: Verdict;
  /** What was seen, in words. */
  readonly found: string;
}

export const isSafe = (findings: readonly Finding[]) => findings.every(({ verdict }) => verdict !== 'CHANGE');

/** A table for people: verdict, what it is about, what was found; and below a finding that is not OK, what to set. */
export function findingsTable(findings: readonly Finding[], broker: KnownBroker): string {
  const width = (cells: readonly string[]) => Math.max(...cells.map((cell) => cell.length));
  const verdicts = width(findings.map(({ verdict }) => verdict));
  const concerns = width(findings.map(({ concern }) => concern));
  return findings
    .flatMap(({ verdict, concern, found }) => {
      const line = `${verdict.padEnd(verdicts)}  ${concern.padEnd(concerns)}  ${found}`;
      if (verdict === 'OK') return [line];
      return [line, `${' '.repeat(verdicts + concerns + 4)}→ ${settingFor(broker, concern)}`];
    })
    .join('\n');
}
