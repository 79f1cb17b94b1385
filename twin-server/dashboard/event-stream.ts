import type { ServerEvents } from '@twinwatch/core/wire/http';
import type { PageEvent } from './page-state.js';

/** The part of the browser's EventSource that is used. */
export interface Source {
  readonly readyState: number;
  addEventListener(type: string, listener: (event: Event) => void): void;
  close(): void;
}

export interface StreamOptions {
  readonly open: () => Source;
  readonly onEvents: (events: readonly PageEvent[]) => void;
  readonly now: () => number;
  /** Calls back once; the returned function cancels. */
  readonly after: (ms: number, callback: () => void) => () => void;
  /** In [0, 1), for the jitter of reconnects. */
  readonly random: () => number;
}

/** Events that come within this time are drawn together. */
const BATCH_MS = 150;
/** Without any event for this long the stream is opened anew: a half-open connection says nothing, and every stream starts with the whole state. */
const SILENCE_MS = 45_000;
const RETRY_MS = { first: 1_000, most: 15_000 };

const NAMES: Readonly<Record<keyof ServerEvents, true>> = {
  state: true,
  history: true,
  phase: true,
  agent: true,
  telemetry: true,
  round: true,
  model: true,
  registry: true,
  refused: true,
  certificates: true,
  alarm: true,
  decision: true,
};

/**
 * Keeps a stream of server-sent events open for as long as the page is. The browser's own reconnect gives up on an HTTP error
 * (a proxy's 502 while the server restarts), so it is not relied on. Returns the function that stops it.
 */
export function followEvents(options: StreamOptions): () => void {
  let stopped = false;
  let source: Source | null = null;
  let failures = 0;
  let queue: PageEvent[] = [];
  let cancelFlush: (() => void) | null = null;
  let cancelWait = () => {};

  const flush = () => {
    cancelFlush = null;
    const events = queue;
    queue = [];
    options.onEvents(events);
  };
  const enqueue = (event: PageEvent) => {
    queue.push(event);
    cancelFlush ??= options.after(BATCH_MS, flush);
  };
  const listenForSilence = () => {
    cancelWait();
    cancelWait = options.after(SILENCE_MS, connect);
  };

  function connect(): void {
    source?.close();
    if (stopped) return;
    const current = options.open();
    source = current;
    listenForSilence();
    for (const name of Object.keys(NAMES)) {
      current.addEventListener(name, (event) => {
        if (source !== current) return;
        listenForSilence();
        const parsed = parse(name, event);
        if (parsed === null) return;
        if (parsed.type === 'state') {
          failures = 0;
          enqueue({ type: 'connection', status: 'live', atMs: options.now() });
        }
        enqueue(parsed);
      });
    }
    current.addEventListener('error', () => {
      if (source !== current) return;
      current.close();
      source = null;
      enqueue({ type: 'connection', status: 'lost', atMs: options.now() });
      const delayMs = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** failures) * (0.5 + options.random() / 2);
      failures += 1;
      cancelWait();
      cancelWait = options.after(delayMs, connect);
    });
  }

  connect();
  return () => {
    stopped = true;
    cancelWait();
    cancelFlush?.();
    source?.close();
  };
}

function parse(name: string, event: Event): PageEvent | null {
  try {
    return { type: name, data: JSON.parse((event as MessageEvent<string>).data) } as PageEvent;
  } catch (cause) {
    console.error(`The server sent a '${name}' event that is not JSON; it is left out.`, cause);
    return null;
  }
}
