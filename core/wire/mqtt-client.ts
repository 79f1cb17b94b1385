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
    options: { readonly qos: 0 | 1 },
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
  /** 4 is MQTT 3.1.1. */
  readonly protocolVersion: 4 | 5;
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
  readonly cert?: string;
  readonly key?: string;
  /** Of MQTT 5. */
  readonly properties?: { readonly sessionExpiryInterval: number };
  readonly will?: {
    readonly topic: string;
    readonly payload: Buffer;
    readonly qos: 0 | 1;
    readonly retain: boolean;
  };
}

/** Where a broker is, and how to log in there. */
export interface BrokerAccess {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM of the authority that signed the broker's certificate, for mqtts and wss URLs. */
  readonly ca?: string | undefined;
  /** PEM of the client's own certificate and its private key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Certificates and key as they are now, for the next connection; those above stand in for what it does not give. */
  readonly renewed?: () => { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** 4 (MQTT 3.1.1) where absent. */
  readonly protocolVersion?: 4 | 5 | undefined;
}

/** In MQTT 5 a session without this ends with its connection; of 3.1.1 sessions that are not clean never end by themselves, either. */
const NEVER_EXPIRES = 0xffff_ffff;

/** The part of the connect options that says where and as whom. */
export function accessOptions(access: BrokerAccess, clean: boolean) {
  const { url, username, password, protocolVersion = 4, renewed } = access;
  const { ca, cert, key } = { ...access, ...renewed?.() };
  return {
    ...{ url, protocolVersion, clean },
    ...(protocolVersion === 5 && !clean ? { properties: { sessionExpiryInterval: NEVER_EXPIRES } } : {}),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}
