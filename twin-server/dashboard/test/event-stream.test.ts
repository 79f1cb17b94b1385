import { describe, expect, it, vi } from 'vitest';
import { followEvents, type Source } from '../event-stream.js';
import type { PageEvent } from '../page-state.js';
import { demoState } from './demo-federation.js';

class FakeSource implements Source {
  readyState = 0;
  closed = false;
  readonly listeners = new Map<string, (event: Event) => void>();
  addEventListener(type: string, listener: (event: Event) => void): void {
    this.listeners.set(type, listener);
  }
  close(): void {
    this.closed = true;
  }
  emit(type: string, data?: unknown): void {
    this.listeners.get(type)?.({ data: typeof data === 'string' ? data : JSON.stringify(data) } as unknown as Event);
  }
}

function follow() {
  const sources: FakeSource[] = [];
  const batches: (readonly PageEvent[])[] = [];
  let nowMs = 0;
  let waits: { atMs: number; callback: () => void }[] = [];
  const stop = followEvents({
    open: () => {
      sources.push(new FakeSource());
      return sources.at(-1)!;
    },
    onEvents: (events) => batches.push(events),
    now: () => nowMs,
    after: (ms, callback) => {
      const wait = { atMs: nowMs + ms, callback };
      waits.push(wait);
      return () => {
        waits = waits.filter((other) => other !== wait);
      };
    },
    random: () => 0.5,
  });
  const advance = (ms: number) => {
    const end = nowMs + ms;
    for (;;) {
      const next = waits.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      waits = waits.filter((other) => other !== next);
      nowMs = next.atMs;
      next.callback();
    }
    nowMs = end;
  };
  return { sources, batches, advance, stop, waiting: () => waits.length };
}

describe('event stream', () => {
  it('hands over in batches, says live with the first state, and leaves out what is not JSON', () => {
    const { sources, batches, advance } = follow();
    sources[0]!.emit('state', demoState());
    sources[0]!.emit('phase', { phase: 'finished', activity: 'done', progress: null });
    const complaint = vi.spyOn(console, 'error').mockImplementation(() => {});
    sources[0]!.emit('model', '{broken');
    expect(complaint).toHaveBeenCalledOnce();
    complaint.mockRestore();
    expect(batches).toEqual([]);
    advance(200);
    expect(batches.map((batch) => batch.map(({ type }) => type))).toEqual([['connection', 'state', 'phase']]);
  });

  it('reopens after errors with growing waits, and starts over after a success', () => {
    const { sources, batches, advance } = follow();
    const openedAfter = () => {
      const before = sources.length;
      for (let ms = 0; ms < 60_000; ms += 250) {
        advance(250);
        if (sources.length > before) return ms + 250;
      }
      return null;
    };
    sources.at(-1)!.emit('error');
    const waits = [openedAfter()];
    for (let failure = 0; failure < 5; failure += 1) {
      sources.at(-1)!.emit('error');
      waits.push(openedAfter());
    }
    expect(waits).toEqual([750, 1_500, 3_000, 6_000, 11_250, 11_250]);
    expect(batches.flat().every((event) => event.type === 'connection' && event.status === 'lost')).toBe(true);
    sources.at(-1)!.emit('state', demoState());
    sources.at(-1)!.emit('error');
    expect(openedAfter()).toBe(750);
    expect(sources.slice(0, -1).every(({ closed }) => closed)).toBe(true);
  });

  it('opens anew after a long silence, ignores the old stream, and stops for good', () => {
    const { sources, batches, advance, stop, waiting } = follow();
    sources[0]!.emit('state', demoState());
    advance(44_000);
    expect(sources).toHaveLength(1);
    advance(2_000);
    expect(sources).toHaveLength(2);
    const seen = batches.length;
    sources[0]!.emit('error');
    sources[0]!.emit('state', demoState());
    advance(1_000);
    expect(batches).toHaveLength(seen);
    stop();
    expect([sources[1]!.closed, waiting()]).toEqual([true, 0]);
  });
});
