import { TwinwatchError } from '@twinwatch/core/errors';
import type { TrainingEngine } from '@twinwatch/core/learning/engine';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import { Gate, SERVER } from '@twinwatch/core/wire/gate';
import { encodeJson, parseAgentStatus, parseServerStatus } from '@twinwatch/core/wire/json-messages';
import { Link } from '@twinwatch/core/wire/link';
import type { Manifest, WireMessage } from '@twinwatch/core/wire/messages';
import type { BrokerAccess, MqttClientLike, MqttConnectOptions } from '@twinwatch/core/wire/mqtt-client';
import { type Agreement, agreement, type ProtocolRange, SPOKEN } from '@twinwatch/core/wire/protocol';
import { type Floor, type Floors, statusPlaces } from '@twinwatch/core/wire/replay';
import { signJson } from '@twinwatch/core/wire/signing';
import type { AgentHealth, AgentInstance, AgentStatus, ServerStatus } from '@twinwatch/core/wire/status';
import { parseTopic, topics } from '@twinwatch/core/wire/topics';
import type { DetectionPipeline } from '../detection/detection-pipeline.js';
import type { Store } from '../store/store.js';
import type { TrainingLimits } from '../training/local-training.js';
import type { AgentTrust } from './agent-trust.js';
import { AlarmOutbox } from './alarm-outbox.js';
import { believe, restoreTrust } from './announced-keys.js';
import { BlobFetcher } from './blob-fetcher.js';
import { CommandTaker } from './command-taker.js';
import type { FederationContext } from './federation-context.js';
import { HelloSender } from './hello-sender.js';
import { IdentityWatch, isSignedBy, newInstanceId, rivalWords } from './identity-watch.js';
import { MessageMemory } from './message-memory.js';
import { ModelKeeper } from './model-keeper.js';
import { TaskRunner } from './task-runner.js';
import { type TelemetryOptions, tellTelemetry } from './telemetry.js';
import { UpdateOutbox } from './update-outbox.js';

export interface FederationOptions extends TelemetryOptions {
  readonly federation: string;
  readonly agent: string;
  readonly softwareVersion: string;
  /** Those of this release where absent. */
  readonly protocols?: ProtocolRange;
  readonly broker: BrokerAccess;
  readonly connect: (options: MqttConnectOptions) => MqttClientLike;
  readonly trust: AgentTrust;
  readonly store: Store;
  readonly pipeline: DetectionPipeline;
  /** Null for an agent that only detects. */
  readonly training: {
    readonly limits: TrainingLimits;
    readonly engine: () => Promise<TrainingEngine>;
    readonly engineName: string;
  } | null;
  readonly siteTags: () => readonly string[];
  /** Of this site's rows. */
  readonly intervalMs: number;
  readonly health: () => Promise<AgentHealth>;
  readonly statusEveryMs: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  /** Of the machine, so that people find it. */
  readonly host?: string;
}

/** For as long an agent that gave way to another of the same id stays away; then it looks whether that one is gone. */
const HOLD_MS = 10 * 60_000;

/** An agent's life in its federation: see "On the wire" in docs/architecture.md. */
export class AgentFederation {
  readonly #options: FederationOptions;
  readonly #context: FederationContext;
  readonly #blobs: BlobFetcher;
  readonly #updates: UpdateOutbox;
  readonly #tasks: TaskRunner | null;
  readonly #models: ModelKeeper;
  readonly #outbox: AlarmOutbox;
  readonly #commands: CommandTaker;
  readonly #identity: IdentityWatch;
  readonly #instance: AgentInstance;
  readonly #memory: MessageMemory;
  readonly #hello: HelloSender;
  readonly #places: ReturnType<typeof statusPlaces>;
  #gate: Gate;
  #signal: AbortSignal = AbortSignal.abort();
  #lineageHash: string | null = null;
  #intervalFault: string | null = null;
  #serverConnection: string | null = null;
  /** Null until a server was heard of. */
  #agreement: Agreement | null = null;

