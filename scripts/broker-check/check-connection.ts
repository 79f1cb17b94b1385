import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { accessOptions, type BrokerAccess } from '@twinwatch/core/wire/mqtt-client';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';

/** What the probes do at the broker: connections, what comes over them, and what is left behind to be taken away at the end. */

interface Arrived {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retained: boolean;
}

export interface CheckClient {
  readonly arrived: readonly Arrived[];
  /** The broker had a session of this client id. */
  readonly sessionPresent: boolean;
  /** The connection is gone. */
  isClosed(): boolean;
  /** With QoS 1. @throws Error where it is not acknowledged, or refused. */
  publish(topic: string, content: string | Buffer, retain?: boolean): Promise<void>;
  /** With QoS 1. False where that is refused. */
  subscribe(filter: string): Promise<boolean>;
  end(): Promise<void>;
  /** As a cable that is pulled out. */
  breakOff(): void;
}

const CONNECT_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 15_000;
/** Between two looks at what has come. */
const LOOK_MS = 20;

export class CheckConnection {
  readonly topic: (name: string) => string;
  readonly #access: BrokerAccess;
  readonly #signal: AbortSignal;
  readonly #run = randomBytes(4).toString('hex');
  readonly #clients = new Set<MqttClient>();
  readonly #sessions = new Set<string>();
  readonly #retained = new Set<string>();

  /** @param prefix topics of the probes begin with it. */
  constructor(access: BrokerAccess, prefix: string, signal: AbortSignal) {
    this.#access = access;
    this.#signal = signal;
    this.topic = (name) => `${prefix}/${this.#run}/${name}`;
  }

  /** @throws Error as mqtt.js words it. */
  async connect(name: string, options: Partial<IClientOptions> = {}): Promise<CheckClient> {
    this.#signal.throwIfAborted();
    const clientId = `twinwatch-check-${this.#run}-${name}`;
    const { clean = true } = options;
    if (!clean) this.#sessions.add(clientId);
    const { url, ...access } = accessOptions({ ...this.#access, ...versionOf(options) }, clean);
    const client = mqtt.connect(url, {
      ...access,
      ...{ clientId, reconnectPeriod: 0, resubscribe: false, keepalive: 30, connectTimeout: CONNECT_TIMEOUT_MS },
      ...options,
    });
    this.#clients.add(client);
    const arrived: Arrived[] = [];
    client.on('message', (topic, payload, { retain }) => arrived.push({ topic, payload, retained: retain }));
    let reason = 'the broker closed the connection';
    let closed = false;
    const whenClosed = new Promise<never>((_resolve, reject) => {
      client.on('error', (error) => {
        reason = error.message === '' ? ((error as NodeJS.ErrnoException).code ?? reason) : error.message;
      });
      client.once('close', () => {
        closed = true;
        reject(new Error(reason));
      });
    });
    whenClosed.catch(() => undefined);
    const accepted = new Promise<boolean>((resolve) => {
      client.once('connect', ({ sessionPresent }) => resolve(sessionPresent));
    });
    const sessionPresent = await Promise.race([accepted, whenClosed]);
    const answered = <T>(answer: Promise<T>): Promise<T> => {
      const late = delay(ANSWER_TIMEOUT_MS, undefined, { ref: false }).then(() => {
        throw new Error('the broker does not answer');
      });
      return Promise.race([answer, whenClosed, late]);
    };
    return {
      ...{ arrived, sessionPresent, isClosed: () => closed },
      publish: async (topic, content, retain = false) => {
        if (retain) this.#retained.add(topic);
        await answered(client.publishAsync(topic, content, { qos: 1, retain }));
      },
      subscribe: async (filter) => {
        const granted = await answered(client.subscribeAsync(filter, { qos: 1 })).catch(() => []);
        return granted.length > 0 && granted.every(({ qos }) => qos <= 2);
      },
      end: () => client.endAsync(),
      breakOff: () => client.stream.destroy(),
    };
  }

  /** Dials until the broker is there; null where it has not come after `withinMs`. */
  async connectAgain(name: string, everyMs: number, withinMs: number): Promise<CheckClient | null> {
    for (const deadline = performance.now() + withinMs; performance.now() < deadline; )
      try {
        return await this.connect(name);
      } catch {
        await delay(everyMs, undefined, { signal: this.#signal });
      }
    return null;
  }

  /** Without user, password and certificate. @throws Error where that is refused. */
  async connectAsNobody(): Promise<void> {
    const { url, ca } = this.#access;
    const client = await mqtt.connectAsync(
      url,
      {
        ...(ca === undefined ? {} : { ca }),
        ...{ clientId: `twinwatch-check-${this.#run}-nobody`, reconnectPeriod: 0, connectTimeout: CONNECT_TIMEOUT_MS },
      },
      false,
    );
    await client.endAsync(true);
  }

  /** What a last will leaves at this topic is taken back, too. */
  willRetainAt(topic: string): void {
    this.#retained.add(topic);
  }

  /** False where it has not come true after `ms`. */
  async until(condition: () => boolean, ms: number): Promise<boolean> {
    const deadline = performance.now() + ms;
    while (!condition()) {
      if (performance.now() > deadline) return false;
      await delay(LOOK_MS, undefined, { signal: this.#signal });
    }
    return true;
  }

  /** Takes back what is retained, and the sessions; closes every connection. Never rejects. */
  async cleanUp(): Promise<void> {
    const options = { ...accessOptions(this.#access, true), reconnectPeriod: 0, connectTimeout: CONNECT_TIMEOUT_MS };
    const visit = async (clientId: string, work: (client: MqttClient) => Promise<unknown>) => {
      try {
        const client = await mqtt.connectAsync(this.#access.url, { ...options, clientId }, false);
        client.on('error', () => undefined);
        const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
        const enough = new AbortController();
        const late = delay(CONNECT_TIMEOUT_MS, undefined, { signal: enough.signal }).catch(() => undefined);
        await Promise.race([work(client), closed, late]);
        enough.abort();
        await client.endAsync(true);
      } catch {
        // What cannot be reached cannot be cleaned up.
      }
    };
    await Promise.all([...this.#clients].map((client) => client.endAsync(true)));
    // Connecting once with a clean session ends the one before.
    for (const clientId of this.#sessions) await visit(clientId, async () => undefined);
    if (this.#retained.size > 0)
      await visit(`twinwatch-check-${this.#run}-clean`, async (client) => {
        for (const topic of this.#retained) await client.publishAsync(topic, '', { qos: 1, retain: true });
      });
  }
}

const versionOf = ({ protocolVersion }: Partial<IClientOptions>) =>
  protocolVersion === 5 || protocolVersion === 4 ? { protocolVersion } : {};
