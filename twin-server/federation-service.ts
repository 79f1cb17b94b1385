import { registryConfig } from '@twinwatch/core/config/registry';
import { type ErrorCode, TwinwatchError } from '@twinwatch/core/errors';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { AlarmCommand, LabelCommand } from '@twinwatch/core/wire/commands';
import { encodeEnvelope, readAnsweredTask } from '@twinwatch/core/wire/envelope';
import { Gate, SERVER } from '@twinwatch/core/wire/gate';
import { INLINE_PROTOCOL, MAXIMUM_INLINE_BYTES, withParameters } from '@twinwatch/core/wire/inline-parameters';
import { encodeJson, parseAgentStatus, parseAlarmEvent, parseTelemetry } from '@twinwatch/core/wire/json-messages';
import { Link } from '@twinwatch/core/wire/link';
import type {
  CalibrateTask,
  Calibration,
  EvaluateTask,
  FitTask,
  Manifest,
  Update,
  WireMessage,
} from '@twinwatch/core/wire/messages';
import { supersedes } from '@twinwatch/core/wire/presence';
import { SPOKEN, type Version } from '@twinwatch/core/wire/protocol';
import { type Floor, risingSequence, statusPlaces } from '@twinwatch/core/wire/replay';
import { signJson } from '@twinwatch/core/wire/signing';
import type { AgentStatus, ServerStatus } from '@twinwatch/core/wire/status';
import { type AgentChannel as Channel, parseTopic, topics } from '@twinwatch/core/wire/topics';
import { TrafficTally } from '@twinwatch/core/wire/traffic';
import { AgentVersions } from './agent-versions.js';
import type { AgentChannel } from './aggregator/effect-performer.js';
import { RoundRunner } from './aggregator/round-runner.js';
import { BlobSender } from './blob-sender.js';
import type { FederationServiceOptions } from './federation-options.js';
import { KeyWatch } from './key-watch.js';
import { ModelRegistry } from './registry/model-registry.js';
import { NO_KEYS, type ServerTrust } from './server-trust.js';
import { UpdateInbox } from './update-inbox.js';

/** Brings together the link to the broker and the round runner: messages in, messages out, presence, alarms, blobs. */

/** Between two tries to deliver what people decided to agents that are there. */
const COMMANDS_AGAIN_MS = 30_000;

/** Whoever floods a server must not make it flood pages. */
const TELL_REFUSED_MS = 1_000;

/** A server that is killed forgets as much of what was sent to it; whatever is handled again is handled once. */
const KEEP_FLOORS_MS = 1_000;

/** What says that a message is not from whom it says it is, or not new. */
const FORGED: ReadonlySet<ErrorCode> = new Set([
  'WIRE_UNSIGNED',
  'WIRE_KEY_UNKNOWN',
  'WIRE_KEY_REVOKED',
  'WIRE_SIGNATURE_INVALID',
  'WIRE_REPLAYED',
]);

/** A server sends no alarms, and much to many. */
const IN_FLIGHT_BYTES = 64 * 1024;

/** An update of the largest network that is plausible here, with its envelope. */
const MAXIMUM_UPDATE_BYTES = 64 * 1024 * 1024;

export class FederationService {
  readonly runner: RoundRunner;
  readonly registry: ModelRegistry;
  readonly #options: FederationServiceOptions;
  readonly #topics: ReturnType<typeof topics>;
  readonly #link: Link;
  readonly #statuses = new Map<string, AgentStatus>();
  readonly #versions: AgentVersions;
  /** That the manifest was published in last. */
  #manifestProtocol: number | null = null;
  readonly #updates: UpdateInbox;
  readonly #blobs: BlobSender;
  readonly #traffic = new TrafficTally();
  readonly #stopping = new AbortController();
  readonly #trust: ServerTrust;
  readonly #gate: Gate;
  readonly #nextSequence: () => number;
  readonly #places: ReturnType<typeof statusPlaces>;
  #isTellingRefused = false;
  /** Risen since they were last kept. */
  readonly #floors = new Map<string, Floor>();
  #cancelWaiting: () => void = () => undefined;
  readonly #keys: KeyWatch;

