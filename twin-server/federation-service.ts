import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { decodeEnvelope, encodeEnvelope, readAnsweredTask } from '@twinwatch/core/wire/envelope';
import { encodeJson, parseAgentStatus, parseAlarmEvent, parseTelemetry } from '@twinwatch/core/wire/json-messages';
import { type BrokerDoor, Link } from '@twinwatch/core/wire/link';
import type {
  AgentStatus,
  AlarmCommand,
  AlarmEvent,
  BlobRef,
  LabelCommand,
  ServerStatus,
  Telemetry,
  Update,
  WireMessage,
} from '@twinwatch/core/wire/messages';
import { supersedes } from '@twinwatch/core/wire/presence';
import { type AgentChannel as Channel, parseTopic, topics } from '@twinwatch/core/wire/topics';
import type { AgentChannel } from './aggregator/effect-performer.js';
import type { Journal } from './aggregator/journal.js';
import { RoundRunner } from './aggregator/round-runner.js';
import type { FederationPlan, RoundWork } from './aggregator/round-work.js';
import type { Step } from './aggregator/rounds/step.js';
import type { DecisionDesk } from './decisions/decision-desk.js';

/** Brings together the link to the broker and the round runner: messages in, messages out, presence, alarms, blobs. */

export interface FederationServiceOptions {
  readonly plan: FederationPlan;
  readonly work: RoundWork;
  readonly journal: Journal;
  readonly run: string;
  readonly broker: BrokerDoor;
  readonly softwareVersion: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Logger;
  readonly observer: FederationObserver;
  readonly desk: Pick<DecisionDesk, 'waiting' | 'answered'>;
  /** See RoundRunnerOptions. */
  readonly onFatal: (error: unknown) => void;
}

/** Told after what it is told of is journalled. */
export interface FederationObserver {
  onStep(step: Step): void;
  onStatus(agent: string, status: AgentStatus): void;
  onTelemetry(agent: string, telemetry: Telemetry): void;
  onAlarm(event: AlarmEvent): void;
}

/** Between two tries to deliver what people decided to agents that are there. */
const COMMANDS_AGAIN_MS = 30_000;

/** An update of the largest network that is plausible here, with its envelope. */
const MAXIMUM_UPDATE_BYTES = 64 * 1024 * 1024;

export class FederationService {
  readonly runner: RoundRunner;
  readonly #options: FederationServiceOptions;
  readonly #topics: ReturnType<typeof topics>;
  readonly #link: Link;
  readonly #statuses = new Map<string, AgentStatus>();
  /** Blobs on their way, by agent and hash: a hello during a transfer does not start it again. */
  readonly #sending = new Set<string>();
  readonly #stopping = new AbortController();
  #sequence: number;
  #cancelWaiting: () => void = () => undefined;

  constructor(options: FederationServiceOptions) {
    const { plan, clock, broker } = options;
    this.#options = options;
    this.#topics = topics(plan.federation);
    // Rises over restarts, too, as long as a server sends less than a thousand messages per millisecond.
    this.#sequence = clock.now() * 1_000;
    const { status, telemetry, alarms, hello, up, request, answer } = this.#topics.everyAgent;
    this.#link = new Link({
      ...broker,
      clientId: `${plan.federation}-server`,
      will: (connectionId) => ({ topic: this.#topics.serverStatus, payload: this.#serverStatus(false, connectionId) }),
      subscriptions: [status, telemetry, alarms, hello, up, request, answer],
      clock,
      timers: options.timers,
      random: options.random,
      log: options.log,
      onMessage: (topic, payload) => this.#onMessage(topic, payload),
      onTransfer: (topic, bytes) => this.#onTransfer(topic, bytes),
      onMissing: ({ topic, transfer, missing }) => {
        const agent = parseTopic(topic)?.agent ?? null;
        if (agent === null) return;
        this.#send(agent, 'receipt', { kind: 'chunk-request', transfer, missing: missing.slice(0, 256) });
      },
      onOnline: (connectionId) => this.#onOnline(connectionId),
    });
    this.runner = new RoundRunner({
      ...options,
      agents: this.#channel(),
      now: () => clock.now(),
      onStep: (step) => options.observer.onStep(step),
    });
  }

  start(): void {
    this.#link.start();
    this.runner.start();
    this.#sendWaitingLater();
  }

  /** Once, now. What is not answered is sent again by itself. An agent that is away gets it with its next hello. */
  sendCommand(agent: string, command: AlarmCommand | LabelCommand): void {
    if (this.#statuses.get(agent)?.online === true) this.#send(agent, 'command', command);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelWaiting();
    await this.runner.stop();
    await this.#link.stop();
  }

  #channel(): AgentChannel {
    return {
      sendTask: (agent, task) => this.#send(agent, 'task', task),
      sendReceipt: (agent, receipt) => this.#send(agent, 'receipt', receipt),
      sendBlob: (agent, blob) => this.#sendBlob(agent, blob, null),
      publishManifest: (manifest) => this.#publish(this.#topics.manifest, manifest),
    };
  }

