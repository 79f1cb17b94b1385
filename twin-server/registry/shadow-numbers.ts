import type { ModelReport } from '@twinwatch/core/wire/messages';

/**
 * What agents tell of a model that runs beside or in place of the current one, taken together so that no single one decides: numbers are an agent's
 * word, and nobody can look after them.
 */

/** What an agent counted on its own rows, with both models beside each other. */
export type ShadowNumbers = Omit<ModelReport, 'kind' | 'modelVersion'>;

export interface Bounds {
  /** Share of normal rows above the threshold that the detector was made for. */
  readonly maximumFalseRate: number;
  readonly falseRateMargin: number;
}

export interface Judged {
  /** Of all that have told, each with no more than the agent in the middle. */
  readonly rows: number;
  readonly rate: number;
  readonly currentRate: number;
  readonly bound: number;
  /** Above the bound even without the worst. */
  readonly isBad: boolean;
  readonly failed: readonly string[];
  /** It does not run on more than may be left out. */
  readonly isBroken: boolean;
  readonly words: string;
}

/** Of the agents that were asked; from three on one at least. Of two nobody knows which one is wrong. */
const LEFT_OUT_SHARE = 0.2;
const FEWEST = 3;
/** Of the agents that were asked. */
const LARGEST_FAILED_SHARE = 0.1;

/** @param asked how many agents were asked, some of which may not have told yet. */
export function judged(
  numbers: Readonly<Record<string, ShadowNumbers>>,
  asked: number,
  { maximumFalseRate, falseRateMargin }: Bounds,
): Judged {
  const told = Object.entries(numbers);
  const counted = told.map(([, one]) => one).filter(({ failed, rows }) => !failed && rows > 0);
  const most = counted.map(({ rows }) => rows).sort((a, b) => a - b)[Math.floor((counted.length - 1) / 2)] ?? 0;
  const excess = (one: Tally) => one.rate - Math.max(one.currentRate, maximumFalseRate);
  const ordered = counted.map((one) => tally(one, most)).sort((a, b) => excess(a) - excess(b));
  const boundOf = (all: Tally) => Math.max(all.currentRate, maximumFalseRate) + falseRateMargin;
  const aside = leftOut(ordered.length, LEFT_OUT_SHARE);
  const middle = together(ordered.slice(aside, ordered.length - aside));
  const withoutWorst = together(ordered.slice(0, Math.max(0, ordered.length - leftOut(asked, LEFT_OUT_SHARE))));
  const failed = told.filter(([, one]) => one.failed).map(([agent, { detail }]) => `${agent}: ${detail}`);
  const bound = boundOf(middle);
  const rows = counted.reduce((sum, one) => sum + one.rows, 0);
  const without = aside === 0 ? '' : ` (without the ${aside} best and worst of ${ordered.length} agents)`;
  return {
    ...{ rows: together(ordered).rows, rate: middle.rate, currentRate: middle.currentRate, bound, failed },
    isBad: withoutWorst.rate > boundOf(withoutWorst),
    isBroken: failed.length > leftOut(asked, LARGEST_FAILED_SHARE),
    words: `${percent(middle.rate)} of ${rows} rows are above its threshold${without}, ${percent(middle.currentRate)} above that of the current one, at most ${percent(bound)} is allowed`,
  };
}

function leftOut(agents: number, share: number): number {
  return agents < FEWEST ? 0 : Math.max(1, Math.floor(agents * share));
}

interface Tally {
  readonly rows: number;
  readonly rate: number;
  readonly currentRate: number;
}

/** @param most rows that one agent counts for, however many it says it has. */
function tally({ rows, above, currentAbove, errors }: ShadowNumbers, most: number): Tally {
  return {
    rows: Math.min(rows, most),
    rate: Math.min(1, (above + errors) / rows),
    currentRate: Math.min(1, currentAbove / rows),
  };
}

function together(all: readonly Tally[]): Tally {
  const rows = all.reduce((sum, one) => sum + one.rows, 0);
  const mean = (of: (one: Tally) => number) =>
    rows === 0 ? 0 : all.reduce((sum, one) => sum + of(one) * one.rows, 0) / rows;
  return { rows, rate: mean(({ rate }) => rate), currentRate: mean(({ currentRate }) => currentRate) };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
