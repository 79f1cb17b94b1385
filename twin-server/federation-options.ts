import type { RegistryConfig } from '@twinwatch/core/config/registry';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import type { AlarmEvent } from '@twinwatch/core/wire/alarm-event';
import type { RegistryView } from '@twinwatch/core/wire/http';
import type { BrokerDoor } from '@twinwatch/core/wire/link-options';
import type { ProtocolRange } from '@twinwatch/core/wire/protocol';
import type { AgentStatus } from '@twinwatch/core/wire/status';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import type { Journal } from './aggregator/journal.js';
import type { FederationPlan, RoundWork } from './aggregator/round-work.js';
import type { Step } from './aggregator/rounds/step.js';
import type { DecisionDesk } from './decisions/decision-desk.js';
import type { ServerTrust } from './server-trust.js';

/** What a federation's service is made of, and whom it tells. */

export interface FederationServiceOptions {
  readonly plan: FederationPlan;
  readonly work: RoundWork;
  readonly journal: Journal;
  readonly run: string;
  readonly broker: BrokerDoor;
  /** Unsigned where absent. */
  readonly trust?: ServerTrust;
  readonly softwareVersion: string;
  /** Those of this release where absent. */
  readonly protocols?: ProtocolRange;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly log: Logger;
  readonly observer: FederationObserver;
  /** The defaults where absent. */
  readonly registry?: RegistryConfig;
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
  onRegistry?(view: RegistryView): void;
  /** Other certificates count, or end at another time; see ServerTrust. */
  onCertificates?(): void;
  /** Messages were refused, see FederationService.refused; told of many at once. */
  onRefused?(): void;
}
