import { z } from 'zod';
import { duration } from './duration.js';

/** What an exported model has to show before all agents run it. */

const rows = z.int().min(0).max(1_000_000);
const share = z.number().min(0).max(1);

export const registryConfig = z
  .strictObject({
    validationMargin: share.default(0.05).meta({
      description: 'by which the PR AUC on the twin’s validation episodes may be below that of the current model',
    }),
    falseRateMargin: share.default(0.02).meta({
      description:
        'by which the share of rows above the threshold may be above that of the current model on the same rows, and above detector.maximumFalseRate',
    }),
    shadow: z
      .strictObject({
        rows: rows.default(200).meta({
          description:
            'of every agent, recent stored ones first: on these it runs beside the current model; 0 leaves the shadow out',
        }),
        time: duration.prefault('2m').meta({ description: 'after which those that have told suffice' }),
      })
      .prefault({})
      .meta({ description: 'beside the current model on the agents’ own rows' }),
    canary: z
      .strictObject({
        share: share.default(0.1).meta({ description: 'of the agents; 0 leaves the canary out' }),
        minimumAgents: z.int().min(2).max(100_000).default(10).meta({ description: 'with fewer there is no canary' }),
        rows: rows.default(500).meta({ description: 'of each of them' }),
        time: duration.prefault('1h').meta({ description: 'for which it runs there at least' }),
      })
      .prefault({})
      .meta({ description: 'in place of the current model on some agents' }),
  })
  .prefault({});

export type RegistryConfig = z.output<typeof registryConfig>;
