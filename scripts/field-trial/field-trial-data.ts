import type { RoundView } from '@twinwatch/core/wire/http';

/**
 * Everything a field trial found out: what the report is drawn from, and what report.json holds (docs/field-trial-report.md).
 * Times are ms since epoch on the feed's own clock unless named otherwise.
 */
export interface FieldTrialData {
  readonly run: FieldTrialRun;
  /** Of the detector under trial; null where the feed has no labels. */
  readonly scores: DetectorScores | null;
  /** Empty where the feed has no labels. */
  readonly baselines: readonly BaselineScores[];
  /** One per labelled episode, in order of time; empty where the feed has no labels. */
  readonly attacks: readonly AttackRow[];
  /** As the duty agent raised and cleared them, in order of time. */
  readonly alarms: readonly AlarmRow[];
  readonly series: ScoreSeries;
  readonly rounds: readonly TrialRound[];
  /** From row received to alarm decided, wall-clock milliseconds; null where nothing was measured. */
  readonly latency: { readonly p50Ms: number; readonly p99Ms: number; readonly count: number } | null;
  readonly agentRss: readonly { readonly agent: string; readonly rssBytes: number }[];
}

interface FieldTrialRun {
  readonly softwareVersion: string;
  /** Wall clock. */
  readonly startedAtMs: number;
  readonly files: readonly {
    readonly role: 'history' | 'feed' | 'network' | 'labels';
    readonly name: string;
    /** Null for a file that is not a table. */
    readonly rows: number | null;
    readonly sha256: string;
  }[];
  readonly seeds: Readonly<Record<string, number>>;
  readonly agents: number;
  readonly method: string;
  readonly intervalMs: number;
  readonly model: {
    readonly version: string;
    readonly round: number;
    readonly inputs: number;
    readonly hidden: readonly number[];
    readonly members: number;
    readonly bytes: number;
    /** In words: what the threshold and the alarm delays were chosen from. */
    readonly chosenFrom: string;
  };
  /** Rows the plant served, and rows the duty agent assembled from its polls: equal, or something was lost. */
  readonly fed: number;
  readonly polled: number;
  readonly gaps: number;
  readonly duplicates: number;
  /** True where the agent went on training on the feed (`--online`). */
  readonly online: boolean;
  /** Wall clock, in order; together the whole run. */
  readonly durations: readonly { readonly step: string; readonly ms: number }[];
}

/** BATADAL's score and its parts, and the usual ones; S is ½·STTD + ½·SCM, SCM is (TPR + TNR) / 2. */
export interface DetectorScores {
  readonly S: number;
  readonly STTD: number;
  readonly SCM: number;
  readonly TPR: number;
  readonly TNR: number;
  readonly F1: number;
  readonly balancedAccuracy: number;
  readonly rocAuc: number;
  readonly prAuc: number;
  readonly falseAlarmsPerDay: number;
  /** Share of the attacks during which an alarm was on. */
  readonly episodeRecall: number;
  /** Share of the alarms that touch an attack; null without alarms. */
  readonly episodePrecision: number | null;
  /** About 0.7 at random: see docs/metrics.md. */
  readonly affiliationF1: number;
}

export interface BaselineScores {
  /** 'constant', 'random', 'actuator rule'. */
  readonly name: string;
  /** One sentence: what it does. */
  readonly description: string;
  readonly scores: DetectorScores;
}

export interface AttackRow {
  readonly name: string;
  readonly startMs: number;
  /** Start of the last row under attack. */
  readonly endMs: number;
  readonly detected: boolean;
  readonly detectedAtMs: number | null;
  /** The whole length of the attack where it was missed. */
  readonly timeToDetectionHours: number;
  readonly durationHours: number;
}

export interface AlarmRow {
  readonly raisedAtMs: number;
  /** Null where it was still active at the end of the feed. */
  readonly clearedAtMs: number | null;
  readonly score: number;
  /** Most first. */
  readonly contributions: readonly { readonly tag: string; readonly share: number }[];
}

/** Arrays of one length, one element per row of the feed. */
export interface ScoreSeries {
  readonly timeMs: readonly number[];
  /** Null where the detector abstained or was warming up. */
  readonly score: readonly (number | null)[];
  readonly threshold: number;
  readonly alarm: readonly boolean[];
  /** Null where the feed has no labels; an element is null where that row is not labelled. */
  readonly labels: readonly (boolean | null)[] | null;
}

export interface TrialRound extends Pick<RoundView, 'round' | 'validation' | 'bytesUp' | 'bytesDown' | 'milliseconds'> {
  readonly accepted: number;
  readonly rejected: number;
}
