import type { RoundsConfig } from '@twinwatch/core/config/server';
import type { Tag } from '@twinwatch/core/scada/tag';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { Refusals } from '@twinwatch/core/wire/gate';
import type { AgentView, CertificateView, DecisionView, RegistryView } from '@twinwatch/core/wire/http';
import { withChanges } from '@twinwatch/core/wire/report-by-exception';
import type { AgentStatus } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import type { Journal } from '../aggregator/journal.js';
import type { FederationState } from '../aggregator/rounds/round-state.js';
import { closedRoundView } from '../aggregator/rounds/round-view.js';
import type { Step } from '../aggregator/rounds/step.js';
import { decisionView } from '../decisions/decision-desk.js';
import type { FederationObserver } from '../federation-options.js';
import { currentModel } from '../registry/model-registry.js';
import type { ChangeFeed } from './change-feed.js';
import type { TelemetryHistory } from './telemetry-history.js';
import { agentView, openRoundView, phaseView, refusedMessages, type Snapshot } from './views.js';

export interface LiveViewOptions {
  readonly federation: string;
  readonly rounds: RoundsConfig;
  readonly tags: readonly Tag[];
  readonly journal: Journal;
  readonly run: string;
  readonly changes: ChangeFeed;
  readonly history: Pick<TelemetryHistory, 'add'>;
  readonly certificates: () => readonly CertificateView[];
}

const SHOWN_ALARMS = 200;
const SHOWN_DECISIONS = 200;
const SHOWN_ROUNDS = 1_000;

/** What is shown now, and the telling of what changed. */
export class LiveView implements FederationObserver {
  readonly #options: LiveViewOptions;
  readonly #statuses = new Map<string, AgentStatus>();
  readonly #telemetry = new Map<string, Telemetry>();
  #twinProgress: number | null = 0;
  #state: FederationState | null = null;
  #registry: RegistryView | null = null;
  #refused: ReadonlyMap<string, Refusals> = new Map();

  constructor(options: LiveViewOptions) {
    this.#options = options;
  }

  snapshot(): Snapshot {
    const { federation, tags, journal, run } = this.#options;
    return {
      ...this.#brief(),
      federation,
      tags,
      closedRounds: journal.rounds(run, SHOWN_ROUNDS),
      model: this.#registry === null ? journal.latestModel() : currentModel(this.#registry),
      registry: this.#registry,
      alarms: journal.alarms(SHOWN_ALARMS),
      decisions: journal.decisions(SHOWN_DECISIONS).map(decisionView),
      refused: this.#refused,
      certificates: this.#options.certificates(),
    };
  }

  onTwinProgress(share: number): void {
    this.#twinProgress = share;
    this.#options.changes.publish('phase', phaseView(this.#brief()));
  }

  onReady(state: FederationState, refused: ReadonlyMap<string, Refusals>, registry: RegistryView): void {
    this.#registry = registry;
    this.#refused = refused;
    this.#twinProgress = null;
    this.#state = state;
    this.#options.changes.publish('phase', phaseView(this.#brief()));
  }

  onStep({ state, closed }: Step): void {
    const before = this.#state;
    this.#state = state;
    const { method } = this.#options.rounds;
    for (const [id, agent] of Object.entries(state.agents)) {
      if (before?.agents[id] !== agent) this.#options.changes.publish('agent', agentView(id, this.#brief()));
    }
    for (const round of closed) this.#options.changes.publish('round', closedRoundView(round, method));
    if (state.current !== before?.current) {
      const open = openRoundView(this.#brief());
      if (open !== null) this.#options.changes.publish('round', open);
    }
    if (state !== before) this.#options.changes.publish('phase', phaseView(this.#brief()));
  }

  onStatus(agent: string, status: AgentStatus): void {
    this.#statuses.set(agent, status);
    this.#options.changes.publish('agent', agentView(agent, this.#brief()));
  }

  onTelemetry(agent: string, telemetry: Telemetry): void {
    const whole = withChanges(this.#telemetry.get(agent), telemetry);
    this.#telemetry.set(agent, whole);
    this.#options.history.add(agent, whole);
    this.#options.changes.publish('telemetry', { agent, telemetry: whole });
  }

  onAlarm(event: AlarmEvent): void {
    this.#options.changes.publish('alarm', event);
  }

  onRegistry(view: RegistryView): void {
    const before = this.#registry?.current;
    this.#registry = view;
    const model = currentModel(view);
    if (model !== null && view.current !== before) this.#options.changes.publish('model', model);
    this.#options.changes.publish('registry', view);
  }

  onCertificates(): void {
    this.#options.changes.publish('certificates', this.#options.certificates());
  }

  onRefused(): void {
    this.#options.changes.publish('refused', refusedMessages(this.#refused));
  }

  onDecision(decision: DecisionView): void {
    this.#options.changes.publish('decision', decision);
  }

  agent(id: string): AgentView {
    return agentView(id, this.#brief());
  }

  /** Whether an agent of that name has ever been heard of. */
  isAgent(id: string): boolean {
    return this.#statuses.has(id) || this.#state?.agents[id] !== undefined;
  }

  #brief() {
    return {
      machine: this.#options.rounds,
      twinProgress: this.#twinProgress,
      state: this.#state,
      statuses: this.#statuses,
      telemetry: this.#telemetry,
    };
  }
}
