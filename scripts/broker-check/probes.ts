import { createHash, randomBytes } from 'node:crypto';
import { MAXIMUM_ENVELOPE_BYTES } from '@twinwatch/core/wire/envelope';
import type { CheckConnection } from './check-connection.js';
import type { Finding } from './findings.js';

/** What matters to a federation, each tried with real messages. What a probe may not do is UNKNOWN, never OK. */

const ARRIVE_MS = 10_000;
/** A broker that hands out what was queued is done once nothing has come for this long. */
const QUIET_MS = 3_000;
const IN_FLIGHT = 50;
const BEHIND = Buffer.from('behind');
/** Of a queued message: some brokers count bytes, not messages. */
const QUEUED_BYTES = 1_024;
const THROUGH_RESTART = 20;
const RESTART_WITHIN_MS = 10 * 60_000;
const BACK_WITHIN_MS = 2 * 60_000;
const DIAL_EVERY_MS = 500;
/** Bytes of a chunk's payload, and up to the largest single message. */
const PAYLOADS = [4_096, 16_384, 65_536, 131_072, MAXIMUM_ENVELOPE_BYTES];

const notAllowed = (what: string) =>
  `this user may not ${what}; give it tw-check/# for the time of the check, or name other topics with --topic`;

/** Can this user publish and subscribe below the topics of the probes at all? What it may not, as a sentence. */
export async function echo(connection: CheckConnection): Promise<string | null> {
  const probe = await connection.connect('echo');
  const topic = connection.topic('echo');
  if (!(await probe.subscribe(topic))) return notAllowed(`subscribe to ${topic}`);
  await probe.publish(topic, 'echo').catch(() => undefined);
  const came = await connection.until(() => probe.arrived.length > 0, ARRIVE_MS);
  return came ? null : notAllowed(`publish to ${topic}, or read it`);
}

/** `messages` of 1 KiB with QoS 1 for a client that is away with its session. */
export async function queue(connection: CheckConnection, messages: number): Promise<Finding> {
  await sendToAbsent(connection, 'queue', messages);
  const { kept, sessionPresent } = await comeBack(connection, 'queue', messages);
  if (kept === messages)
    return finding('queue', 'OK', `keeps ${messages} of ${messages} messages of 1 KiB for a client that is away`);
  if (!sessionPresent && kept === 0)
    return finding('queue', 'CHANGE', 'keeps no session of a client that is away, and nothing for it');
  return finding('queue', 'CHANGE', `keeps ${kept} of ${messages} messages of 1 KiB for a client that is away`);
}

async function sendToAbsent(connection: CheckConnection, name: string, messages: number): Promise<void> {
  const topic = connection.topic(name);
  const away = await connection.connect(`${name}-away`, { clean: false });
  await away.subscribe(topic);
  await away.end();
  const publisher = await connection.connect(`${name}-publisher`);
  for (let first = 0; first < messages; first += IN_FLIGHT) {
    const count = Math.min(IN_FLIGHT, messages - first);
    const content = (i: number) => String(first + i).padEnd(QUEUED_BYTES);
    await Promise.all(Array.from({ length: count }, (_, i) => publisher.publish(topic, content(i))));
  }
}

async function comeBack(connection: CheckConnection, name: string, messages: number) {
  const back = await connection.connect(`${name}-away`, { clean: false });
  const seen = new Set<string>();
  let looked = 0;
  const collect = () => {
    for (; looked < back.arrived.length; looked++) seen.add(back.arrived[looked]!.payload.toString());
    return seen.size;
  };
  for (let before = -1; collect() < messages && seen.size > before; ) {
    before = seen.size;
    await connection.until(() => collect() > before, QUIET_MS);
  }
  await back.end();
  return { kept: seen.size, sessionPresent: back.sessionPresent };
}

/** What a restart leaves, which somebody else does meanwhile. @param say that it is time for it. */
export async function restart(connection: CheckConnection, say: () => void): Promise<Finding> {
  await sendToAbsent(connection, 'restart', THROUGH_RESTART);
  const topic = connection.topic('restart-retained');
  const watcher = await connection.connect('restart-watcher');
  await watcher.publish(topic, 'kept', true);
  say();
  if (!(await connection.until(watcher.isClosed, RESTART_WITHIN_MS)))
    return finding('restart', 'UNKNOWN', 'it was not restarted within 10 minutes');
  const reader = await connection.connectAgain('restart-reader', DIAL_EVERY_MS, BACK_WITHIN_MS);
  if (reader === null) return finding('restart', 'CHANGE', 'was not there again within 2 minutes');
  await reader.subscribe(topic);
  const hasRetained = await connection.until(() => reader.arrived.length > 0, QUIET_MS);
  const { kept, sessionPresent } = await comeBack(connection, 'restart', THROUGH_RESTART);
  const lost = [
    ...(sessionPresent ? [] : ['sessions']),
    ...(kept === THROUGH_RESTART ? [] : [`${THROUGH_RESTART - kept} of ${THROUGH_RESTART} queued messages`]),
    ...(hasRetained ? [] : ['retained messages']),
  ];
  return lost.length === 0
    ? finding('restart', 'OK', 'kept sessions, queued and retained messages through this one')
    : finding('restart', 'CHANGE', `lost ${lost.join(', ')} in this one`);
}

