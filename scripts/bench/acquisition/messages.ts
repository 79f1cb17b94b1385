/** Between the benchmark and the processes that it measures. */

/** What a device under measurement is. */
export interface DeviceSpec {
  /** 'rtu' answers Modbus RTU on its TCP port, as the far end of a serial line. */
  readonly framing: 'tcp' | 'rtu';
  /** Units that answer, from 1; each has as many float32 in its holding registers. */
  readonly units: number;
  readonly floatsPerUnit: number;
  /** One that never answers; 0 for none. */
  readonly deadUnit: number;
  /** Since when registers count milliseconds: a register holds when it changed last. */
  readonly originMs: number;
}

export interface DeviceCounts {
  readonly kind: 'counts';
  readonly registers: number;
  /** Requests by unit, answered or not. */
  readonly requests: Readonly<Record<string, number>>;
}

/** What a process that polls is to do, until it is stopped. */
export interface PollSpec {
  readonly how: 'twinwatch' | 'bare';
  readonly url: string;
  readonly units: number;
  readonly floatsPerUnit: number;
  /** 0 as fast as it goes. */
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly originMs: number;
}

export interface PollReport {
  readonly kind: 'report';
  readonly cpuMicroseconds: number;
  readonly rssBytes: number;
  /** From the change of a register to the sample that shows it, ms. */
  readonly latencyMs: readonly number[];
  /** By unit: longest time between two of its readings, ms. */
  readonly longestGapMs: Readonly<Record<string, number>>;
  readonly badSamples: number;
}

export interface PollEvent {
  readonly kind: 'first-reading' | 'fault' | 'again';
  readonly atMs: number;
}
