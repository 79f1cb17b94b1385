import type { Duplex } from 'node:stream';
import type { BrokerLimits } from '@twinwatch/core/config/broker';
import type { BrokerCounters } from './counters.js';

type Deliver = (packet: { readonly qos: number }, done: () => void) => void;
type Drained = (error: Error | null, client: object) => void;

/** What of an aedes client its types leave out. */
interface Delivering {
  readonly conn: Duplex & { readonly _handle?: { readonly writeQueueSize?: number } | null };
  deliver0: Deliver;
  deliverQoS: Deliver;
  waitForDrain: (callback: Drained) => void;
}

export interface SlowSubscriberOptions {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  /** A subscriber that takes no byte for this long is cut off. */
  readonly drainTimeoutMs: number;
}

/** Others wait for a subscriber that does not take what it gets for this long, once each time it falls behind. */
const GRACE_MS = 50;

/**
 * aedes has a hundred messages under way at once, and each waits until all its subscribers have taken it: one frozen subscriber stalls all
 * clients until `drainTimeout`. Here nobody waits for one that has fallen behind; what it is sent waits in memory, up to a limit.
 * A subscriber that keeps up is waited for, so that a burst is not faster than it can be read.
 */
export function releaseFromSlow(client: object, { limits, counters, drainTimeoutMs }: SlowSubscriberOptions): void {
  const delivering = client as Delivering;
  const { conn } = delivering;
  const waiting = new Set<() => void>();
  let timer: NodeJS.Timeout | null = null;
  let slow = false;

  const fallBehind = () => {
    timer = null;
    slow = true;
    for (const release of waiting) release();
  };
  const caughtUp = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    slow = false;
  };
  conn.once('close', caughtUp);

  const wrap =
    (deliver: Deliver, keepsForLater: (qos: number) => boolean): Deliver =>
    (packet, done) => {
      if (slow && conn.writableLength > limits.maximumUnsentBytesPerClient) {
        if (keepsForLater(packet.qos)) {
          if (!conn.destroyed) counters.cutOffAsSlow++;
          conn.destroy();
        } else counters.droppedForSlowClient++;
        setImmediate(done);
        return;
      }
      const release = () => {
        if (waiting.delete(release)) setImmediate(done);
      };
      waiting.add(release);
      if (slow) release();
      else timer ??= setTimeout(fallBehind, GRACE_MS);
      deliver(packet, () => {
        release();
        if (waiting.size === 0 && !conn.writableNeedDrain) caughtUp();
      });
    };
  delivering.deliver0 = wrap(delivering.deliver0, () => false);
  delivering.deliverQoS = wrap(delivering.deliverQoS, (qos) => qos > 0);
  delivering.waitForDrain = drainWaiter(client, conn, drainTimeoutMs, () => counters.cutOffAsSlow++);
}

/**
 * aedes cuts a client off whose socket has not been empty once for the time-out; a slow line with a long queue would never make it.
 * Here it counts that nothing at all was taken.
 */
function drainWaiter(client: object, conn: Delivering['conn'], timeoutMs: number, onCutOff: () => void) {
  let pending: Drained[] = [];
  let timer: NodeJS.Timeout | null = null;
  const unsent = () => conn._handle?.writeQueueSize ?? conn.writableLength;
  const settle = (error: Error | null) => {
    if (timer !== null) clearInterval(timer);
    timer = null;
    const settled = pending;
    pending = [];
    for (const callback of settled) setImmediate(callback, error, client);
  };
  conn.on('drain', () => settle(null));
  conn.once('close', () => settle(new Error('connection closed')));
  return (callback: Drained): void => {
    if (conn.destroyed) {
      setImmediate(callback, new Error('connection closed'), client);
      return;
    }
    pending.push(callback);
    if (timer !== null) return;
    let before = unsent();
    timer = setInterval(() => {
      const now = unsent();
      if (now === before) {
        onCutOff();
        conn.destroy(new Error('drain timeout'));
      }
      before = now;
    }, timeoutMs);
    timer.unref();
  };
}