  constructor(options: FederationOptions) {
    const { federation, agent, store, clock, timers, log, pipeline, siteTags, training, trust } = options;
    const agentTopics = topics(federation).agent(agent);
    this.#options = options;
    this.#memory = new MessageMemory(options);
    this.#places = statusPlaces(() => this.#memory.nextSequence());
    this.#instance = { id: newInstanceId(options.random), startedAtMs: clock.now(), host: options.host ?? '' };
    this.#identity = new IdentityWatch(this.#instance, clock);
    this.#gate = this.#gateFrom({});
    this.#context = {
      federation,
      agent,
      store,
      clock,
      timers,
      log,
      topics: agentTopics,
      link: this.#link(),
      nextSequence: () => this.#memory.nextSequence(),
      trust,
      protocol: () => this.#protocol(),
    };
    const context = this.#context;
    this.#hello = new HelloSender({
      ...{ context, softwareVersion: options.softwareVersion, protocols: this.#protocols, siteTags, training },
      mayTalk: () => this.#agreement?.agreed !== false,
      lineageHash: () => this.#lineageHash,
      modelVersion: () => this.#models.current?.modelVersion ?? null,
    });
    this.#blobs = new BlobFetcher(context);
    this.#updates = new UpdateOutbox(context);
    this.#outbox = new AlarmOutbox(context);
    this.#commands = new CommandTaker({ context, pipeline, onLabels: () => void this.#hello.say() });
    this.#models = new ModelKeeper({
      context,
      blobs: this.#blobs,
      pipeline,
      siteTags,
      onModel: () => this.#announce(),
    });
    this.#tasks =
      training === null
        ? null
        : new TaskRunner({
            context,
            blobs: this.#blobs,
            updates: this.#updates,
            engine: training.engine,
            limits: training.limits,
            siteTags,
            intervalMs: options.intervalMs,
            onIntervalFault: (words) => {
              this.#intervalFault = words;
              void this.#publishStatus();
            },
            onLineage: (hash) => {
              if (hash === this.#lineageHash) return;
              this.#lineageHash = hash;
              store.write({ op: 'state', key: 'lineage', value: hash });
              void this.#hello.say();
            },
          });
  }

  get link(): Link {
    return this.#context.link;
  }

  /** The detector that ran before, from disk: detection does not wait for a network. */
  async restore(): Promise<void> {
    this.#gate = this.#gateFrom(await this.#memory.restore());
    await restoreTrust(this.#context);
    const lineage = await this.#options.store.call('state', 'lineage');
    this.#lineageHash = lineage === null ? null : Buffer.from(lineage).toString('utf8');
    await this.#models.restore();
  }

  /** Runs until the signal aborts, then says goodbye. The broker may be absent for as long as it likes. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    const { link } = this.#context;
    link.start();
    await this.#updates.restore(signal);
    await Promise.all([
      this.#outbox.run(signal),
      this.#statusLoop(signal),
      tellTelemetry(this.#context, this.#options, signal),
    ]);
    await this.#tasks?.idle();
    await this.#models.idle();
    await link.stop();
    this.#updates.flush();
    this.#memory.flush();
  }

  /** An alarm's event is on its way to the store. */
  alarmStored(event: AlarmEvent): void {
    this.#outbox.stored(event);
  }

  #gateFrom(floors: Floors): Gate {
    const { federation, trust, clock } = this.#options;
    const onFloor = (key: string, floor: Floor) => this.#memory.raise(key, floor);
    return new Gate({ federation, trust, floors, onFloor, protocols: this.#protocols, now: () => clock.now() });
  }

  #link(): Link {
    const { federation, agent, broker, connect, clock, timers, random, log } = this.#options;
    const all = topics(federation);
    const mine = all.agent(agent);
    return new Link({
      ...broker,
      connect,
      clock,
      timers,
      random,
      log,
      clientId: `twinwatch-${federation}-${agent}`,
      subscriptions: [mine.task, mine.down, mine.receipt, mine.command, mine.status, all.manifest, all.serverStatus],
      will: (connectionId) => ({ topic: mine.status, payload: this.#signedStatus(false, connectionId, null) }),
      onMessage: (topic, payload) => this.#onMessage(topic, payload),
      onTransfer: (_topic, bytes, transfer) => this.#blobs.arrived(transfer, bytes),
      onChunk: (_topic, chunk) => this.#blobs.chunk(chunk),
      onMissing: (incomplete) => this.#blobs.missing(incomplete),
      onOnline: () => {
        this.#outbox.reconnected();
        this.#announce();
      },
    });
  }

  #onMessage(topic: string, payload: Uint8Array): void {
    const channel = parseTopic(topic)?.channel;
    if (channel === 'status') {
      this.#onOwnStatus(topic, payload);
      return;
    }
    if (channel === 'serverStatus') {
      const server = this.#gate.openStatus(topic, payload, SERVER, parseServerStatus);
      if (!server.online || server.connectionId === this.#serverConnection) return;
      this.#serverConnection = server.connectionId;
      this.#meet(server);
      // A server that was away has lost nothing that had a receipt, and may have lost everything else. It hears the status from here, too:
      // not every broker hands out what is retained to a subscription with a wildcard.
      this.#outbox.reconnected();
      this.#announce();
      return;
    }
    this.#handle(this.#gate.open(topic, payload, SERVER));
  }

  get #protocols(): ProtocolRange {
    return this.#options.protocols ?? SPOKEN;
  }

  /** A server of another release may have come. Where the two have no protocol in common, this agent goes on by itself. */
  #meet(server: ServerStatus): void {
    const { agent, softwareVersion, log } = this.#options;
    const before = this.#agreement;
    const found = agreement(server, agent, { softwareVersion, protocols: this.#protocols });
    this.#agreement = found;
    if (!found.agreed)
      log.error(
        { server: server.protocols, own: this.#protocols },
        `${found.reason}. Until then this agent measures and judges, and takes no part in the federation`,
      );
    else if (before?.agreed === false) log.info({ protocol: found.protocol }, 'agent and server understand each other');
  }

  /** Before a server was heard of, what most servers read: it is greeted again once it was. */
  #protocol(): number {
    const found = this.#agreement;
    if (found === null) return this.#protocols.oldest;
    if (found.agreed) return found.protocol;
    throw new TwinwatchError('WIRE_PROTOCOL', found.reason);
  }

  /** What the broker tells of this agent: its own words, or those of another process that has its id. */
  #onOwnStatus(topic: string, payload: Uint8Array): void {
    const { agent, log, trust } = this.#options;
    if (payload.length === 0 || !isSignedBy(topic, payload, trust.signer)) return;
    const status = parseAgentStatus(payload);
    if (this.#identity.heard(status)) {
      const rival = rivalWords(agent, status.instance!);
      log.error({ rival: status.instance, againMs: HOLD_MS }, `${rival}. This one started later and gives way`);
      this.link.hold(HOLD_MS, rival);
      return;
    }
    // Somebody's last will came late, and is what the broker now tells of this agent.
    if (!status.online && this.link.online && status.connectionId !== this.link.connectionId)
      void this.#publishStatus();
  }

  #handle(message: WireMessage): void {
    const { log } = this.#options;
    switch (message.kind) {
      case 'calibrate':
      case 'fit':
      case 'evaluate':
        if (this.#tasks === null) log.debug({ kind: message.kind }, 'training is disabled here; task ignored');
        else this.#tasks.take(message, this.#signal);
        break;
      case 'manifest':
        this.#announced(message);
        break;
      case 'update-receipt':
        this.#updates.received(message);
        if (message.verdict === 'unknown-agent') void this.#hello.say();
        break;
      case 'alarm-receipt':
        this.#outbox.received(message.eventIds);
        break;
      case 'chunk-request':
        this.#updates
          .resend(message.transfer, message.missing, this.#signal)
          .catch((error: unknown) => log.debug({ error: String(error) }, 'chunks not sent again'));
        break;
      case 'alarm-command':
      case 'label-command':
        this.#commands.take(message);
        break;
      case 'trust':
        if (believe(this.#context, message)) void this.#hello.say();
        break;
      case 'hello':
      case 'calibration':
      case 'update':
      case 'blob-request':
      case 'command-receipt':
      case 'model-report':
        log.warn({ kind: message.kind }, 'a message that only agents send has come to an agent; ignored');
        break;
    }
  }

  #announced(manifest: Manifest): void {
    try {
      this.#models.announce(manifest, this.#signal);
    } catch (error) {
      this.#gate.count(SERVER, error);
      throw error;
    }
  }

  /** On every connection, and whenever what they say has changed. */
  #announce(): void {
    void this.#publishStatus();
    void this.#hello.say();
  }

  /** The site has other tags than it told. */
  siteChanged(): void {
    void this.#hello.say();
  }

  #status(online: boolean, connectionId: string, health: AgentHealth | null): AgentStatus {
    const { clock, softwareVersion, pipeline } = this.#options;
    const { modelVersion } = pipeline;
    const told = { instance: this.#instance, protocols: this.#protocols, ...this.#places(connectionId, online) };
    return { online, connectionId, atMs: clock.now(), softwareVersion, modelVersion, health, ...told };
  }

  async #health(): Promise<AgentHealth> {
    const health = await this.#options.health();
    const refused = this.#gate.refused.get(SERVER);
    return refused === undefined ? health : { ...health, refusedMessages: refused.byCode };
  }

  #signedStatus(online: boolean, connectionId: string, health: AgentHealth | null): Uint8Array {
    const { federation, agent, trust } = this.#options;
    const topic = topics(federation).agent(agent).status;
    return signJson(topic, encodeJson(this.#status(online, connectionId, health)), trust.signer);
  }

  async #publishStatus(): Promise<void> {
    if (!this.link.online) return;
    try {
      const health = await this.#health();
      const deviceFaults = { ...health.deviceFaults, ...this.#faults() };
      const status = this.#signedStatus(true, this.link.connectionId, { ...health, deviceFaults });
      await this.link.publish(this.#context.topics.status, status);
      this.#identity.said();
    } catch (error) {
      this.#options.log.debug({ error: String(error) }, 'status not sent');
    }
  }

  /** What is wrong between this agent and its federation. */
  #faults(): Readonly<Record<string, string>> {
    const { rival } = this.#identity;
    const protocol = this.#agreement?.agreed === false ? this.#agreement.reason : null;
    return {
      ...(rival === null ? {} : { identity: rivalWords(this.#options.agent, rival) }),
      ...(protocol === null ? {} : { 'protocol version': protocol }),
      ...(this.#intervalFault === null ? {} : { interval: this.#intervalFault }),
    };
  }

  async #statusLoop(signal: AbortSignal): Promise<void> {
    const { timers, statusEveryMs } = this.#options;
    while (!signal.aborted) {
      await timers.sleep('status', statusEveryMs, signal).catch(() => undefined);
      if (signal.aborted || !this.link.online) continue;
      await this.#publishStatus();
      void this.#hello.sayWhenGrown();
    }
  }
}
