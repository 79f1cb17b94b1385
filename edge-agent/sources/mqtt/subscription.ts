import {
  accessOptions,
  type BrokerAccess,
  type MqttClientLike,
  type MqttConnectOptions,
} from '@twinwatch/core/wire/mqtt-client';
import { reconnectPauseMs, type SourceRuntime } from '../source-runtime.js';

export interface SubscriptionEvents {
  /** Connected and subscribed, once per connection. */
  up(client: MqttClientLike): void;
  down(reason: string): void;
  message(topic: string, payload: Buffer, isRetained: boolean): void;
  /** The last will of the next connection. */
  will?(): NonNullable<MqttConnectOptions['will']>;
}

const KEEPALIVE_S = 10;
const CONNECT_TIMEOUT_MS = 10_000;

/** Stays subscribed until the signal aborts: a clean session each time, since what waited at the broker meanwhile is old. */
export async function keepSubscribed(
  broker: BrokerAccess,
  clientId: string,
  filters: readonly string[],
  events: SubscriptionEvents,
  { timers, random, connect }: SourceRuntime,
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    const reason = await new Promise<string>((resolve) => {
      let why = 'the broker closed the connection';
      let client: MqttClientLike;
      try {
        client = connect({
          ...{ ...accessOptions(broker, true), clientId, keepalive: KEEPALIVE_S },
          ...{ connectTimeout: CONNECT_TIMEOUT_MS, reconnectPeriod: 0, resubscribe: false, queueQoSZero: false },
          ...(events.will === undefined ? {} : { will: events.will() }),
        });
      } catch (error) {
        // A certificate or key that is none, or is being written just now.
        resolve(`cannot connect with what ca, cert and key hold: ${(error as Error).message}`);
        return;
      }
      const stop = () => client.end(true, () => resolve('stopped'));
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
      client.on('error', (error) => {
        why = error.message === '' ? ((error as NodeJS.ErrnoException).code ?? why) : error.message;
      });
      client.on('message', (topic, payload, packet) => events.message(topic, payload, packet.retain));
      client.on('connect', () =>
        client.subscribe([...filters], { qos: 1 }, (error, granted) => {
          const refused = granted?.find(({ qos }) => qos > 2);
          if (error === null && refused === undefined) {
            failures = 0;
            events.up(client);
            return;
          }
          why = `the broker refuses a subscription${refused === undefined ? '' : ` to ${refused.topic}`}`;
          client.end(true, () => undefined);
        }),
      );
      client.on('close', () => {
        signal.removeEventListener('abort', stop);
        client.end(true, () => resolve(why));
      });
    });
    events.down(`${broker.url}: ${reason}`);
    await timers.sleep('source-reconnect', reconnectPauseMs(failures++, random()), signal).catch(() => undefined);
  }
}
