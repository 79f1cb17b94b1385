/**
 * The one error family of the product. A message says what was wrong, where, and what to do;
 * the code is stable, prefixed by its layer, listed in ERROR_CODES and explained in docs/errors.md.
 */

/** Every code with the one-line meaning that docs/errors.md repeats. Codes are never reused. */
export const ERROR_CODES = {
  CONFIG_INVALID: 'A configuration file has one or more wrong fields; all are listed with line and path',
  CONFIG_UNREADABLE: 'A configuration file cannot be read or is not YAML',
  SCADA_NOT_ENCODABLE: 'A number cannot be written as the register type that is asked for',
  WIRE_EXCHANGE_INVALID: 'The blob of twin rows that agents mix into their own cannot be read',
  JOURNAL_UNREADABLE: "The server's journal cannot be opened, or another server has it open",
  LINEAGE_MISMATCH: 'Tags, features or moments that were sent do not belong to the schema of this federation',
  LEARNER_NO_ATTACKS: 'The twin rows hold no attack, or no normal row, to learn from or to validate on',
  RELEASE_ONNX_DIFFERS: 'The exported ONNX file gives other scores than the network it was made from; it is not released',
  API_PORT_BUSY: 'The HTTP port of the server is taken by another process',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorDetails {
  /** Facts that help to find the place: file, line, tag, address, agent, round. */
  readonly context?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
  /** True where the same call may succeed later without anybody changing anything. */
  readonly retryable?: boolean;
}

export class TwinwatchError extends Error {
  readonly code: ErrorCode;
  readonly context: Readonly<Record<string, unknown>>;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'TwinwatchError';
    this.code = code;
    this.context = details.context ?? {};
    this.retryable = details.retryable ?? false;
  }
}
