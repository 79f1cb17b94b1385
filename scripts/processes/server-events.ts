import type { Timers } from '@twinwatch/core/runtime';
import type { ServerEvents } from '@twinwatch/core/wire/http';

/** The twin-server's event stream, followed across restarts of the server. */

export type ServerEvent = { [K in keyof ServerEvents]: { kind: K; data: ServerEvents[K] } }[keyof ServerEvents];

const RECONNECT_MS = 300;

/** Takes whole events off the front of an event stream's text (HTML standard, §9.2.6); the rest is an event still arriving. */
function takeEvents(text: string): { events: { name: string; data: string }[]; rest: string } {
  const blocks = text.split(/\r?\n\r?\n/);
  const rest = blocks.pop() ?? '';
  const events = blocks.flatMap((block) => {
    const fields = block.split(/\r?\n/);
    const linesOf = (field: string) =>
      fields.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).trimStart());
    const data = linesOf('data').join('\n');
    return data === '' ? [] : [{ name: linesOf('event')[0] ?? 'message', data }];
  });
  return { events, rest };
}

/** Runs until aborted; connects again whenever the server is not there. */
export async function followServer(
  baseUrl: string,
  timers: Timers,
  onEvent: (event: ServerEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await readStream(`${baseUrl}/api/events`, onEvent, signal);
    } catch {
      // Not up yet, or just restarting: the next attempt starts with the whole state again.
    }
    await timers.sleep('reconnect to the server', RECONNECT_MS, signal).catch(() => undefined);
  }
}

async function readStream(url: string, onEvent: (event: ServerEvent) => void, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, { signal, headers: { accept: 'text/event-stream' } });
  if (!response.ok || response.body === null) return;
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body) {
    const taken = takeEvents(text + decoder.decode(chunk as Uint8Array, { stream: true }));
    text = taken.rest;
    for (const { name, data } of taken.events) onEvent({ kind: name, data: JSON.parse(data) } as ServerEvent);
  }
}
