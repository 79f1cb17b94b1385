/** The part of an mqtt.js client that the link uses; `(options) => mqtt.connect(options.url, options)` makes one. */
export interface MqttClientLike {
  on(event: 'connect', listener: () => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(
    event: 'message',
    listener: (topic: string, payload: Buffer, packet: { readonly retain: boolean; readonly dup: boolean }) => void,
  ): unknown;
  publish(
    topic: string,
    payload: Buffer,
    options: { readonly qos: 0 | 1; readonly retain: boolean },
    callback: (error?: Error | null) => void,
  ): unknown;
  subscribe(
    filters: string[],
    options: { readonly qos: 1 },
    callback: (
      error: Error | null,
      granted?: readonly { readonly topic: string; readonly qos: number }[] | undefined,
    ) => void,
  ): unknown;
  end(force: boolean, callback: () => void): unknown;
}

export interface MqttConnectOptions {
  readonly url: string;
  readonly clientId: string;
  readonly protocolVersion: 4;
  /** False: the broker keeps what it has not delivered while the link is away. */
  readonly clean: boolean;
  /** Seconds. */
  readonly keepalive: number;
  readonly connectTimeout: number;
  /** The link decides when to dial again. */
  readonly reconnectPeriod: 0;
  readonly resubscribe: false;
  readonly queueQoSZero: false;
  readonly username?: string;
  readonly password?: string;
  readonly ca?: string;
  readonly will?: {
    readonly topic: string;
    readonly payload: Buffer;
    readonly qos: 0 | 1;
    readonly retain: boolean;
  };
}
