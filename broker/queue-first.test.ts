import { afterEach, expect, it } from 'vitest';
import { type Received, TestBench } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const QUEUED = 400;
const LIVE = 100;
const TOPIC = 'tw/v1/works/agents/site-1/answer';

it('sends a session what waited in it before what is published now', async () => {
  const { port } = await bench.broker();
  const session = { clientId: 'reader', clean: false } as const;
  const reader = await bench.client(port, session);
  await reader.subscribeAsync(TOPIC, { qos: 1 });
  await reader.endAsync(true);
  const writer = await bench.client(port);
  const publish = (from: number, count: number) =>
    Promise.all(
      Array.from({ length: count }, (_, i) => writer.publishAsync(TOPIC, String(from + i).padEnd(2_000), { qos: 1 })),
    );
  await publish(0, QUEUED);

  const received: Received[] = [];
  const [again] = await Promise.all([
    bench.client(port, session, (message) => received.push(message)),
    publish(QUEUED, LIVE),
  ]);
  await publish(QUEUED + LIVE, 1);
  const last = QUEUED + LIVE;
  await expect.poll(() => received.some(({ text }) => Number(text) === last), { timeout: 20_000 }).toBe(true);
  // What came while it connected may come twice.
  const firsts = [...new Set(received.map(({ text }) => Number(text)))];
  expect(firsts).toEqual(Array.from({ length: last + 1 }, (_, i) => i));
  await again.endAsync(true);
});
