import type { LinkOptions } from './link-options.js';
import { accessOptions, type MqttClientLike, type MqttConnectOptions } from './mqtt-client.js';
import { asBuffer, deliveryRule } from './outbound.js';

/** One connection of a link: what it is dialled with, and how it subscribes. */

export const CONNECT_TIMEOUT_MS = 10_000;

/** Why a subscription did not come about. */
interface RefusedSubscription {
  readonly refused: readonly string[];
  /** Of mqtt.js, where that failed. */
  readonly error: string | undefined;
}

/** Filters of one quality of service at a time, in order. `done` is called once, or never where `isCurrent` denies that the client still counts. */
export function subscribeAll(
  client: MqttClientLike,
  { subscriptions, fleetingSubscriptions = [] }: Pick<LinkOptions, 'subscriptions' | 'fleetingSubscriptions'>,
  isCurrent: () => boolean,
  done: (refusal: RefusedSubscription | null) => void,
): void {
  const filters = [{ qos: 1, names: subscriptions } as const, { qos: 0, names: fleetingSubscriptions } as const].filter(
    ({ names }) => names.length > 0,
  );
  const next = () => {
    const part = filters.shift();
    if (part === undefined) return done(null);
    client.subscribe([...part.names], { qos: part.qos }, (error, granted) => {
      if (!isCurrent()) return;
      const refused = refusedFilters(part.names, error, granted);
      if (!error && refused.length === 0) return next();
      done({ refused, error: error?.message });
    });
  };
  next();
}

/** 64 random bits. */
export function newConnectionId(random: () => number): string {
  const part = () =>
    Math.floor(random() * 0x10000)
      .toString(16)
      .padStart(4, '0');
  return `${part()}${part()}${part()}${part()}`;
}

/** Of one dial: nothing is kept, sent again or dialled again behind the back of the link. */
export function connectOptions(options: LinkOptions, connectionId: string): MqttConnectOptions {
  const { clientId, keepaliveSeconds = 10 } = options;
  const will = options.will?.(connectionId);
  return {
    ...accessOptions(options, false),
    clientId,
    keepalive: keepaliveSeconds,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...(will === undefined
      ? {}
      : {
          will: {
            topic: will.topic,
            payload: asBuffer(will.payload),
            qos: 1,
            retain: deliveryRule(will.topic).retained,
          },
        }),
  };
}

/** mqtt.js fails a subscribe as a whole when one filter is refused; the codes are on the packet that its error carries. */
function refusedFilters(
  filters: readonly string[],
  error: Error | null,
  granted: readonly { readonly topic: string; readonly qos: number }[] = [],
): string[] {
  const codes = (error as { packet?: { granted?: readonly number[] } } | null)?.packet?.granted;
  if (codes !== undefined) return filters.filter((_, index) => (codes[index] ?? 0) > 2);
  return granted.filter(({ qos }) => qos > 2).map(({ topic }) => topic);
}
