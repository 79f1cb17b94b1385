import type { ServerEvents } from '@twinwatch/core/wire/http';

/** Changes of the server's state, told to whoever listens now; nobody is waited for and nothing is kept. */
export class ChangeFeed {
  readonly #listeners = new Set<ChangeListener>();

  publish<K extends keyof ServerEvents>(event: K, data: ServerEvents[K]): void {
    for (const listener of this.#listeners) listener(event, data);
  }

  /** @returns ends it. */
  subscribe(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export type ChangeListener = <K extends keyof ServerEvents>(event: K, data: ServerEvents[K]) => void;
