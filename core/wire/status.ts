import type { ProtocolRange } from './protocol.js';

/** Who is there, and how it is: JSON, for people and other programs as well. */

/** JSON on agents/<id>/status, retained; the last will has online: false and the same connectionId. */
export interface AgentStatus {
  readonly online: boolean;
  readonly connectionId: string;
  readonly atMs: number;
  readonly softwareVersion: string;
  readonly modelVersion: string | null;
  readonly health: AgentHealth | null;
  /** The process that says so; absent from older agents. */
  readonly instance?: AgentInstance;
  /** See protocol.ts; absent from older agents. */
  readonly protocols?: ProtocolRange;
  /** See StatusPlace in replay.ts; both absent from older agents. */
  readonly sequence?: number;
  readonly connectionSequence?: number;
}

/** A running agent: two that say the same id are told apart by it. */
export interface AgentInstance {
  /** New with every start. */
  readonly id: string;
  /** Its wall clock. */
  readonly startedAtMs: number;
  /** Of the machine; empty where it is not known. */
  readonly host: string;
}

export interface AgentHealth {
  readonly rowsAcquired: number;
  readonly rowsMissing: number;
  readonly badSamples: number;
  /** Readings of a row that was complete already. */
  readonly duplicateReadings: number;
  /** Readings that came after their row had gone on without them, or that were refused for an implausible time. */
  readonly lateReadings: number;
  readonly droppedTelemetry: number;
  readonly outboxEvents: number;
  /** Alarm events that a full outbox gave up before the server had them, ever; absent from older agents. */
  readonly droppedEvents?: number;
  readonly rssBytes: number;
  /** Over the newest rows that were judged: from the first device's response of a row's scan to the decision about an alarm. */
  readonly sensorToAlarmMsP50: number | null;
  readonly sensorToAlarmMsP99: number | null;
  /** Rows that the percentiles are over. */
  readonly sensorToAlarmCount: number;
  /** Device name → what is wrong, for devices that do not answer now or are not where the rows are, and for the agent's own disk and clock. */
  readonly deviceFaults: Readonly<Record<string, string>>;
  /** Error code → messages that were refused with it since the agent was started; absent where there were none. */
  readonly refusedMessages?: Readonly<Record<string, number>>;
}

/** JSON on server/status, retained; the last will has online: false. A new connection id asks every agent for a hello. */
export interface ServerStatus {
  readonly online: boolean;
  readonly connectionId: string;
  readonly softwareVersion: string;
  /** See protocol.ts; absent from older servers. */
  readonly protocols?: ProtocolRange;
  /** See StatusPlace in replay.ts; both absent from older servers. */
  readonly sequence?: number;
  readonly connectionSequence?: number;
}
