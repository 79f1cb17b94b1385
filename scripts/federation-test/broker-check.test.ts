import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMAND } from '../processes/repository.js';
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

/** @param restart called when the command says so. */
async function checkThroughRestart(
  url: string,
  restart: () => Promise<void>,
): Promise<{ code: unknown; output: string }> {
  const command = startCommand('broker-check', url, '--messages', '10', '--restart');
  await expect.poll(command.output, { timeout: 60_000 }).toContain('Restart the broker now');
  await restart();
  return { code: await command.ended, output: command.output() };
}

it('sees that our own broker keeps everything when it is killed', { timeout: 120_000 }, async () => {
  const port = await freePort();
  const config = join(directory, 'broker.yaml');
  await writeFile(config, `host: 127.0.0.1\nport: ${port}\ndataDir: broker-data\n`);
  broker = daemon(port, process.execPath, [COMMAND, 'broker', '--config', config]);
  await broker.start();
  const kept = await checkThroughRestart(`mqtt://127.0.0.1:${port}`, async () => {
    await broker!.kill();
    await broker!.start();
  });
  expect(kept.output).toMatch(/OK +restart +kept sessions, queued and retained messages through this one/);
  expect(kept.code).toBe(0);
});

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
      /queue +keeps [1-9]\d? of 300 messages of 1 KiB for a client that is away\n +→ max_queued_messages 100000/,
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

  it('sees what a restart loses', { timeout: 120_000 }, async () => {
    const url = await start('allow_anonymous true', 'persistence false', 'max_queued_messages 1000');
    const lost = await checkThroughRestart(url, async () => {
      await broker!.kill();
      await broker!.start();
    });
    expect(lost.output).toMatch(
      /CHANGE +restart +lost sessions, 20 of 20 queued messages, retained messages in this one\n +→ persistence true/,
    );
    expect(lost.code).toBe(1);
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