  constructor(options: FederationServiceOptions) {
    const { plan, clock, broker, journal, softwareVersion, protocols = SPOKEN, trust = NO_KEYS } = options;
    this.#options = options;
    this.#versions = new AgentVersions({ softwareVersion, protocols });
    this.#trust = trust;
    this.#keys = new KeyWatch({
      ...{ trust, timers: options.timers },
      onKeys: () => {
        for (const [agent, { online }] of this.#statuses) if (online) this.#announceKeys(agent, 0);
      },
      onCertificates: () => options.observer.onCertificates?.(),
    });
    this.#topics = topics(plan.federation);
    this.#nextSequence = risingSequence(journal.nextSequence(), clock.now(), (next) => journal.putNextSequence(next));
    this.#places = statusPlaces(this.#nextSequence);
    this.#gate = new Gate({
      ...{ federation: plan.federation, trust, floors: journal.floors(), now: () => clock.now() },
      protocols,
      onRefused: () => this.#tellRefused(),
      onFloor: (key, floor) => {
        if (this.#floors.size === 0) options.timers.after('message floors', KEEP_FLOORS_MS, () => this.#keepFloors());
        this.#floors.set(key, floor);
      },
    });
    const { status, telemetry, alarms, hello, up, request, answer } = this.#topics.everyAgent;
    this.#link = new Link({
      ...broker,
      clientId: `${plan.federation}-server`,
      will: (connectionId) => ({ topic: this.#topics.serverStatus, payload: this.#serverStatus(false, connectionId) }),
      subscriptions: [status, alarms, hello, up, request, answer],
      fleetingSubscriptions: [telemetry],
      inFlightBytes: IN_FLIGHT_BYTES,
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
      onPayload: (topic, bytes) => this.#traffic.count(topic, bytes),
      onOnline: (connectionId) => this.#onOnline(connectionId),
    });
    this.#blobs = new BlobSender({
      ...{ journal, link: this.#link, log: options.log, signal: this.#stopping.signal },
      topicOf: (agent) => this.#topics.agent(agent).down,
      lost: (topic, error) => this.#lost(topic, error),
    });
    this.registry = new ModelRegistry({
      ...{ journal, clock, timers: options.timers, log: options.log },
      config: { ...(options.registry ?? registryConfig.parse({})), maximumFalseRate: plan.detector.maximumFalseRate },
      publish: (manifest) => this.#publishManifest(manifest),
      agents: () => this.#able(),
      onChange: (view) => options.observer.onRegistry?.(view),
    });
    this.runner = new RoundRunner({
      ...options,
      agents: this.#channel(),
      now: () => clock.now(),
      onStep: (step) => options.observer.onStep(step),
    });
    this.#updates = new UpdateInbox({
      ...{ timers: options.timers, log: options.log },
      take: (arrived) => this.runner.onUpdates(arrived),
    });
  }

  start(): void {
    this.#link.start();
    this.runner.start();
    this.registry.start();
    this.#sendWaitingLater();
    if (this.#trust.verifier !== null) this.#keys.start();
  }

  /** Once, now. What is not answered is sent again by itself. An agent that is away gets it with its next hello. */
  sendCommand(agent: string, command: AlarmCommand | LabelCommand): void {
    if (this.#statuses.get(agent)?.online === true) this.#send(agent, 'command', command);
  }

  async stop(): Promise<void> {
    this.#updates.take();
    this.#stopping.abort();
    this.#cancelWaiting();
    this.#keys.stop();
    this.registry.stop();
    await this.runner.stop();
    await this.#link.stop();
    this.#keepFloors();
  }

  /** Messages that were refused, by who they said they were from. */
  get refused(): Gate['refused'] {
    return this.#gate.refused;
  }

  #tellRefused(): void {
    if (this.#isTellingRefused) return;
    this.#isTellingRefused = true;
    this.#options.timers.after('refused', TELL_REFUSED_MS, () => {
      this.#isTellingRefused = false;
      this.#options.observer.onRefused?.();
    });
  }

  #keepFloors(): void {
    if (this.#floors.size === 0) return;
    this.#options.journal.putFloors(this.#floors);
    this.#floors.clear();
  }

  #channel(): AgentChannel {
    return {
      sendTask: (agent, task) => this.#sendTask(agent, task),
      sendReceipt: (agent, receipt) => this.#send(agent, 'receipt', receipt),
      judgeWaiting: () => this.#updates.take(),
      takeTraffic: () => this.#traffic.take(),
      publishManifest: (manifest) => this.registry.offer(manifest),
    };
  }

  #onOnline(connectionId: string): void {
    this.#link
      .publish(this.#topics.serverStatus, this.#serverStatus(true, connectionId))
      .catch((error: unknown) => this.#lost(this.#topics.serverStatus, error));
    this.runner.publishManifest();
  }

  #onMessage(topic: string, payload: Uint8Array): void {
    // In the order in which they came.
    this.#updates.take();
    const parsed = parseTopic(topic);
    if (parsed === null || parsed.agent === null || payload.length === 0) return;
    const { agent, channel } = parsed;
    const { observer } = this.#options;
    switch (channel) {
      case 'status': {
        const status = this.#statusIn(topic, payload, agent);
        if (!supersedes(this.#statuses.get(agent) ?? null, status)) return;
        this.runner.onStatus(agent, status);
        if (!this.#isKnown(agent)) return;
        this.#statuses.set(agent, status);
        this.#meet(agent, status);
        observer.onStatus(agent, status);
        return;
      }
      case 'telemetry':
        if (this.#isKnown(agent))
          observer.onTelemetry(agent, this.#gate.openJson(topic, payload, agent, parseTelemetry));
        return;
      case 'alarms':
        this.#onAlarm(agent, this.#gate.openJson(topic, payload, agent, parseAlarmEvent));
        return;
      case 'hello':
      case 'request':
      case 'answer':
        this.#onEnvelope(agent, this.#gate.open(topic, payload, agent));
        return;
      default:
        return;
    }
  }

  /** What a revoked agent says does not count, its last will included: but that it is out does, so that nobody waits for it. */
  #statusIn(topic: string, payload: Uint8Array, agent: string): AgentStatus {
    try {
      return this.#gate.openStatus(topic, payload, agent, parseAgentStatus);
    } catch (error) {
      const known = this.#statuses.get(agent);
      // Nobody looked at the signature: this holds for an agent that is out, and must not for one whose key before has had its time.
      if (known?.online !== true || !this.#trust.isRevoked(agent)) throw error;
      this.#options.log.warn({ agent }, 'the agent was revoked: it counts as offline');
      return { ...known, online: false };
    }
  }

  #onEnvelope(agent: string, message: WireMessage): void {
    switch (message.kind) {
      case 'hello':
        // Before the tasks that follow from it, which are written so that the agent reads them.
        this.#versions.heard(agent, message);
        this.runner.onHello(agent, message);
        this.#meet(agent, message);
        this.#announceKeys(agent, message.trustRevision ?? 0);
        this.#sendWaiting(agent);
        return;
      case 'command-receipt':
        if (this.#options.desk.answered(agent, message)) this.runner.onLabels();
        return;
      case 'model-report':
        if (this.#isKnown(agent)) this.registry.onReport(agent, message);
        return;
      case 'calibration':
        this.runner.onCalibration(agent, message);
        return;
      case 'blob-request':
        this.#blobs.send(agent, message.blob, message.missing);
        return;
      default:
        this.#options.log.warn(
          { agent, kind: message.kind },
          `agent ${agent} sent a ${message.kind}, which only servers send`,
        );
    }
  }

  #announceKeys(agent: string, known: number): void {
    const announced = this.#trust.announced();
    if (announced === null || known >= announced.revision) return;
    const { revision, serverKeys } = announced;
    this.#send(agent, 'command', { kind: 'trust', revision, serverKeys });
  }

  #onTransfer(topic: string, bytes: Uint8Array): void {
    const parsed = parseTopic(topic);
    if (parsed?.channel !== 'up') return;
    const { agent } = parsed;
    let message: Update | Calibration;
    try {
      message = this.#openTransfer(topic, agent, bytes);
    } catch (error) {
      // Whoever sent what is not signed, it was not that agent: nothing of it may be held against it. Nor may its release.
      if (!(error instanceof TwinwatchError) || (this.#gate.verifies && FORGED.has(error.code))) throw error;
      if (error.code === 'WIRE_PROTOCOL') throw error;
      this.#updates.take();
      this.runner.onMalformedUpdate(agent, readAnsweredTask(bytes, MAXIMUM_UPDATE_BYTES), error.message);
      return;
    }
    if (message.kind === 'update') this.#updates.add({ agent, update: message, bytes: bytes.length });
    else {
      this.#updates.take();
      this.#onEnvelope(agent, message);
    }
  }

  /** @throws TwinwatchError WIRE_* where it is neither an update nor a calibration of that agent. */
  #openTransfer(topic: string, agent: string, bytes: Uint8Array): Update | Calibration {
    const message = this.#gate.open(topic, bytes, agent, MAXIMUM_UPDATE_BYTES);
    if (message.kind === 'update' || message.kind === 'calibration') return message;
    throw new TwinwatchError(
      'WIRE_INVALID',
      `a ${message.kind} is neither an update nor a calibration; it is ignored`,
      {
        context: { agent },
      },
    );
  }

  /** Agents that are here and whose word counts. */
  #able(): string[] {
    return Object.entries(this.runner.state.agents)
      .filter(([, { online, compatible, quarantinedAtMs }]) => online && compatible && quarantinedAtMs === null)
      .map(([agent]) => agent);
  }

  /** The round machine bounds whom it remembers; nobody else is remembered here. */
  #isKnown(agent: string): boolean {
    return this.runner.state.agents[agent] !== undefined;
  }

  #onAlarm(agent: string, event: AlarmEvent): void {
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

  #sendTask(agent: string, task: CalibrateTask | FitTask | EvaluateTask): void {
    if (task.kind === 'calibrate') {
      this.#send(agent, 'task', task);
      return;
    }
    const found = this.#versions.with(agent);
    const isSmall = task.parameters.bytes <= MAXIMUM_INLINE_BYTES;
    const isRead = isSmall && found.agreed && found.protocol >= INLINE_PROTOCOL;
    const parameters = isRead ? this.#blobs.parameters(task.parameters.hash) : null;
    const whole = parameters === null ? task : withParameters(task, parameters);
    this.#send(agent, 'task', whole);
    if (whole.inline === undefined) this.#blobs.push(agent, task.parameters);
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
    const topic = this.#topics.agent(agent)[channel];
    const found = this.#versions.with(agent);
    if (found.agreed) this.#publish(topic, message, found.protocol);
    else this.#lost(topic, found.reason);
  }

  /** An agent has said what it speaks. One that cannot be talked to is not asked; the manifest is for all. */
  #meet(agent: string, told: Version & { readonly online?: boolean }): void {
    if (!this.#isKnown(agent)) {
      this.#versions.forget(agent);
      return;
    }
    this.#versions.heard(agent, told);
    const found = this.#versions.with(agent);
    if (!found.agreed && told.online !== false) this.runner.onUnfit(agent, found.reason);
    const said = this.#manifestProtocol;
    if (said !== null && said !== this.#versions.forAll()) this.runner.publishManifest();
  }

  #publishManifest(manifest: Manifest): void {
    this.#manifestProtocol = this.#versions.forAll();
    this.#publish(this.#topics.manifest, manifest, this.#manifestProtocol);
  }

  #publish(topic: string, message: WireMessage, protocol: number): void {
    const { plan, clock } = this.#options;
    const fields = { federation: plan.federation, sender: SERVER, sequence: this.#nextSequence(), protocol };
    const envelope = { ...fields, sentAtMs: clock.now(), message };
    this.#link
      .publish(topic, encodeEnvelope(envelope, undefined, { topic, signer: this.#trust.signer }))
      .catch((error: unknown) => this.#lost(topic, error));
  }

  /** No alarm: tasks go out again at the agent's next hello, receipts at the next repetition, commands until they are answered, the manifest at the next connection. */
  #lost(topic: string, error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.log.debug({ topic, reason }, `message for ${topic} was not sent: ${reason}`);
  }

  #serverStatus(online: boolean, connectionId: string): Uint8Array {
    const { softwareVersion, protocols = SPOKEN } = this.#options;
    const place = this.#places(connectionId, online);
    const status: ServerStatus = { online, connectionId, softwareVersion, protocols, ...place };
    return signJson(this.#topics.serverStatus, encodeJson(status), this.#trust.signer);
  }
}
