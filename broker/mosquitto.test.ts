import { spawn, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { hashOf } from '@twinwatch/core/wire/blobs';
import { topics } from '@twinwatch/core/wire/topics';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBench, until } from './test-bench.js';

const bench = new TestBench();
afterEach(() => bench.close());

const installed = ['mosquitto', '/usr/sbin/mosquitto'].find((path) => spawnSync(path, ['-h']).error === undefined);
if (installed === undefined) console.log('mosquitto is not installed: the link is not tested against it');

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe.skipIf(installed === undefined)('link over mosquitto', () => {
  it('transfers, reconnects and leaves its will', async () => {
    const directory = await bench.directory();
    const port = await freePort();
    const config = join(directory, 'mosquitto.conf');
    await writeFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\n`);
    const start = () => {
      const child = spawn(installed!, ['-c', config], { stdio: 'ignore' });
      bench.onClose(() => child.kill('SIGKILL'));
      return child;
    };
    const first = start();
    const own = topics('demo').agent('site-1');
    const { everyAgent } = topics('demo');
    const received: string[] = [];
    const said: string[] = [];
    const relay = await bench.relay(port);
    const server = bench.link(port, {
      clientId: 'server',
      subscriptions: [everyAgent.up, everyAgent.status],
      onMessage: (_topic, bytes) => said.push(Buffer.from(bytes).toString()),
      onTransfer: (_topic, bytes) => received.push(hashOf(bytes)),
    });
    const agent = bench.link(relay.port, {
      clientId: 'site-1',
      will: (connectionId) => ({ topic: own.status, payload: Buffer.from(connectionId) }),
    });
    await until('both online', () => server.online && agent.online);
    const whole = Uint8Array.from({ length: 100_000 }, (_, i) => i & 255);
    await agent.sendTransfer(own.up, whole);
    await until('the transfer', () => received.length === 1);
    const connectionId = agent.connectionId;
    relay.cut();
    await until('the will', () => said.includes(connectionId));
    first.kill('SIGKILL');
    await until('offline', () => !server.online && !agent.online);
    start();
    await until('both online again', () => server.online && agent.online);
    await agent.sendTransfer(own.up, whole);
    await until('the transfer again', () => received.length === 2);
    expect(received).toEqual([hashOf(whole), hashOf(whole)]);
  }, 20_000);
});
