import type { Tag } from '../scada/tag.js';

/**
 * One declared feature. `rows` counts sampling intervals. The order of the specs is the order of the model's inputs;
 * hourOfDay gives two inputs per harmonic (sine, cosine), residual one per window, rule two per window, every other type gives one.
 */
export type FeatureSpec =
  | { readonly type: 'raw'; readonly tag: string }
  | { readonly type: 'delta'; readonly tag: string; readonly rows: number }
  | { readonly type: 'lag'; readonly tag: string; readonly rows: number }
  | { readonly type: 'rollingMean'; readonly tag: string; readonly rows: number }
  | { readonly type: 'rollingStd'; readonly tag: string; readonly rows: number }
  | { readonly type: 'hourOfDay'; readonly harmonics: number }
  | ResidualSpec
  | RuleSpec;

/**
 * What a tag says beyond what other tags let one expect: its value, or its change over one row, minus
 * offset + Σ weight · value^power + Σ hours · (sin, cos of the time of day). A tank's mass balance, a pump's curve and a command
 * that is not obeyed are all of this form. The weights are fitted by the server (twin-server/aggregator/expectations.ts).
 */
export interface ResidualSpec {
  readonly type: 'residual';
  /** The tag that is explained, and whose input this is, whatever the terms are. */
  readonly tag: string;
  readonly of: 'value' | 'change';
  readonly terms: readonly ResidualTerm[];
  /** Weights of sin1, cos1, sin2, cos2 … of the UTC time of day, as in hourOfDay. */
  readonly hours: readonly number[];
  readonly offset: number;
  /** Rows of each mean of the residual, the newest row included; 1 is the residual itself. */
  readonly windows: readonly number[];
}

export interface ResidualTerm {
  readonly tag: string;
  /** 0 is the row itself. */
  readonly rowsAgo: number;
  readonly power: 1 | 2;
  readonly weight: number;
}

/**
 * Whether a switch does what the on-off rule of its controller says. Two inputs per window, both 0 while the rule is obeyed and else in the unit
 * of the rule's tag: `kept`, how far beyond its threshold the tag has been since the row before while the state has not followed; `switched`, how far from
 * its threshold the tag was in both rows when the state changed all the same. Between two rows the tag may have been anywhere, so that
 * an actuator that is switched several times a row shows some `switched` in normal running, too.
 */
export interface RuleSpec extends ControlRule {
  readonly type: 'rule';
  /** Rows of each mean, the newest row included; 1 is the row itself. */
  readonly windows: readonly number[];
}

/** When a controller switches something on, and when off. */
export interface ControlRule {
  /** Tag of the state, on from 0.5. */
  readonly state: string;
  readonly on: RuleCondition;
  readonly off: RuleCondition;
}

/** Exactly one of `below` and `above`, in the unit of `tag`. */
export interface RuleCondition {
  readonly tag: string;
  readonly below?: number | undefined;
  readonly above?: number | undefined;
}

/** What a detector looks at. Travels with tasks and inside the ONNX file; agents and server compare its hash. */
export interface FeatureSchema {
  readonly tags: readonly Tag[];
  readonly features: readonly FeatureSpec[];
  /** Sampling interval of rows. A gap of more than 1.5 intervals empties the window. */
  readonly intervalMs: number;
  /** A tag that is not good keeps its last good value for at most this many rows; then the detector abstains. */
  readonly holdRows: number;
}
