import { connect, createServer, type Socket } from 'node:net';

/**
 * A line between an agent and its broker, as bad as it is told: every byte really goes through it, over TCP, in both directions. What it
 * is handed waits in it without bound, as in the buffer of a router: nothing pushes back on a sender that sends too much, it only waits.
 */

export interface LineQuality {
  /** In each direction, over all connections together. Unlimited where absent. */
  readonly bytesPerSecond?: number;
  /** One way. */
  readonly delayMs?: number;
  /** Added to the delay, at most. TCP keeps the order, so what comes after a late segment is late, too. */
  readonly jitterMs?: number;
  /** Of segments: lost, and there again after a retransmission timeout. */
  readonly lossShare?: number;
  /** Of segments: the connection is reset. */
  readonly resetShare?: number;
}

export interface Line {
  readonly port: number;
  /** For what is sent from now on. */
  quality(quality: LineQuality): void;
  /** How long what is sent up now waits for what was sent before. */
  queueMs(): number;
  /** Takes and gives nothing any more, without closing, as a NAT that forgot the connection; later connections as well, until `heal`. */
  freeze(): void;
  /** Connections of the time before stay silent for good. */
  heal(): void;
  /** Breaks every connection without a goodbye. */
  cut(): void;
  close(): Promise<void>;
}

const SEGMENT_BYTES = 512;
const RETRANSMISSION_MS = 400;

/** @param random in [0, 1). */
export async function openLine(toPort: number, first: LineQuality, random: () => number): Promise<Line> {
  const sockets = new Set<Socket>();
  let quality = first;
  let frozen = false;
  /** When each direction has sent all that it was handed. */
  const freeAtMs = { up: 0, down: 0 };

  const carry = (from: Socket, to: Socket, way: 'up' | 'down') => {
    let lastAtMs = 0;
    let silent = frozen;
    const waiting: { readonly segment: Buffer; readonly isReset: boolean; readonly atMs: number }[] = [];
    let timer: NodeJS.Timeout | null = null;
    // In order: timers of their own would not keep it.
    const deliver = () => {
      if (timer !== null) return;
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        const inMs = next.atMs - performance.now();
        if (inMs > 0) {
          timer = setTimeout(() => {
            timer = null;
            deliver();
          }, inMs);
          return;
        }
        waiting.shift();
        if (frozen || silent || to.destroyed) continue;
        if (next.isReset) to.resetAndDestroy();
        else to.write(next.segment);
      }
      if (from.destroyed && !frozen && !silent) to.destroy();
    };
    sockets.add(from);
    from.setNoDelay(true);
    from.on('error', () => undefined);
    from.on('close', () => {
      sockets.delete(from);
      deliver();
    });
    from.on('data', (data) => {
      silent ||= frozen;
      if (silent) return;
      for (let at = 0; at < data.length; at += SEGMENT_BYTES) {
        const segment = data.subarray(at, at + SEGMENT_BYTES);
        const { bytesPerSecond = Number.POSITIVE_INFINITY, delayMs = 0, jitterMs = 0 } = quality;
        const nowMs = performance.now();
        freeAtMs[way] = Math.max(nowMs, freeAtMs[way]) + (segment.length / bytesPerSecond) * 1_000;
        const lateMs = random() < (quality.lossShare ?? 0) ? RETRANSMISSION_MS * (1 + random()) : 0;
        lastAtMs = Math.max(lastAtMs, freeAtMs[way] + delayMs + jitterMs * random() + lateMs);
        const isReset = random() < (quality.resetShare ?? 0);
        waiting.push({ segment, isReset, atMs: lastAtMs });
      }
      deliver();
    });
  };

  const server = createServer((near) => {
    const far = connect(toPort, '127.0.0.1');
    carry(near, far, 'up');
    carry(far, near, 'down');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    quality(next) {
      quality = next;
    },
    queueMs() {
      return Math.max(0, freeAtMs.up - performance.now());
    },
    freeze() {
      frozen = true;
    },
    heal() {
      frozen = false;
    },
    cut,
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
