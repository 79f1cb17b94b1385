import { duration } from '@twinwatch/core/config/duration';
import { z } from 'zod';
import type { PlantConfig } from '../plant-config.js';
import type { DemandFit } from './fit-demands.js';

const noise = z.number().min(0).max(1);

/** Demands fitted to a plant, in a file of their own beside plant.yaml: it is generated, plant.yaml is written by people. */
export const demandFileSchema = z.strictObject({
  multipliers: z.record(z.string(), z.array(z.number().min(0)).length(168)).meta({
    description: "district → 168 multipliers, one an hour from the plant's `start`",
  }),
  dayNoise: noise.meta({ description: 'as `variation.dayNoise` of the plant file' }),
  hourNoise: noise.meta({ description: 'as `variation.hourNoise` of the plant file' }),
  hourCorrelation: duration.meta({ description: 'as `variation.hourCorrelation` of the plant file' }),
  shared: noise.meta({ description: 'as `variation.shared` of the plant file' }),
  season: z
    .strictObject({
      amplitude: noise.meta({ description: 'of the logarithm of demand' }),
      peakDay: z.number().min(0).max(366).meta({ description: 'day of the year with the most demand' }),
    })
    .nullable()
    .default(null)
    .meta({ description: 'null where the rows did not span a year' }),
});

export type DemandFile = z.output<typeof demandFileSchema>;

export function toDemandFit({ hourCorrelation, ...rest }: DemandFile): DemandFit {
  return { ...rest, hourCorrelationMs: hourCorrelation };
}

/** A demand file with a comment on where it comes from. */
export function demandFileText(fit: DemandFit, origin: string): string {
  const season =
    fit.season === null ? 'null' : `{ amplitude: ${fit.season.amplitude}, peakDay: ${fit.season.peakDay} }`;
  return [
    `# Fitted by \`twinwatch fit-demands\` to ${origin}. plant.yaml takes it up by \`demands: FILE\`.`,
    `dayNoise: ${fit.dayNoise}`,
    `hourNoise: ${fit.hourNoise}`,
    `hourCorrelation: ${Math.round(fit.hourCorrelationMs / 60_000)}m`,
    `shared: ${fit.shared}`,
    `season: ${season}`,
    'multipliers:',
    ...Object.entries(fit.multipliers).map(([name, values]) => `  ${name}: [${values.join(', ')}]`),
    '',
  ].join('\n');
}

/**
 * The plant with fitted demands. A factor on all demands keeps its spread and loses its offset, since the fit has it already; a fitted season is the
 * same for every instance.
 */
export function withDemands(config: PlantConfig, fit: DemandFit): PlantConfig {
  const { demand, district } = config.variation;
  return {
    ...config,
    districts: config.districts.map((entry) => {
      const multipliers = fit.multipliers[entry.name];
      return multipliers === undefined ? entry : { ...entry, multipliers: [...multipliers] };
    }),
    variation: {
      ...config.variation,
      demand: centred(demand),
      district: centred(district),
      dayNoise: fit.dayNoise,
      hourNoise: fit.hourNoise,
      hourCorrelation: fit.hourCorrelationMs,
      shared: fit.shared,
      ...(fit.season === null
        ? {}
        : { season: [fit.season.amplitude, fit.season.amplitude], seasonPeak: fit.season.peakDay }),
    },
  };
}

function centred([low, high]: readonly [number, number]): [number, number] {
  const middle = (low + high) / 2;
  return [low / middle, high / middle];
}