  #onOnline(connectionId: string): void {
    this.#link
      .publish(this.#topics.serverStatus, this.#serverStatus(true, connectionId))
      .catch((error: unknown) => this.#lost(this.#topics.serverStatus, error));
    this.runner.publishManifest();
  }

  #onMessage(topic: string, payload: Uint8Array): void {
    const parsed = parseTopic(topic);
    if (parsed === null || parsed.agent === null || payload.length === 0) return;
    const { agent, channel } = parsed;
    const { observer } = this.#options;
    switch (channel) {
      case 'status': {
        const status = parseAgentStatus(payload);
        if (!supersedes(this.#statuses.get(agent) ?? null, status)) return;
        this.runner.onStatus(agent, status);
        if (!this.#isKnown(agent)) return;
        this.#statuses.set(agent, status);
        observer.onStatus(agent, status);
        return;
      }
      case 'telemetry':
        if (this.#isKnown(agent)) observer.onTelemetry(agent, parseTelemetry(payload));
        return;
      case 'alarms':
        this.#onAlarm(agent, payload);
        return;
      case 'hello':
      case 'request':
      case 'answer':
        this.#onEnvelope(agent, this.#open(agent, decodeEnvelope(payload)));
        return;
      default:
        return;
    }
  }

  #onEnvelope(agent: string, message: WireMessage): void {
    switch (message.kind) {
      case 'hello':
        this.runner.onHello(agent, message);
        this.#sendWaiting(agent);
        return;
      case 'command-receipt':
        if (this.#options.desk.answered(agent, message)) this.runner.onLabels();
        return;
      case 'calibration':
        this.runner.onCalibration(agent, message);
        return;
      case 'blob-request':
        this.#sendBlob(agent, message.blob, message.missing);
        return;
      default:
        this.#options.log.warn(
          { agent, kind: message.kind },
          `agent ${agent} sent a ${message.kind}, which only servers send`,
        );
    }
  }

  #onTransfer(topic: string, bytes: Uint8Array): void {
    const parsed = parseTopic(topic);
    if (parsed?.channel !== 'up') return;
    const { agent } = parsed;
    let update: Update;
    try {
      update = this.#openUpdate(agent, bytes);
    } catch (error) {
      if (!(error instanceof TwinwatchError)) throw error;
      this.runner.onMalformedUpdate(agent, readAnsweredTask(bytes, MAXIMUM_UPDATE_BYTES), error.message);
      return;
    }
    this.runner.onUpdate(agent, update, bytes.length);
  }

  /** @throws TwinwatchError WIRE_* where it is no update of that agent. */
  #openUpdate(agent: string, bytes: Uint8Array): Update {
    const message = this.#open(agent, decodeEnvelope(bytes, MAXIMUM_UPDATE_BYTES));
    if (message.kind === 'update') return message;
    throw new TwinwatchError('WIRE_INVALID', `a ${message.kind} is not an update; it is ignored`, {
      context: { agent },
    });
  }

  /** The round machine bounds whom it remembers; nobody else is remembered here. */
  #isKnown(agent: string): boolean {
    return this.runner.state.agents[agent] !== undefined;
  }

  #onAlarm(agent: string, payload: Uint8Array): void {
    const event = parseAlarmEvent(payload);
    if (event.agent !== agent) {
      throw new TwinwatchError(
        'WIRE_INVALID',
        `agent ${agent} sent an alarm in the name of ${event.agent}; it is ignored`,
      );
    }
    const added = this.#options.journal.putAlarm(event);
    this.#send(agent, 'receipt', { kind: 'alarm-receipt', eventIds: [event.eventId] });
    if (added) this.#options.observer.onAlarm(event);
  }

  /** @throws TwinwatchError WIRE_INVALID where the envelope names another sender or federation than its topic. */
  #open(agent: string, envelope: ReturnType<typeof decodeEnvelope>): WireMessage {
    const { federation } = this.#options.plan;
    if (envelope.sender === agent && envelope.federation === federation) return envelope.message;
    throw new TwinwatchError(
      'WIRE_INVALID',
      `a message on the topic of ${agent} in ${federation} says it is from ${envelope.sender} in ${envelope.federation}; it is ignored`,
      { context: { agent, sender: envelope.sender } },
    );
  }

  #sendBlob(agent: string, { hash }: BlobRef, missing: readonly number[] | null): void {
    const bytes = this.#options.journal.blob(hash);
    if (bytes === null) {
      this.#options.log.warn({ agent, hash }, `agent ${agent} asks for blob ${hash}, which is not kept here any more`);
      return;
    }
    const key = `${agent} ${hash}`;
    if (missing === null && this.#sending.has(key)) return;
    this.#sending.add(key);
    const { down } = this.#topics.agent(agent);
    this.#link
      .sendTransfer(down, bytes, { ...(missing === null ? {} : { indices: missing }), signal: this.#stopping.signal })
      .catch((error: unknown) => this.#lost(down, error))
      .finally(() => this.#sending.delete(key));
  }

  #sendWaiting(agent: string): void {
    for (const command of this.#options.desk.waiting(agent)) this.#send(agent, 'command', command);
  }

  #sendWaitingLater(): void {
    this.#cancelWaiting = this.#options.timers.after('commands again', COMMANDS_AGAIN_MS, () => {
      for (const [agent, { online }] of this.#statuses) if (online) this.#sendWaiting(agent);
      this.#sendWaitingLater();
    });
  }

  #send(agent: string, channel: Extract<Channel, 'task' | 'receipt' | 'command'>, message: WireMessage): void {
    this.#publish(this.#topics.agent(agent)[channel], message);
  }

  #publish(topic: string, message: WireMessage): void {
    const { plan, clock } = this.#options;
    const fields = { federation: plan.federation, sender: 'server', sequence: this.#sequence++, sentAtMs: clock.now() };
    this.#link
      .publish(topic, encodeEnvelope({ ...fields, message }))
      .catch((error: unknown) => this.#lost(topic, error));
  }

  /** No alarm: tasks go out again at the agent's next hello, receipts at the next repetition, commands until they are answered, the manifest at the next connection. */
  #lost(topic: string, error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log.debug({ topic, reason }, `message for ${topic} was not sent: ${reason}`);
  }

  #serverStatus(online: boolean, connectionId: string): Uint8Array {
    const status: ServerStatus = { online, connectionId, softwareVersion: this.#options.softwareVersion };
    return encodeJson(status);
  }
}
