import { createHash } from 'node:crypto';
import type { AdversaryConfig, ExperimentConfig, PartitionConfig, TwinQuality } from './experiment-config.js';
import { mergedRounds, withParameter } from './experiment-config.js';

/** One federation of an experiment: everything that makes a difference to its result, and nothing else. */
export interface Run {
  /** Hash of all that follows: the same run in another file, or after a restart, has the same. */
  readonly id: string;
  readonly method: string;
  /** What the method's sweep is at; null without one. */
  readonly swept: number | null;
  readonly seed: number;
  readonly clients: number;
  readonly fraction: number;
  readonly epochs: number;
  readonly codec: string;
  readonly partition: PartitionConfig;
  readonly twin: TwinQuality;
  readonly adversary: AdversaryConfig;
  /** For roundsConfig. */
  readonly rounds: Readonly<Record<string, unknown>>;
  readonly setting: RunSetting;
}

/** What all runs of an experiment have in common. */
export type RunSetting = Pick<
  ExperimentConfig,
  | 'scenario'
  | 'plant'
  | 'sites'
  | 'siteDays'
  | 'attackShare'
  | 'twinEpisodes'
  | 'twinDays'
  | 'validationShare'
  | 'detector'
>;

/** Where recorded data lies, in place of a simulated plant. */
export interface RecordedData {
  readonly folder: string;
  /** What the scenario 'official' is judged on. */
  readonly testFile: string | null;
}

type MethodVariant = Pick<Run, 'method' | 'swept' | 'rounds'>;

/** What a codec is called, and its fields of `rounds`. */
function codecOf(of: ExperimentConfig['codec'][number]) {
  if (typeof of === 'string') return { codec: of, ofCodec: { codec: of } };
  return { codec: `${of.codec} ${Math.round(1000 * of.topKShare) / 10} %`, ofCodec: of };
}

/** Every combination of the axes, those with the same data one after the other. */
export function expandRuns(config: ExperimentConfig, data: RecordedData | null): Run[] {
  const { scenario, plant, sites, siteDays, attackShare, twinEpisodes, twinDays, validationShare, detector } = config;
  const setting = { scenario, plant, sites, siteDays, attackShare, twinEpisodes, twinDays, validationShare, detector };
  const methods: MethodVariant[] = config.methods.flatMap(({ name, rounds, sweep }): MethodVariant[] => {
    const own = mergedRounds(config.rounds, rounds);
    if (sweep === undefined) return [{ method: name, swept: null, rounds: own }];
    return sweep.values.map((value) => ({
      method: name,
      swept: value,
      rounds: withParameter(own, sweep.parameter, value),
    }));
  });
  const runs: Run[] = [];
  for (const seed of config.seeds)
    for (const twin of config.twin)
      for (const partition of config.partition)
        for (const adversary of config.adversaries)
          for (const fraction of config.fraction)
            for (const epochs of config.epochs)
              for (const { codec, ofCodec } of config.codec.map(codecOf))
                for (const method of methods) {
                  const quorum = Math.max(1, Math.ceil(fraction * config.clients));
                  const rounds = { ...method.rounds, fraction, epochs, ...ofCodec, quorum, minimumRows: 1 };
                  const about = { ...method, rounds, seed, clients: config.clients, fraction, epochs, codec };
                  const whole = { ...about, partition, twin, adversary, setting };
                  runs.push({
                    id: hashed({ ...whole, data: data === null ? null : [setting.scenario, data.testFile] }),
                    ...whole,
                  });
                }
  return runs;
}

/** Runs with the same key learn from the same rows. */
export function dataKey({ seed, twin, setting }: Run): string {
  return hashed({ seed, twin: { ...twin, name: '' }, setting });
}

function hashed(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex').slice(0, 16);
}

/** JSON with sorted keys, so that the order in a file makes no difference. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonical(inner)}`)
    .join(',')}}`;
}
