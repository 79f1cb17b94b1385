import { z } from 'zod';
import { type Contradiction, crossCheck, type Sound } from './cross-check.js';
import { identifier } from './identifier.js';
import { recordedFileFields } from './recorded-file.js';

/** The plant simulator's configuration file: simulated sites, or one recorded feed, behind Modbus TCP. Paths are relative to the file. */

const port = z.int().min(0).max(65_535);

const attack = z.strictObject({
  name: z.string().min(1).meta({ description: 'of the attack catalogue' }),
  startHour: z.number().min(0).meta({ description: 'simulated hours after the first row' }),
});

const site = z.strictObject({
  name: identifier.meta({ description: 'name of the site' }),
  seed: z
    .int()
    .default(1)
    .meta({ description: 'of demands, noise and everything else in which this site differs from the others' }),
  demandScale: z.number().min(0.1).max(10).optional().meta({ description: 'factor on every demand' }),
  demandNoise: z.number().min(0).max(1).optional().meta({ description: 'day-to-day variation of demands' }),
  roughnessScale: z.number().min(0.1).max(10).optional().meta({ description: 'factor on the roughness of every pipe' }),
  sensorNoise: z.number().min(0).max(100).optional().meta({ description: 'factor on the noise of every sensor' }),
  ports: z.record(z.string(), port).default({}).meta({
    description: 'PLC → TCP port. With `ports: auto` a port that is taken is replaced, and PLCs not named get one',
  }),
  attacks: z.array(attack).default([]).meta({ description: 'what happens to this site, and when' }),
});

/** Named as in an agent's `import`. */
const feed = z.strictObject({
  csv: z.string().min(1).meta({ description: 'file of recorded rows' }),
  ...recordedFileFields,
});

export const plantSimSchema = z
  .strictObject({
    plant: z.string().min(1).optional().meta({ description: 'plant.yaml: tags, PLCs and what each of them reads' }),
    templates: z.record(identifier, z.string().min(1)).optional().meta({
      description: 'instead of a plant, for a recorded feed of whatever kind: PLC → device template',
    }),
    host: z.string().default('127.0.0.1').meta({ description: 'address the PLCs listen on' }),
    ports: z
      .enum(['fixed', 'auto'])
      .default('fixed')
      .meta({ description: 'auto: take another port where one is in use' }),
    sites: z.array(site).min(1).meta({ description: 'instances of the plant' }),
    feed: feed.optional().meta({ description: 'serve these rows, in order, instead of a simulation; one site only' }),
    commissioningRows: z
      .int()
      .min(0)
      .default(0)
      .meta({ description: 'rows of each site that are served as fast as they are read, before the pace below' }),
    rowsPerSecond: z
      .number()
      .positive()
      .max(100_000)
      .optional()
      .meta({ description: 'pace after that. As fast as read where neither is given' }),
    realtimeFactor: z.number().positive().optional().meta({ description: 'plant seconds per second' }),
    readerUnit: z.int().min(0).max(255).default(1).meta({
      description: 'only complete reads of all PLCs under this unit id advance a site; every other unit id just looks',
    }),
    dataDir: z
      .string()
      .optional()
      .meta({ description: 'where the position of each site is kept, so that a restarted plant goes on where it was' }),
    control: z
      .strictObject({ port: port.meta({ description: '0 takes any free port' }) })
      .optional()
      .meta({ description: 'loopback HTTP: GET /state, POST /attack {site, name}' }),
  })
  .check(crossCheck(contradictions));

export type PlantSimConfig = z.infer<typeof plantSimSchema>;

function* contradictions(config: Sound<PlantSimConfig>): Generator<Contradiction> {
  const { rowsPerSecond, realtimeFactor, feed, sites = [] } = config;
  // What is wrong in itself is there all the same: its key stays.
  const has = (field: string) => Object.hasOwn(config, field);
  if (has('plant') === has('templates'))
    yield { path: ['plant'], message: 'or templates has to be there, one of the two' };
  if (has('templates') && !has('feed'))
    yield { path: ['templates'], message: 'need a feed: only a plant can be simulated' };
  if (rowsPerSecond !== undefined && realtimeFactor !== undefined)
    yield { path: ['realtimeFactor'], message: 'rowsPerSecond is there, too; write one of them' };
  if (feed !== undefined && sites.length > 1)
    yield { path: ['sites'], message: 'a recorded feed has one site; leave only one' };
  const names = new Set<string>();
  const ports = new Map<number, string>();
  for (const [i, site] of sites.entries()) {
    const { name, ports: own = {}, attacks = [] } = site ?? {};
    if (name !== undefined && names.has(name))
      yield { path: ['sites', i, 'name'], message: `site '${name}' is there twice` };
    if (name !== undefined) names.add(name);
    if (feed !== undefined && attacks.length > 0)
      yield { path: ['sites', i, 'attacks'], message: 'a recorded feed cannot be attacked; remove them' };
    for (const [plc, number] of Object.entries(own)) {
      if (number === undefined) continue;
      const taken = ports.get(number);
      if (taken !== undefined && number !== 0)
        yield { path: ['sites', i, 'ports', plc], message: `port ${number} is already that of ${taken}` };
      ports.set(number, `${name ?? `site ${i + 1}`} ${plc}`);
    }
  }
}
