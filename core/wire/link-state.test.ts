import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_BACKOFF, type LinkEvent, type LinkState, nextLinkState, reconnectDelayMs } from './link-state.js';
import { supersedes } from './presence.js';
import { type Lane, SendQueue } from './send-queue.js';

const run = (events: readonly LinkEvent[]) => {
  let state: LinkState = { phase: 'stopped' };
  const effects: string[] = [];
  for (const event of events) {
    const next = nextLinkState(state, event, DEFAULT_BACKOFF);
    state = next.state;
    for (const effect of next.effects) effects.push(effect.type === 'wait' ? `wait ${effect.ms}` : effect.type);
  }
  return { state, effects };
};
const lost = (atMs: number): LinkEvent => ({ type: 'lost', atMs, random: 0 });

describe('link state', () => {
  it('dials, subscribes, goes online, and dials again after a loss', () => {
    const { effects } = run([
      { type: 'start' },
      lost(0),
      { type: 'retry' },
      { type: 'connected' },
      { type: 'subscribed', atMs: 100 },
      lost(200),
      lost(201),
      { type: 'retry' },
    ]);
    expect(effects).toEqual([
      ...['dial', 'hang-up', 'wait 250', 'dial', 'subscribe', 'go-online'],
      ...['hang-up', 'go-offline', 'wait 500', 'dial'],
    ]);
  });

  it('backs off from flapping connections, and forgives after a stable one', () => {
    const connect = (atMs: number): LinkEvent[] => [{ type: 'connected' }, { type: 'subscribed', atMs }];
    const flapping = run([{ type: 'start' }, ...connect(0), lost(10), { type: 'retry' }, ...connect(20), lost(30)]);
    expect(flapping.state).toEqual({ phase: 'waiting', failures: 2 });
    const stable = run([{ type: 'start' }, lost(0), { type: 'retry' }, ...connect(0), lost(DEFAULT_BACKOFF.stableMs)]);
    expect(stable.state).toEqual({ phase: 'waiting', failures: 1 });
  });

  it('finds a broker that was away for an hour within seconds, and asks one that refuses it twice a minute at most', () => {
    const last = (isRefusal: boolean): number => {
      const failing = Array.from({ length: 1_000 }, (): LinkEvent[] => [
        { type: 'lost', atMs: 0, random: 0.999, isRefusal },
        { type: 'retry' },
      ]).flat();
      return Number(
        run([{ type: 'start' }, ...failing])
          .effects.at(-2)
          ?.replace('wait ', ''),
      );
    };
    expect(last(false)).toBeLessThanOrEqual(3_000);
    expect(last(true)).toBeGreaterThanOrEqual(15_000);
  });

  it('stops from every phase and ignores what comes late', () => {
    const late: LinkEvent[] = [{ type: 'connected' }, { type: 'retry' }, lost(5), { type: 'stop' }];
    const { state, effects } = run([{ type: 'start' }, { type: 'stop' }, ...late]);
    expect(state).toEqual({ phase: 'stopped' });
    expect(effects).toEqual(['dial', 'hang-up']);
  });

  it('waits between half and all of a delay that doubles up to its bound', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.boolean(),
        (failures, random, isRefusal) => {
          const { firstMs, longestMs, longestRefusedMs } = DEFAULT_BACKOFF;
          const ceiling = Math.min(isRefusal ? longestRefusedMs : longestMs, firstMs * 2 ** (failures - 1));
          const delay = reconnectDelayMs(failures, random, DEFAULT_BACKOFF, isRefusal);
          expect(delay).toBeGreaterThanOrEqual(Math.floor(ceiling / 2));
          expect(delay).toBeLessThanOrEqual(ceiling);
        },
      ),
    );
  });
});

describe('send queue', () => {
  it('takes alarms first, chunks last and one at a time, and tells when a lane is full', () => {
    const queue = new SendQueue<string>(100, {
      alarm: { inFlight: 2, waiting: 2 },
      normal: { inFlight: 1, waiting: 1 },
      replay: { inFlight: 1, waiting: 1 },
      chunk: { inFlight: 1, waiting: 2 },
    });
    expect(queue.offer('chunk', 'c1', 1) && queue.offer('chunk', 'c2', 1)).toBe(true);
    expect(queue.take()?.item).toBe('c1');
    expect(queue.offer('replay', 'r1', 1)).toBe(true);
    expect(queue.offer('normal', 'n1', 1)).toBe(true);
    expect(queue.offer('normal', 'n2', 1)).toBe(false);
    expect(queue.offer('alarm', 'a1', 1)).toBe(true);
    expect([1, 2, 3, 4].map(() => queue.take()?.item)).toEqual(['a1', 'n1', 'r1', undefined]);
    queue.release('chunk', 1);
    expect(queue.offer('alarm', 'a2', 1)).toBe(true);
    expect([queue.take()?.item, queue.take()?.item]).toEqual(['a2', 'c2']);
    expect(queue.offer('chunk', 'c3', 1)).toBe(true);
    expect(queue.clear()).toEqual(['c3']);
    expect(queue.offer('chunk', 'c4', 1)).toBe(true);
    expect(queue.take()?.item).toBe('c4');
  });

  it('never has more bytes before an alarm than its limit, or one larger message alone', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.constantFrom<Lane>('alarm', 'normal', 'replay', 'chunk'), fc.integer({ min: 1, max: 150 })),
        ),
        fc.infiniteStream(fc.boolean()),
        (offered, releases) => {
          const queue = new SendQueue<number>(100);
          for (const [lane, bytes] of offered) queue.offer(lane, bytes, bytes);
          const inFlight: { lane: Lane; bytes: number }[] = [];
          let isAlarmLeft = offered.some(([lane]) => lane === 'alarm');
          for (let handedOver = 0; handedOver < offered.length; ) {
            const next = queue.take();
            if (next === null || (inFlight.length > 0 && releases.next().value)) {
              const { lane, bytes } = inFlight.shift()!;
              queue.release(lane, bytes);
            }
            if (next === null) continue;
            handedOver++;
            inFlight.push(next);
            const others = inFlight.filter(({ lane }) => lane !== 'alarm').map(({ bytes }) => bytes);
            expect(others.length <= 1 || others.reduce((a, b) => a + b) <= 100).toBe(true);
            if (next.lane === 'alarm') expect(isAlarmLeft).toBe(true);
            else isAlarmLeft = false;
          }
        },
      ),
    );
  });
});

describe('presence', () => {
  const presence = (online: boolean, connectionId: string) => ({ online, connectionId });
  it.each([
    [null, presence(false, 'a'), true],
    [presence(true, 'a'), presence(false, 'a'), true],
    [presence(true, 'b'), presence(false, 'a'), false],
    [presence(false, 'b'), presence(false, 'a'), true],
    [presence(true, 'a'), presence(true, 'b'), true],
  ])('%j then %j: %j', (known, incoming, expected) => {
    expect(supersedes(known, incoming)).toBe(expected);
  });
});
