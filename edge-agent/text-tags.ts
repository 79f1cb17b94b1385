import type { DeviceReading } from '@twinwatch/core/scada/row-assembler';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import type { SiteConfig } from './site-config.js';

type Values = Telemetry['values'];

/** What tags that hold letters said last, for telemetry: they are in no row, and no detector looks at them. */
export class TextTags {
  /** Devices that have such tags. */
  #tags: ReadonlyMap<string, ReadonlySet<string>> = new Map();
  readonly #values = new Map<string, Record<string, Values[string]>>();

  /** @param kept devices of before that are as they were; what the others said is forgotten. */
  site({ buses }: Pick<SiteConfig, 'buses'>, kept: ReadonlySet<string>): void {
    const tags = buses.flatMap(({ devices }) =>
      devices.map(({ name, template }) => {
        const texts = template.tags.filter(({ type }) => type === 'STRING').map((tag) => tag.name);
        return [name, new Set(texts)] as const;
      }),
    );
    this.#tags = new Map(tags.filter(([, texts]) => texts.size > 0));
    for (const device of this.#values.keys()) if (!kept.has(device)) this.#values.delete(device);
  }

  reading({ device, samples }: DeviceReading): void {
    const tags = this.#tags.get(device);
    if (tags === undefined) return;
    const values: Record<string, Values[string]> = {};
    for (const { tag, text, quality } of samples)
      if (tags.has(tag)) values[tag] = { value: null, quality, ...(text === undefined ? {} : { text }) };
    this.#values.set(device, values);
  }

  /** It does not answer: what it said is not told any more. */
  fault(device: string): void {
    const values = this.#values.get(device);
    if (values === undefined) return;
    const stale = Object.keys(values).map((tag) => [tag, { value: null, quality: 'stale' }] as const);
    this.#values.set(device, Object.fromEntries(stale));
  }

  get values(): Values {
    return Object.assign({}, ...this.#values.values()) as Values;
  }
}
