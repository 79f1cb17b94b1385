import type { RoundView } from '@twinwatch/core/wire/http.js';

/**
 * Everything a field trial found, as plain data: what report.json holds word for word and what report.html draws.
 * Times are milliseconds since the epoch on the feed's clock unless a name says otherwise.
 */
export interface FieldTrialData {
  readonly schemaVersion: 1;
  readonly startedAtMs: number;
  readonly inputs: {
    readonly history: RecordedFile;
    readonly feed: RecordedFile & { readonly labelledRows: number; readonly unlabelledRows: number };
    readonly network: { readonly file: string; readonly sha256: string };
    readonly plant: string;
  };
  readonly setup: {
    readonly agents: number;
    readonly seed: number;
    readonly method: string;
    readonly roundsPlanned: number;
    /** True where the duty agent went on training on the feed, behind its quarantine. */
    readonly online: boolean;
    readonly intervalMs: number;
  };
  /** The detector that stood watch, fixed before the feed's first row. */
  readonly model: {
    readonly modelVersion: string;
    readonly round: number;
    readonly bytes: number;
    readonly inputs: number;
    readonly hidden: readonly number[];
    readonly members: number;
    readonly threshold: number;
    readonly onDelayRows: number;
    readonly offDelayRows: number;
    readonly hysteresis: number;
    /** On the twin's validation episodes. */
    readonly validationRocAuc: number;
    readonly releasedAtWallMs: number;
  };
  readonly acquisition: {
    readonly fedRows: number;
    readonly polledRows: number;
    /** Rows of the feed that the duty agent does not have, and rows it has that were never fed. */
    readonly missingRows: number;
    readonly unknownRows: number;
    /** Values that differ from the fed one by more than the register can hold, and the largest such difference seen. */
    readonly differingValues: number;
    readonly equal: boolean;
    readonly rowsPerSecond: number;
  };
  /** Null where the feed has no labels. */
  readonly scores: Scores | null;
  readonly baselines: readonly { readonly name: string; readonly description: string; readonly scores: Scores }[];
  readonly attacks: readonly AttackOutcome[];
  readonly alarms: readonly AlarmOutcome[];
  readonly falseAlarmsPerDay: number | null;
  readonly alarmsPerDay: number;
  readonly rounds: readonly RoundView[];
  readonly bytesPerRound: { readonly up: number; readonly down: number };
  /** From the last register of a row received to the alarm decision, milliseconds of wall clock. */
  readonly sensorToAlarmMs: { readonly p50: number | null; readonly p99: number | null };
  readonly agentRssBytes: number | null;
  readonly secondsByPhase: readonly { readonly phase: string; readonly seconds: number }[];
  readonly series: {
    readonly timeMs: readonly number[];
    /** Detector's score in [0, 1]; null where it abstained. */
    readonly score: readonly (number | null)[];
    /** Alarm state after the on and off delays: what is scored as "under attack". */
    readonly alarm: readonly boolean[];
    /** 1 attack, 0 normal, null not labelled. */
    readonly label: readonly (0 | 1 | null)[];
  };
}

export interface RecordedFile {
  readonly file: string;
  readonly sha256: string;
  readonly rows: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** Figures over labelled rows only. S = (S_TTD + S_CM) / 2 as the BATADAL competition defines them. */
export interface Scores {
  readonly S: number;
  readonly S_TTD: number;
  readonly S_CM: number;
  readonly TPR: number;
  readonly TNR: number;
  readonly precision: number;
  readonly f1: number;
  readonly balancedAccuracy: number;
  readonly accuracy: number;
  readonly rocAuc: number;
  readonly prAuc: number;
  readonly attacksDetected: number;
  readonly attacks: number;
  readonly falseAlarmsPerDay: number;
}

export interface AttackOutcome {
  /** 1 for the feed's first attack. */
  readonly number: number;
  readonly fromMs: number;
  /** Last labelled row, inclusive. */
  readonly toMs: number;
  readonly rows: number;
  readonly detectedAtMs: number | null;
  readonly delayMs: number | null;
  /** Share of the attack's rows in alarm, 0..1. */
  readonly coverage: number;
  readonly topTags: readonly string[];
}

export interface AlarmOutcome {
  readonly alarmId: string;
  readonly raisedAtMs: number;
  readonly clearedAtMs: number | null;
  /** Number of the attack it overlaps, null for a false alarm or an unlabelled stretch. */
  readonly attack: number | null;
  readonly topTags: readonly string[];
}
