/** Which broker it is, and by which of its settings what we found is changed. Sources: docs/brokers.md names the manuals. */

export type Concern =
  | 'encryption'
  | 'login'
  | 'rights'
  | 'protocol'
  | 'queue'
  | 'payload'
  | 'retained'
  | 'wildcards'
  | 'last will'
  | 'sessions kept'
  | 'restart';

export type KnownBroker = 'twinwatch' | 'mosquitto' | 'rabbitmq' | 'nats' | 'other';

/** What a broker shows of itself. */
export interface Fingerprint {
  /** Of $SYS/broker/version, where there is one. */
  readonly version: string | null;
  /** Protocol levels that it accepts: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5. */
  readonly protocols: readonly (3 | 4 | 5)[];
  /** Null where that could not be tried. */
  readonly retainedToWildcards: boolean | null;
  /** Refuses subscriptions to what NATS delivers MQTT through. Null where that could not be tried. */
  readonly guardsNatsSubjects: boolean | null;
}

export interface Recognised {
  readonly broker: KnownBroker;
  readonly name: string;
}

/** Most say nothing of themselves over MQTT; they are told from what they do not do. */
export function recognise(seen: Fingerprint): Recognised {
  const { version, protocols } = seen;
  if (version !== null && /mosquitto/i.test(version)) return { broker: 'mosquitto', name: version };
  if (version !== null && /twinwatch/i.test(version)) return { broker: 'twinwatch', name: version };
  if (version !== null) return { broker: 'other', name: version };
  if (seen.retainedToWildcards === false)
    return { broker: 'rabbitmq', name: 'probably RabbitMQ (nothing retained comes to wildcards)' };
  if (seen.guardsNatsSubjects === true) return { broker: 'nats', name: 'probably NATS (it keeps $MQTT/sub to itself)' };
  if (seen.guardsNatsSubjects === false && !protocols.includes(5))
    return { broker: 'twinwatch', name: 'probably `twinwatch broker` (it does not speak MQTT 5)' };
  return { broker: 'other', name: 'a broker that does not say what it is' };
}

const GENERAL: Readonly<Record<Concern, string>> = {
  encryption: 'let it listen with TLS, and write a URL that begins with mqtts://',
  login: 'ask for a user name and a password, or for client certificates',
  rights:
    'let each agent publish and read on its own topics only, and the server on its own (docs/topics.md lists them)',
  protocol: 'it has to speak MQTT 3.1.1 or 5',
  queue: 'let it keep 100,000 messages for every client that is away, and not drop the newest before',
  payload: 'allow payloads of 262144 bytes',
  retained: 'switch retained messages on',
  wildcards: 'allow subscriptions with + to the user of the server',
  'last will': 'let it publish last wills, retained ones, too',
  'sessions kept': 'let it keep the session of a client that is away for thirty days',
  restart: 'let it keep sessions, queues and retained messages on disk',
};

const OF_BROKER: Readonly<Record<KnownBroker, Partial<Record<Concern, string>>>> = {
  twinwatch: {
    queue:
      'limits.maximumQueuedPerClient: 10000 or more; maximumQueuedBytesPerClient and maximumQueuedBytes as they are by default, or more',
    payload: 'limits.maximumPayloadBytes: 262144 or more',
    login: 'list users under credentials',
    rights: 'nothing to set: each user has the rights of its role',
    'sessions kept': 'maximumAbsence: 30d, as it is by default, or longer',
    restart: 'nothing to set: all of it is in dataDir; see that this is a disk that stays. sync: true for power cuts',
  },
  mosquitto: {
    encryption: 'listener 8883 with cafile, certfile and keyfile, as in configs/brokers/mosquitto/mosquitto-tls.conf',
    login: 'allow_anonymous false and password_file',
    rights: 'acl_file, as in configs/brokers/mosquitto: without one every user may publish everything',
    queue: 'max_queued_messages 100000 and max_queued_bytes 0',
    payload: 'message_size_limit 262144 or more (0 is without limit); max_packet_size, where set, 1 MB',
    retained: 'retain_available true',
    'sessions kept': 'persistent_client_expiration 2m or longer, or without it',
    restart:
      'persistence true, persistence_location on a disk that stays, autosave_interval 30; a kill or a power cut loses what came since the last save',
  },
  rabbitmq: {
    encryption: 'mqtt.listeners.ssl.default = 8883 with ssl_options',
    login: 'mqtt.allow_anonymous = false',
    rights: 'topic permissions of each user, as in configs/brokers/rabbitmq',
    queue: "no policy with max-length or message-ttl on queues '^mqtt-subscription-'; mqtt.subscription_ttl as below",
    payload: 'max_message_size = 262144 or more',
    'sessions kept':
      'mqtt.subscription_ttl = 2592000000 (its default is one day); from 3.13 on mqtt.max_session_expiry_interval_seconds',
    restart:
      'mqtt.retained_message_store = rabbit_mqtt_retained_msg_store_dets, and a data directory on a disk that stays; a kill or a power cut loses what was retained in the last minutes',
  },
  nats: {
    encryption: 'a tls block inside mqtt',
    login: 'users under authorization',
    rights: 'permissions of each user, as in configs/brokers/nats',
    queue: 'max_file_store of jetstream large enough for what waits',
    payload: 'max_payload: 1MB',
    'sessions kept': 'nothing to set: sessions are kept for good',
    restart: 'store_dir of jetstream on a disk that stays; by default it is below /tmp',
  },
  other: {},
};

/** What to set, in the words of that broker's configuration. */
export const settingFor = (broker: KnownBroker, concern: Concern) => OF_BROKER[broker][concern] ?? GENERAL[concern];
