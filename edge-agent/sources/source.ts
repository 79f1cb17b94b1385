import type { DeviceReading } from '@twinwatch/core/scada/row-assembler';

/** Where readings go. Both calls return at once and never throw: acquisition waits for nothing. */
export interface SourceSink {
  reading(reading: DeviceReading): void;
  /** `fault` says what is wrong with a device that has stopped answering; null once it answers again. */
  fault(device: string, fault: string | null): void;
}

/** One way to acquire: a Modbus bus, and later a serial line, an MQTT subscription, a growing CSV. */
export interface Source {
  readonly name: string;
  /** Names of the devices that this source reads. */
  readonly devices: readonly string[];
  /** Acquires until the signal aborts, then closes what it opened and resolves. Never rejects on a device's failure. */
  start(signal: AbortSignal, sink: SourceSink): Promise<void>;
}
