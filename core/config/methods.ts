import { z } from 'zod';

/** Parameters of the learning methods, one group each; docs/methods.md says which values are the paper's. */
export const methodFields = {
  fpf: z
    .strictObject({
      gamma: z
        .number()
        .min(0)
        .max(1)
        .default(0.35)
        .meta({ description: 'γ, the share of the twin model in the fused one; 0.3 to 0.4 was best in the paper' }),
      temperature: z
        .number()
        .min(0.001)
        .max(1_000)
        .default(1)
        .meta({
          description: 'of the softmax over similarities, which lie in [0, 1]: lower tells clients further apart',
        }),
    })
    .prefault({})
    .meta({ description: 'of fpf' }),
};
