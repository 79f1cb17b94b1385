/** What a process hands to everything below its main.ts: time, waiting and logging, so that tests hand in others. */

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump when the machine's clock is set. */
  now(): number;
  /** Milliseconds from an arbitrary origin; never goes back. For durations and deadlines. */
  monotonic(): number;
}

export interface Timers {
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when aborted. `name` shows in diagnostics. */
  sleep(name: string, ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls back once after `ms` milliseconds unless the returned function is called first. */
  after(name: string, ms: number, callback: () => void): () => void;
}

/** The part of pino that is used here. */
export interface Logger {
  debug(context: object, message: string): void;
  info(context: object, message: string): void;
  warn(context: object, message: string): void;
  error(context: object, message: string): void;
}

/** The part of a Node.js process that says when to stop. */
interface StoppableProcess {
  once(event: 'SIGINT' | 'SIGTERM', listener: (signal: string) => void): unknown;
  once(event: 'disconnect', listener: () => void): unknown;
}

/** Resolves with the reason once a person, the system, or the end of the process that started this one asks it to stop. */
export function stopRequest(of: StoppableProcess): Promise<string> {
  return new Promise((stop) => {
    of.once('SIGINT', stop);
    of.once('SIGTERM', stop);
    of.once('disconnect', () => stop('the process that started it is gone'));
  });
}
