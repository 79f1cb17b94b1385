import { dirname, resolve } from 'node:path';
import type { SourceConfig } from '@twinwatch/core/config/sources';
import type { BrokerAccess } from '@twinwatch/core/wire/mqtt-client';
import { CsvTailSource } from './csv/csv-tail-source.js';
import { MqttSource } from './mqtt/mqtt-source.js';
import { SerialLineSource } from './serial/serial-line-source.js';
import type { Source } from './source.js';
import type { SourceRuntime } from './source-runtime.js';
import { SparkplugSource } from './sparkplug/sparkplug-source.js';

export interface SourcePlace {
  readonly agent: string;
  /** That the source listens to, for kinds that do. */
  readonly broker: BrokerAccess;
  /** Of the agent's file, which paths are relative to. */
  readonly configPath: string;
}

/** The source that a configuration describes. */
export function openSource(config: SourceConfig, place: SourcePlace, runtime: SourceRuntime): Source {
  switch (config.kind) {
    case 'serial-line':
      return new SerialLineSource(config, runtime);
    case 'csv-tail':
      return new CsvTailSource(config, resolve(dirname(place.configPath), config.file), runtime);
    case 'mqtt':
      return new MqttSource(config, place.broker, clientId(config, place), runtime);
    case 'sparkplug':
      return new SparkplugSource(config, place.broker, clientId(config, place), runtime);
  }
}

const clientId = ({ name }: SourceConfig, { agent }: SourcePlace) => `${agent}-${name}`;
