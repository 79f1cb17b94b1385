import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadServerConfig } from './server-config.js';

const CONFIGS = fileURLToPath(new URL('../../configs/', import.meta.url));
const SERVER = resolve(CONFIGS, 'server.yaml');

/** What is wrong with a server.yaml that stands in configs/, beside files that are made up. */
async function problems(server: string, others: Record<string, string> = {}): Promise<string[]> {
  const made: Record<string, string> = { 'server.yaml': server, ...others };
  const read = async (path: string) => made[path.replace(CONFIGS, '')] ?? (await readFile(path, 'utf8'));
  const message = await loadServerConfig(SERVER, read).then(
    () => '',
    (error: Error) => error.message,
  );
  return message.replaceAll(CONFIGS, '').split('\n  ').slice(1);
}
const server = (twin: string, features: string, rest = '') =>
  `federation: w\nbroker: { url: mqtt://127.0.0.1:1 }\ndataDir: d\ntwin: ${twin}\ndetector:\n  features:\n${features}${rest}`;

describe('loadServerConfig', () => {
  it('places features that no tag of the plant has, next to other errors', async () => {
    const features =
      '    - { type: raw, tag: L_T9 }\n    - { type: delta, tag: Q_*, rows: none }\n    - { type: residual, tag: L_*, from: [S_PU*, P_J9] }\n    - { type: hourOfDay }\n';
    expect(
      await problems(server('{ plant: reference-plant/plant.yaml, episodes: 1 }', features, 'rounds: { quorum: 0 }\n')),
    ).toEqual([
      'server.yaml:4:54 twin.episodes: 1 is too small; write a whole number from 2 to 10000 (simulated stretches of time, attacked ones included)',
      "server.yaml:7:25 detector.features[0].tag: 'L_T9' matches no tag of the twin; did you mean 'L_T1'?",
      expect.stringMatching(
        /^server.yaml:8:27 detector.features\[1\].tag: 'Q_\*' matches no tag of the twin; the tags are F_PU1, S_PU1,/,
      ),
      expect.stringContaining("server.yaml:8:38 detector.features[1].rows: 'none' does not fit"),
      expect.stringMatching(/^server.yaml:9:49 .*features\[2\].from\[1\]: 'P_J9' matches no tag .* mean 'P_J29'\?/),
      expect.stringContaining('server.yaml:11:19 rounds.quorum: 0 is too small'),
    ]);
  });

  it('refuses a Krum that the quorum does not carry, and a comparison with a twin that is not trained', async () => {
    const twin = '{ plant: reference-plant/plant.yaml }';
    const check = (rounds: string) =>
      problems(server(twin, '    - { type: raw, tag: L_T1 }\n', `rounds: { ${rounds} }\n`));
    expect(await check('quorum: 6, combiner: { type: krum, byzantine: 2 }')).toEqual([
      'server.yaml:8:57 rounds.combiner.byzantine: 2 is too many for a quorum of 6: Krum takes at least 7 updates against 2 hostile ones; set rounds.quorum to 7 or more, or byzantine to less',
    ]);
    expect(await check('quorum: 7, combiner: { type: multiKrum, byzantine: 2 }')).toEqual([]);
    expect(await check('method: fedavg, filter: { cosine: twin }')).toEqual([
      expect.stringContaining(
        "rounds.filter.cosine: 'twin' has nothing to compare with, since fedavg trains no twin model",
      ),
    ]);
    expect(await check('method: cwa, filter: { cosine: twin }')).toEqual([
      expect.stringContaining('since in cwa clients start from the twin model in one round'),
    ]);
    expect(await check('method: lpe, lpe: { lowerLayers: 3 }')).toEqual([
      expect.stringContaining('lpe.lowerLayers: leaves no layer of 3 to one of the two sides; write 1 to 2'),
    ]);
    expect(await check('combiner: { type: trimmedMean, trim: 0.6 }')).toEqual([
      expect.stringContaining('rounds.combiner.trim: 0.6 is too large'),
    ]);
  });

  it('takes the tags of a twin in a CSV from its header', async () => {
    const twin = '{ csv: { file: twin.csv, labelColumn: y } }';
    const csv = { 'twin.csv': 'time,y,L1\n0,0,1\n' };
    expect(await problems(server(twin, '    - { type: raw, tag: L* }\n'), csv)).toEqual([]);
    expect(await problems(server(twin, '    - { type: raw, tag: y }\n'), csv)).toEqual([
      "server.yaml:7:25 detector.features[0].tag: 'y' matches no tag of the twin; the tags are L1",
    ]);
  });

  it('names what is wrong in the plant, and files that are not there', async () => {
    const plant = (await readFile(resolve(CONFIGS, 'reference-plant/plant.yaml'), 'utf8')).replace(
      'unit: m,',
      'unit: Mtr,',
    );
    const [network, attacks, unit] = await problems(
      server('{ plant: plant.yaml }', '    - { type: raw, tag: L_T1 }\n'),
      {
        'plant.yaml': plant,
      },
    );
    expect(network).toMatch(/^plant.yaml:\d+:\d+ network: .*cannot be read: ENOENT/);
    expect(attacks).toMatch(/^plant.yaml:\d+:\d+ attacks: .*cannot be read: ENOENT/);
    expect(unit).toMatch(/^plant.yaml:\d+:\d+ tags\[4\].unit: 'Mtr' is not a usual engineering unit; did you mean 'm'/);
    expect(await problems(server('{ plant: none.yaml }', '    - { type: raw, tag: x }\n'))).toEqual([
      expect.stringMatching(/^server.yaml:4:16 twin.plant: .*names a file that cannot be read: ENOENT/),
    ]);
  });
});
