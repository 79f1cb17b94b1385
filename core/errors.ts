/**
 * The one error family of the product. A message says what was wrong, where, and what to do;
 * the code is stable, prefixed by its layer, listed in ERROR_CODES and explained in docs/errors.md.
 */

/** Every code with the one-line meaning that docs/errors.md repeats. Codes are never reused. */
export const ERROR_CODES = {
  CONFIG_INVALID: 'A configuration file has one or more wrong fields; all are listed with line and path',
  CONFIG_UNREADABLE: 'A configuration file cannot be read or is not YAML',
  SCADA_NOT_ENCODABLE: 'A number cannot be written as the register type that is asked for',
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
