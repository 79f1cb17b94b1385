import { z } from 'zod';
import { crossCheck, type Sound } from './cross-check.js';

/** Parameters of the learning methods, one group each; docs/methods.md says which values are the paper's. */
export const methodFields = {
  dtml: z
    .strictObject({
      beta: z
        .number()
        .min(0)
        .max(100)
        .default(0.1)
        .meta({ description: 'β, the length of the step along the mean gradient of the twin loss' }),
      clipNorm: z.number().gt(0).max(1_000_000).optional().meta({
        description: 'the mean gradient is scaled down to this Euclidean norm where it is longer; absent: never',
      }),
      decay: z
        .number()
        .min(0)
        .max(1_000)
        .default(0)
        .meta({ description: 'the step in round t, counted from 0, is β / (1 + decay · t)' }),
      skipRising: z
        .boolean()
        .default(false)
        .meta({ description: 'leave a step out that would raise the loss on the twin’s validation rows' }),
    })
    .prefault({})
    .meta({ description: 'of dtml' }),
  dtkd: z
    .strictObject({
      teacherEpochs: z.int().min(1).max(10_000).default(5).meta({
        description: 'passes of the teacher over the twin’s rows, before the first round; 5 in the paper',
      }),
      alpha: z.number().min(0).max(1).default(0.5).meta({ description: 'α, the weight of the teacher against labels' }),
      temperature: z.number().min(0.1).max(100).default(2).meta({ description: 'T, which softens both sides’ scores' }),
      teacherCodec: z.enum(['f32', 'f16', 'int8']).default('f32').meta({
        description: 'how the teacher travels and is used: 4 bytes per parameter, 2, or 1 and a scale per output',
      }),
      softLabels: z.enum(['stored', 'onTheFly']).default('stored').meta({
        description:
          'stored: the teacher scores an agent’s rows once per fit; onTheFly: batch by batch, in less memory and more time',
      }),
      unlabelled: z.enum(['soft', 'normal']).default('soft').meta({
        description:
          'rows that nobody labelled: learned from the teacher alone, or labelled normal as with any other method',
      }),
    })
    .prefault({})
    .meta({ description: 'of dtkd' }),
  fpf: z
    .strictObject({
      gamma: z
        .number()
        .min(0)
        .max(1)
        .default(0.35)
        .meta({ description: 'γ, the share of the twin model in the fused one; 0.3 to 0.4 was best in the paper' }),
      temperature: z.number().min(0.001).max(1_000).default(1).meta({
        description: 'of the softmax over similarities, which lie in [0, 1]: lower tells clients further apart',
      }),
    })
    .prefault({})
    .meta({ description: 'of fpf' }),
  lpe: z
    .strictObject({
      policy: z.enum(['baseline', 'reversed', 'custom', 'adaptive']).default('baseline').meta({
        description:
          'baseline: lower layers from the twin, upper ones from the clients; reversed: the other way round; custom: as `map` says; adaptive: chosen per round and layer',
      }),
      lowerLayers: z.int().min(0).max(9).optional().meta({
        description: 'how many layers are lower ones; half of them, rounded up, but never all, where absent',
      }),
      map: z
        .array(z.enum(['twin', 'clients']))
        .min(1)
        .max(9)
        .optional()
        .meta({ description: 'of custom: whose parameters each layer takes, lowest first, the output layer last' }),
      adaptBy: z.enum(['loss', 'alignment', 'both']).default('both').meta({
        description:
          'of adaptive: loss: the twin’s layer where it lowers the validation loss; alignment: where clients moved the layer the twin’s way; both: where both hold',
      }),
    })
    .check(
      crossCheck(function* (sound: Sound<{ policy: string; map?: readonly string[] }>) {
        if ((sound.policy === 'custom') !== Object.hasOwn(sound, 'map'))
          yield { path: [], message: "has to have a map with policy 'custom', and no map with any other" };
        if (sound.map?.every((from) => from === 'twin'))
          yield { path: ['map'], message: "takes no layer from the clients; write 'clients' for one at least" };
      }),
    )
    .prefault({})
    .meta({ description: 'of lpe' }),
};

/** What of `rounds.lpe` does not fit a network of so many layers, the output layer included; null where all does. */
export function lpeMisfit(
  lpe: { readonly map?: readonly unknown[] | undefined; readonly lowerLayers?: number | undefined } | undefined,
  layers: number,
): { readonly field: 'map' | 'lowerLayers'; readonly message: string } | null {
  const { map, lowerLayers } = lpe ?? {};
  if (map !== undefined && map.length !== layers)
    return {
      field: 'map',
      message: `has ${map.length} entries for a network of ${layers} layers, the output layer included`,
    };
  if (lowerLayers !== undefined && (lowerLayers < 1 || lowerLayers >= layers))
    return {
      field: 'lowerLayers',
      message: `leaves no layer of ${layers} to one of the two sides; write 1 to ${layers - 1}`,
    };
  return null;
}
