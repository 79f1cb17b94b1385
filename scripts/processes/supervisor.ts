import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Timers } from '@twinwatch/core/runtime';
import { type CrashHistory, decideRestart } from './restart-policy.js';

/** Children of the demonstration and the field trial: started, started again when they crash, and all stopped in the end. */

/** How long a child may take to stop before it is killed. */
const STOP_GRACE_MS = 8_000;

export interface ChildSpec {
  /** 'broker', 'agent site-1': for people, and the name of its log file. */
  readonly name: string;
  /** Arguments of the twinwatch command. */
  readonly args: readonly string[];
}

export type ChildEvent =
  | { readonly kind: 'message'; readonly name: string; readonly message: unknown }
  | { readonly kind: 'crashed'; readonly name: string; readonly how: string; readonly restartInMs: number }
  | { readonly kind: 'gave-up'; readonly name: string; readonly how: string; readonly log: string };

export interface SupervisorOptions {
  /** Compiled twinwatch command. */
  readonly command: string;
  readonly logDir: string;
  readonly timers: Timers;
  monotonic(): number;
  onEvent(event: ChildEvent): void;
}

interface Running {
  readonly spec: ChildSpec;
  process: ChildProcess | null;
  history: CrashHistory;
  cancelRestart: (() => void) | null;
  wanted: boolean;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #children = new Map<string, Running>();

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  start(spec: ChildSpec): void {
    mkdirSync(this.#options.logDir, { recursive: true });
    const child: Running = { spec, process: null, history: [], cancelRestart: null, wanted: true };
    this.#children.set(spec.name, child);
    this.#spawn(child);
  }

  /** Sends a message to a child that runs; false where it does not just now. */
  send(name: string, message: object): boolean {
    const child = this.#children.get(name)?.process;
    return child?.connected === true && child.send(message);
  }

  /** Process id of a child that runs, null otherwise. */
  pid(name: string): number | null {
    return this.#children.get(name)?.process?.pid ?? null;
  }

  /** Stops one child and waits until it has ended. */
  async stop(name: string): Promise<void> {
    const child = this.#children.get(name);
    if (child === undefined) return;
    child.wanted = false;
    child.cancelRestart?.();
    this.#children.delete(name);
    if (child.process !== null) await this.#end(child.process);
  }

  /** Stops every child, the last started first, so that agents can say goodbye while the broker is still there. */
  async stopAll(): Promise<void> {
    for (const child of this.#children.values()) child.wanted = false;
    const names = [...this.#children.keys()].reverse();
    const broker = names.filter((name) => name === 'broker');
    await Promise.all(names.filter((name) => name !== 'broker').map((name) => this.stop(name)));
    await Promise.all(broker.map((name) => this.stop(name)));
  }

  logOf(name: string): string {
    return join(this.#options.logDir, `${name.replace(/[^\w-]+/g, '-')}.log`);
  }

  #spawn(child: Running): void {
    const log = openSync(this.logOf(child.spec.name), 'a');
    // A process group of its own: Ctrl-C reaches only the parent, which then stops its children in order.
    const started = fork(this.#options.command, [...child.spec.args], {
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
    });
    closeSync(log);
    child.process = started;
    started.on('message', (message) => {
      this.#options.onEvent({ kind: 'message', name: child.spec.name, message });
    });
    started.on('error', (error) => this.#ended(child, started, error.message));
    started.on('exit', (code, signal) => this.#ended(child, started, signal ?? `exit code ${code}`));
  }

  #ended(child: Running, ended: ChildProcess, how: string): void {
    if (child.process !== ended) return;
    child.process = null;
    if (!child.wanted) return;
    const { name } = child.spec;
    const decision = decideRestart(child.history, this.#options.monotonic());
    child.history = decision.history;
    if (decision.restartInMs === null) {
      this.#options.onEvent({ kind: 'gave-up', name, how, log: this.logOf(name) });
      return;
    }
    this.#options.onEvent({ kind: 'crashed', name, how, restartInMs: decision.restartInMs });
    child.cancelRestart = this.#options.timers.after(`restart ${name}`, decision.restartInMs, () => {
      child.cancelRestart = null;
      if (child.wanted) this.#spawn(child);
    });
  }

  async #end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const cancelKill = this.#options.timers.after('kill', STOP_GRACE_MS, () => child.kill('SIGKILL'));
    await exited;
    cancelKill();
  }
}

/** The last lines of a child's log, for a message about its end. */
export function logTail(file: string, lines = 5): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log)';
  }
}