/** Payloads up to our largest message. */
export async function payload(connection: CheckConnection): Promise<Finding> {
  const topic = connection.topic('payload');
  let largest = 0;
  for (const bytes of PAYLOADS) {
    const content = randomBytes(bytes);
    const probe = await connection.connect(`payload-${bytes}`);
    await probe.subscribe(topic);
    // What comes behind it tells of one that is dropped without a word.
    await probe
      .publish(topic, content)
      .then(() => probe.publish(topic, BEHIND))
      .catch(() => undefined);
    const has = (bytes: Buffer) => probe.arrived.some((one) => hashOf(one.payload) === hashOf(bytes));
    await connection.until(() => has(content) || has(BEHIND) || probe.isClosed(), ARRIVE_MS);
    if (!has(content)) break;
    await probe.end();
    largest = bytes;
  }
  return largest === MAXIMUM_ENVELOPE_BYTES
    ? finding('payload', 'OK', `passes ${largest} bytes, our largest message`)
    : finding('payload', 'CHANGE', `passes ${largest} bytes, and not ${PAYLOADS[PAYLOADS.indexOf(largest) + 1]}`);
}

/** Retained messages, to a subscription to the topic itself and to a wildcard. `toWildcards` is null where wildcards are refused. */
export async function retained(
  connection: CheckConnection,
): Promise<{ readonly toWildcards: boolean | null; readonly findings: readonly Finding[] }> {
  const topic = connection.topic('retained/one');
  const retainer = await connection.connect('retainer');
  await retainer.publish(topic, 'kept', true).catch(() => undefined);
  const comes = async (name: string, filter: string) => {
    const reader = await connection.connect(name);
    if (!(await reader.subscribe(filter))) return null;
    return connection.until(() => reader.arrived.some((one) => one.retained && one.topic === topic), QUIET_MS);
  };
  const toTopic = await comes('retained-exact', topic);
  const toWildcards = await comes('retained-wildcard', connection.topic('retained/+'));
  const kept =
    toTopic === true
      ? finding('retained', 'OK', 'keeps retained messages')
      : finding('retained', 'CHANGE', 'does not hand out what was retained');
  const wildcards =
    toWildcards === null
      ? finding('wildcards', 'CHANGE', 'refuses a subscription with +')
      : toWildcards
        ? finding('wildcards', 'OK', 'hands out what is retained to wildcards, too')
        : finding('wildcards', 'OK', 'hands out nothing retained to wildcards; agents tell a new server all the same');
  return { toWildcards, findings: [kept, wildcards] };
}

/** The last will of a connection that breaks, to who listens and to who comes later. */
export async function lastWill(connection: CheckConnection): Promise<Finding> {
  const topic = connection.topic('will');
  const listener = await connection.connect('will-listener');
  await listener.subscribe(topic);
  connection.willRetainAt(topic);
  const dying = await connection.connect('will', {
    will: { topic, payload: Buffer.from('gone'), qos: 1, retain: true },
  });
  dying.breakOff();
  if (!(await connection.until(() => listener.arrived.length > 0, ARRIVE_MS)))
    return finding('last will', 'CHANGE', 'publishes no last will of a connection that breaks');
  const later = await connection.connect('will-later');
  await later.subscribe(topic);
  return (await connection.until(() => later.arrived.length > 0, QUIET_MS))
    ? finding('last will', 'OK', 'publishes the last will of a connection that breaks, and retains it')
    : finding('last will', 'CHANGE', 'publishes last wills, and does not retain them');
}

/** What the broker says at a topic of its own, or null. */
export async function readVersion(connection: CheckConnection): Promise<string | null> {
  const topic = '$SYS/broker/version';
  const reader = await connection.connect('version');
  if (!(await reader.subscribe(topic))) return null;
  await connection.until(() => reader.arrived.length > 0 || reader.isClosed(), 1_000);
  const said = reader.arrived[0]?.payload.toString().slice(0, 80) ?? null;
  await reader.end();
  return said;
}

/** NATS delivers MQTT messages through subjects below $MQTT.sub, and lets nobody subscribe to them. */
export async function guardsNatsSubjects(connection: CheckConnection): Promise<boolean> {
  const reader = await connection.connect('subjects');
  const refused = !(await reader.subscribe('$MQTT/sub/check'));
  await reader.end();
  return refused;
}

const finding = (concern: Finding['concern'], verdict: Finding['verdict'], found: string): Finding => ({
  ...{ concern, verdict, found },
});

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
