import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '@twinwatch/core/config/load';
import { serverFile } from '@twinwatch/core/config/server';
import { createRandom } from '@twinwatch/core/learning/random';
import { beforeAll, describe, expect, it } from 'vitest';
import { EpanetTwin } from '../twin/epanet-twin.js';
import { Plant } from '../twin/plant.js';
import { type LoadedPlant, loadPlant } from '../twin/plant-config.js';
import { advise, type MeasuredTwins } from './advise.js';
import { type Alignment, auditAlignment } from './audit.js';
import { measuredTwins } from './measured-twins.js';
import { settleRounds } from './settle-method.js';

const method = (name: string, mean: number, difference: number | null) => ({
  name,
  rounds: { method: name, exchangeRows: 0 },
  prAuc: { mean, deviation: 0.05 },
  against: difference === null ? null : { difference, p: 0.01 },
});
const MEASURED: MeasuredTwins = {
  source: 'this test',
  twins: [
    {
      scenario: 'replication',
      name: 'near',
      mmdRatio: 1.2,
      swdRatio: 1.2,
      seeds: 5,
      methods: [method('fedavg', 0.6, null), method('cwa', 0.7, 0.1)],
    },
    {
      scenario: 'replication',
      name: 'far',
      mmdRatio: 4,
      swdRatio: 5,
      seeds: 5,
      methods: [method('fedavg', 0.6, null), method('cwa', 0.5, -0.1)],
    },
    {
      scenario: 'label-free',
      name: 'near',
      mmdRatio: 1.2,
      swdRatio: 1.2,
      seeds: 5,
      methods: [method('fedavg', 0.1, null), method('fpf', 0.5, 0.4)],
    },
  ],
};
const at = (swdRatio: number, mmdRatio = swdRatio): Alignment => ({
  mmd: { rbf: 0.04 * mmdRatio, multiKernel: 0.1 },
  swd: 0.05 * swdRatio,
  mmdAmongReal: { rbf: 0.04, multiKernel: 0.1 },
  swdAmongReal: 0.05,
});

describe('advice', () => {
  it('is what was best with a twin that was no better than this one', () => {
    expect(advise(at(1), true, MEASURED)).toMatchObject({ method: { name: 'cwa' }, usesTwin: true });
    expect(advise(at(1, 2), true, MEASURED)).toMatchObject({ method: { name: 'fedavg' }, usesTwin: false });
    expect(advise(at(2), true, MEASURED).reasons[0]).toMatch(
      /^Do not use the twin: fedavg was best without it\. .*2\.0 times/,
    );
    expect(advise(at(1), false, MEASURED)).toMatchObject({ method: { name: 'fpf' }, usesTwin: true });
  });

  it('is not to use a twin that is worse than all that were measured', () => {
    expect(advise(at(9), true, MEASURED)).toMatchObject({ method: { name: 'fedavg' }, usesTwin: false });
    const unlabelled = advise(at(9), false, MEASURED);
    expect(unlabelled).toMatchObject({ method: null, usesTwin: false });
    expect(unlabelled.reasons.join(' ')).toMatch(/Do not use the twin.*farther than any.*fit-demands/);
  });
});

it('measures what a shift does, beside what the plant’s own rows differ by', () => {
  const random = createRandom(1);
  const rows = (shift: number) => Float32Array.from({ length: 3_000 }, () => random.normal() + shift);
  const tags = ['a', 'b', 'c'].map((name) => ({ name, unit: '', kind: 'analog' as const, resolution: 0.1 }));
  const schema = {
    tags,
    features: tags.map(({ name }) => ({ type: 'raw' as const, tag: name })),
    intervalMs: 60_000,
    holdRows: 0,
  };
  const audit = (shift: number) =>
    auditAlignment({ schema, twin: rows(shift), real: [rows(0), rows(0)], inputs: 3, seed: 1 });
  const [same, shifted] = [audit(0), audit(2)];
  expect(same.swd).toBeLessThan(2 * same.swdAmongReal);
  expect(shifted.swd).toBeGreaterThan(5 * shifted.swdAmongReal);
  expect(shifted.mmd.rbf).toBeGreaterThan(5 * shifted.mmdAmongReal.rbf);
});

describe('method: auto', () => {
  const PLANT = fileURLToPath(new URL('../../../configs/reference-plant/plant.yaml', import.meta.url));
  let plant: LoadedPlant;
  let folder: string;
  const record = async (name: string, change: (value: number, tag: string) => number): Promise<void> => {
    const site = await Plant.open({ config: plant.config, network: plant.network, variation: { seed: 77 } });
    const lines = Array.from({ length: 14 * 96 }, () => {
      const { timeMs, scada } = site.step();
      return [
        new Date(timeMs).toISOString(),
        ...Array.from(scada, (value, i) => change(value, site.tags[i]!.name)),
      ].join(',');
    });
    site.close();
    await writeFile(join(folder, name), [['time', ...site.tags.map((tag) => tag.name)].join(','), ...lines].join('\n'));
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'advice-'));
    plant = await loadPlant(PLANT, (path) => readFile(path, 'utf8'));
    await record('like.csv', (value) => value);
    await record('unlike.csv', (value, tag) =>
      tag.startsWith('L_') ? 9 - 2 * value : tag.startsWith('P_') ? 3 * value : value,
    );
  }, 60_000);

  it.each([
    ['like.csv', true],
    ['unlike.csv', false],
  ])(
    'is settled by the twin and the history: %s',
    async (history, speaksForIt) => {
      const file = parseConfig(
        serverFile,
        `{ federation: f, broker: { url: 'mqtt://x' }, dataDir: d, twin: { plant: ${PLANT}, history: { file: ${history} } }, rounds: { method: auto, count: 7 } }`,
        'server.yaml',
      );
      const said: string[] = [];
      const say = (level: string) => (_about: object, words: string) => void said.push(`${level} ${words}`);
      const log = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
      const settle = () =>
        settleRounds(file, new EpanetTwin({ plant }), { beside: (name) => resolve(folder, name), log });
      const rounds = await settle();
      expect(rounds).toEqual(await settle());
      expect(rounds.count).toBe(7);
      const measured = (await measuredTwins()).twins.filter(({ scenario }) => scenario === 'label-free');
      const best = measured.flatMap(({ methods }) => methods).map(({ rounds: fields }) => fields.method);
      expect(speaksForIt ? best : ['cwa']).toContain(rounds.method);
      expect(said[0]).toMatch(
        speaksForIt ? /^info method auto: .* Use / : /^warn method auto: cwa\. Do not use the twin/,
      );
    },
    60_000,
  );

  it('is refused where there is no history to compare with', () => {
    const text = `federation: f\nbroker: { url: 'mqtt://x' }\ndataDir: d\ntwin: { plant: p.yaml }\nrounds: { method: auto }\n`;
    expect(() => parseConfig(serverFile, text, 'server.yaml')).toThrow(/server\.yaml:5.*auto.*twin\.history/);
  });
});
