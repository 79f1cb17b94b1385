import { TwinwatchError } from '@twinwatch/core/errors';
import { CommanderError } from 'commander';

/** 2 where a person's input or surroundings are wrong, 1 where the product is or a demonstration failed. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof TwinwatchError) return error.code === 'DEMO_FAILED' || error.code === 'TRIAL_FAILED' ? 1 : 2;
  return 1;
}

/** What a person sees: code and message; the stack only where asked for, or where the error is none of ours. */
export function describeError(error: unknown, verbose: boolean): string {
  if (error instanceof CommanderError) return '';
  if (error instanceof TwinwatchError) {
    const head = `${error.code}: ${error.message}`;
    return verbose ? `${head}\n${error.stack ?? ''}${causesOf(error)}` : head;
  }
  const unexpected = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `This is a fault of twinwatch itself, please report it:\n${unexpected}`;
}

function causesOf(error: Error): string {
  return error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? error.cause.message}` : '';
}
