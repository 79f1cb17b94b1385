import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startCommand } from '../test/started-command.js';
import { type Daemon, daemon, freePort, installed, notInstalled } from './brokers/tested-broker.js';
import { verdicts } from './check-output.js';

/** Brokers that are not safe; those that are, are in conformance.test.ts. */

const program = installed('mosquitto', '/usr/sbin/mosquitto');
if (program === null) console.log(notInstalled('mosquitto', 'mosquitto'));

let directory: string;
let broker: Daemon | null = null;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'twinwatch-check-'));
});
afterEach(async () => {
  await broker?.kill();
  await rm(directory, { recursive: true, force: true });
});

async function start(...settings: readonly string[]): Promise<string> {
  const port = await freePort();
  const config = join(directory, 'mosquitto.conf');
  await writeFile(config, [`listener ${port} 127.0.0.1`, ...settings, `user ${userInfo().username}`, ''].join('\n'));
  broker = daemon(port, program!, ['-c', config]);
  await broker.start();
  return `mqtt://127.0.0.1:${port}`;
}

async function check(...args: readonly string[]): Promise<{ code: unknown; output: string }> {
  const command = startCommand('broker-check', ...args);
  return { code: await command.ended, output: command.output() };
}

describe.skipIf(program === null)('broker-check', () => {
  it('names the settings of a mosquitto that drops and refuses, and leaves nothing behind', {
    timeout: 120_000,
  }, async () => {
    const url = await start(
      ...['allow_anonymous true', 'persistence false', 'max_queued_messages 10', 'message_size_limit 10000'],
    );
    const { code, output } = await check(url, '--messages', '300');
    expect(verdicts(output)).toMatchObject({ login: 'UNKNOWN', queue: 'CHANGE', payload: 'CHANGE', retained: 'OK' });
    // It takes some more than are queued as in flight.
    expect(output).toMatch(
      /queue +keeps [1-9]\d? of 300 messages for a client that is away\n +→ max_queued_messages 100000/,
    );
    expect(output).toMatch(/payload +passes 4096 bytes, and not 16384\n +→ message_size_limit 262144 or more/);
    expect(output).toMatch(/restart .*\n +→ persistence true, persistence_location/);
    expect(output).toContain('Not safe as it is');
    expect(code).toBe(1);

    // Nothing retained, and no session: a message for the client that was away is not kept for it.
    const observer = await mqtt.connectAsync(url);
    const retained: string[] = [];
    let sessions = '';
    observer.on('message', (topic, payload) => {
      if (topic.startsWith('$SYS')) sessions = payload.toString();
      else retained.push(topic);
    });
    await observer.subscribeAsync(['#', '$SYS/broker/clients/disconnected'], { qos: 1 });
    await expect.poll(() => sessions, { timeout: 30_000 }).toBe('0');
    expect(retained).toEqual([]);
    await observer.endAsync();
  });

  it('tells no retained messages, and what its user may not try', { timeout: 120_000 }, async () => {
    const withoutRetained = await start('allow_anonymous true', 'retain_available false');
    const first = await check(withoutRetained, '--messages', '10', '--protocol', 'mqtt-5');
    expect(verdicts(first.output)).toMatchObject({ retained: 'CHANGE', 'last will': 'CHANGE', queue: 'OK' });
    expect(first.code).toBe(1);
    await broker!.kill();

    const acl = join(directory, 'acl');
    await writeFile(acl, 'topic read $SYS/broker/version\ntopic readwrite elsewhere/#\n', { mode: 0o600 });
    const withRights = await start('allow_anonymous true', `acl_file ${acl}`);
    const second = await check(withRights, '--messages', '10');
    expect(verdicts(second.output)).toMatchObject({ queue: 'UNKNOWN', payload: 'UNKNOWN', 'last will': 'UNKNOWN' });
    expect(second.output).toContain('give it tw-check/# for the time of the check, or name other topics with --topic');
    expect(second.code).toBe(1);
    const third = await check(withRights, '--messages', '10', '--topic', 'elsewhere');
    expect(verdicts(third.output)).toMatchObject({ queue: 'OK', payload: 'OK', 'last will': 'OK' });
  });

  it('says why it gets nowhere', async () => {
    const nowhere = await check(`mqtt://127.0.0.1:${await freePort()}`);
    expect(nowhere.output).toMatch(/BROKER_UNREACHABLE: no connection to mqtt:.*ECONNREFUSED/);
    expect(nowhere.code).not.toBe(0);
    const login = await check('mqtt://u:secret@127.0.0.1:1');
    expect(login.output).toContain('CLI_USAGE: url: a URL is logged');
    expect(login.output).not.toContain('secret');
  });
});
