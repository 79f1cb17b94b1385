import { type ErrorCode, TwinwatchError } from '@twinwatch/core/errors';

const STATUS: Partial<Record<ErrorCode, number>> = {
  API_CROSS_SITE: 403,
  API_LOGIN_REQUIRED: 401,
  API_LOGIN_REFUSED: 401,
  API_NOT_ALLOWED: 403,
  API_REQUEST_INVALID: 400,
  API_UNKNOWN_ALARM: 404,
  API_UNKNOWN_AGENT: 404,
  API_UNKNOWN_MODEL: 404,
  API_UNKNOWN_DECISION: 404,
  API_COMMAND_REUSED: 409,
  API_TOO_MANY_REQUESTS: 429,
  API_TOO_MANY_WAITING: 429,
};

/** What a request that failed is answered with: a code for programs, words for people. */
export function refusal(error: Error & { statusCode?: number }): {
  readonly status: number;
  readonly body: { readonly code: ErrorCode; readonly error: string };
} {
  const isOurs = error instanceof TwinwatchError;
  return {
    status: isOurs ? (STATUS[error.code] ?? 500) : (error.statusCode ?? 500),
    body: { code: isOurs ? error.code : 'API_REQUEST_INVALID', error: error.message },
  };
}
