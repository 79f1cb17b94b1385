import type { ProfileRequest, SiteProfile } from '@twinwatch/core/calibration/profile';
import type { RoundsConfig } from '@twinwatch/core/config/server';
import { schemaHash } from '@twinwatch/core/features/schema';
import type { FeatureSchema } from '@twinwatch/core/features/spec';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { encodeEnvelope } from '@twinwatch/core/wire/envelope';
import { Gate, SERVER, type Trust, UNSIGNED } from '@twinwatch/core/wire/gate';
import { encodeJson } from '@twinwatch/core/wire/json-messages';
import { Link } from '@twinwatch/core/wire/link';
import type { BrokerDoor } from '@twinwatch/core/wire/link-options';
import type { CalibrateTask, WireMessage } from '@twinwatch/core/wire/messages';
import { commonProtocol, SPOKEN } from '@twinwatch/core/wire/protocol';
import { statusPlaces } from '@twinwatch/core/wire/replay';
import { signJson } from '@twinwatch/core/wire/signing';
import type { ServerStatus } from '@twinwatch/core/wire/status';
import { parseTopic, topics } from '@twinwatch/core/wire/topics';

/** Asks the agents how their sites run, before there is a twin: what its demands are fitted to. */

export interface SurveyOptions {
  readonly federation: string;
  readonly schema: FeatureSchema;
  readonly request: ProfileRequest;
  readonly rounds: Pick<RoundsConfig, 'quorum' | 'minimumRows' | 'deadline'>;
  readonly broker: BrokerDoor;
  /** Unsigned where absent. */
  readonly trust?: Trust;
  readonly softwareVersion: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Logger;
}

/** Profiles by agent: of as many as a round needs, and of those that answer within a round's deadline after. Waits for as long as that takes. */
export async function surveySites(options: SurveyOptions): Promise<ReadonlyMap<string, SiteProfile>> {
  const { federation, schema, request, rounds, clock, timers, log, trust = UNSIGNED } = options;
  const all = topics(federation);
  const task: CalibrateTask = {
    kind: 'calibrate',
    schema,
    schemaHash: schemaHash(schema),
    minimumRows: rounds.minimumRows,
    profile: request,
  };
  const asked = new Set<string>();
  const profiles = new Map<string, SiteProfile>();
  let sequence = clock.now() * 1_000;
  const place = statusPlaces(() => sequence++);
  let cancelDeadline: (() => void) | null = null;
  const status = (online: boolean, connectionId: string) =>
    signJson(
      all.serverStatus,
      encodeJson({
        online,
        connectionId,
        softwareVersion: options.softwareVersion,
        protocols: SPOKEN,
        ...place(connectionId, online),
      } satisfies ServerStatus),
      trust.signer,
    );
  // What is read here is read once, before there is anything to spoil: no floors are kept.
  const gate = new Gate({ federation, trust, floors: {}, onFloor: () => undefined, now: () => clock.now() });
  const quiet = (error: unknown) => log.debug({ error: String(error) }, 'survey message not sent; it is sent again');

  const answered = (agent: string, message: WireMessage) => {
    if (message.kind !== 'calibration' || message.schemaHash !== task.schemaHash || message.profile === undefined)
      return;
    profiles.set(agent, message.profile);
    log.info({ agent, days: message.profile.days, profiles: profiles.size, quorum: rounds.quorum }, 'site profile');
    if (profiles.size < rounds.quorum) return;
    if ([...asked].every((each) => profiles.has(each))) finish();
    else cancelDeadline ??= timers.after('survey deadline', rounds.deadline, () => finish());
  };

  const link = new Link({
    ...options.broker,
    ...{ clock, timers, log, random: options.random },
    clientId: `${federation}-server`,
    will: (connectionId) => ({ topic: all.serverStatus, payload: status(false, connectionId) }),
    // Profiles of large plants come in chunks.
    subscriptions: [all.everyAgent.hello, all.everyAgent.up],
    onOnline: (connectionId) => {
      asked.clear();
      // Agents that see a server with another connection say hello.
      link.publish(all.serverStatus, status(true, connectionId)).catch(quiet);
    },
    onMessage: (topic, payload) => {
      const agent = parseTopic(topic)?.agent ?? null;
      if (agent === null) return;
      const message = gate.open(topic, payload, agent);
      // At every hello: with a connection some of an answer may have been lost, and an agent that is at it goes on.
      if (message.kind === 'hello' && !profiles.has(agent)) {
        asked.add(agent);
        const protocol = commonProtocol(SPOKEN, message.protocols) ?? SPOKEN.newest;
        const fields = { federation, sender: SERVER, sequence: sequence++, sentAtMs: clock.now(), protocol };
        const at = all.agent(agent).task;
        const sealed = encodeEnvelope({ ...fields, message: task }, undefined, { topic: at, signer: trust.signer });
        link.publish(at, sealed).catch((error: unknown) => {
          asked.delete(agent);
          quiet(error);
        });
      }
      answered(agent, message);
    },
    onTransfer: (topic, bytes) => {
      const agent = parseTopic(topic)?.agent ?? null;
      if (agent !== null) answered(agent, gate.open(topic, bytes, agent));
    },
  });
  let finish: () => void = () => undefined;
  const enough = new Promise<void>((resolve) => {
    finish = resolve;
  });
  link.start();
  log.info({ quorum: rounds.quorum }, 'waiting for profiles of the sites, to fit the twin to');
  await enough;
  (cancelDeadline as (() => void) | null)?.();
  await link.stop();
  return profiles;
}
