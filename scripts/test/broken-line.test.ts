import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '@twinwatch/broker/broker';
import { normalClients, SILENT } from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../processes/node-runtime.js';
import { runLive } from './live-federation.js';

/** A relay before the broker that counts bytes, and breaks the connection once in each direction after so many. */
class BrokenLine {
  readonly passed = { up: 0, down: 0 };
  cuts = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #cutAt = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };

  constructor(toPort: number) {
    this.#server = createServer((near) => {
      const far = connect(toPort, '127.0.0.1');
      for (const [from, to, direction] of [
        [near, far, 'up'],
        [far, near, 'down'],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => undefined);
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.on('data', (data) => this.#pass(data, to, direction));
      }
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `mqtt://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cutAfter(bytes: { readonly up: number; readonly down: number }): void {
    Object.assign(this.#cutAt, bytes);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #pass(data: Buffer, to: Socket, direction: 'up' | 'down'): void {
    this.passed[direction] += data.length;
    if (this.passed[direction] < this.#cutAt[direction]) {
      to.write(data);
      return;
    }
    // What is on the line is lost.
    this.#cutAt[direction] = Number.POSITIVE_INFINITY;
    this.cuts++;
    for (const socket of this.#sockets) socket.destroy();
  }
}

let directory: string;
let broker: Awaited<ReturnType<typeof startBroker>>;
let line: BrokenLine;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinwatch-line-'));
  const dataDir = join(directory, 'broker');
  broker = await startBroker({ host: '127.0.0.1', port: 0, dataDir, clock: systemClock, log: SILENT });
  line = new BrokenLine(broker.port);
});
afterEach(async () => {
  line.close();
  await broker.close();
  rmSync(directory, { recursive: true });
});

it('sends only what is missing after the line broke in the middle of a transfer, up and down', async () => {
  // 3 → 256 → 128 → 1: parameters and, as f32, an update of 36 chunks each.
  const bytes = 4 * (4 * 256 + 257 * 128 + 129);
  const agentUrl = await line.listen();
  line.cutAfter({ up: 0.6 * bytes, down: 0.6 * bytes });
  const { rounds } = await runLive({
    ...{ federation: 'broken', directory, clients: normalClients(1, 2), detector: { hidden: [256, 128] } },
    rounds: { method: 'fedavg', count: 1, epochs: 1, quorum: 1, exchangeRows: 0, codec: 'f32', deadline: '1h' },
    ...{ url: `mqtt://127.0.0.1:${broker.port}`, agentUrl },
  });
  expect(line.cuts).toBe(2);
  const [round] = rounds;
  const { up, down } = round!.traffic!['site-1']!;
  // A chunk has a hundred bytes of its own, a few are sent twice, hello and requests come on top: not half a transfer.
  for (const sent of [up, down]) {
    expect(sent).toBeGreaterThan(bytes);
    expect(sent).toBeLessThan(1.3 * bytes);
  }
  // The evaluation's parameters and the released model come down as well, and went over the same line.
  expect(line.passed.up).toBeLessThan(1.35 * bytes);
}, 90_000);
