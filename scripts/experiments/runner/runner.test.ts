import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfig } from '@twinwatch/core/config/load';
import { createRandom } from '@twinwatch/core/learning/random';
import { beforeAll, describe, expect, it } from 'vitest';
import { progressWords, runExperiments } from './experiment.js';
import { type ExperimentConfig, experimentSchema } from './experiment-config.js';
import { convergencePlot, standalone, sweepPlot } from './experiment-plots.js';
import { bestThreshold } from './measures.js';
import { pairedT, twoSidedP } from './paired-test.js';
import { dealRows, dirichlet } from './partition.js';
import { quickened, readyExperiments } from './quick.js';
import { bordersBetweenAttacks } from './recorded-rows.js';
import { parseResults } from './result-lines.js';
import type { RunResult } from './run-once.js';
import { expandRuns } from './runs.js';
import { groupRuns, roundsToTarget, summariseRuns } from './summarise.js';

const SMALL = `
title: Small
question: Does the runner run?
scenario: label-free
sites: 5
siteDays: 2
twinEpisodes: 4
twinDays: 3
attackShare: 1
detector: { hidden: [4] }
rounds: { count: 3, batchSize: 32, exchangeRows: 0, twinEpochs: 1 }
clients: 4
fraction: [0.5]
epochs: [1]
seeds: [1, 2]
methods:
  - { name: FedAvg, rounds: { method: fedavg } }
  - { name: FPF, rounds: { method: fpf }, sweep: { parameter: fpf.gamma, values: [0.2, 0.8] } }
adversaries: [{ attack: none }, { attack: signFlip, share: 0.5 }]
`;

const small = (change: (text: string) => string = (text) => text): ExperimentConfig =>
  parseConfig(experimentSchema, change(SMALL), 'small.yaml');

/** t, degrees of freedom, 2 · scipy.stats.t.sf(t, df); SciPy 1.17. */
const SCIPY_TAILS = [
  [0.3, 4, 0.7791214282774598],
  [2.776, 4, 0.05002277831997642],
  [8.5, 4, 0.0010505780707892498],
  [1.2, 1, 0.4422841232473911],
  [3.1, 29, 0.00427818237355557],
] as const;

describe('an experiment’s file', () => {
  it('is expanded into every combination, each named by what makes a difference to it', () => {
    const runs = expandRuns(small(), null);
    expect(runs).toHaveLength(2 * 2 * 3);
    expect(new Set(runs.map(({ id }) => id)).size).toBe(runs.length);
    expect(runs.map(({ rounds }) => (rounds.fpf as { gamma: number } | undefined)?.gamma).slice(0, 3)).toEqual([
      undefined,
      0.2,
      0.8,
    ]);
    const ids = (config: ExperimentConfig) => expandRuns(config, null).map(({ id }) => id);
    expect(ids(small((text) => text.replace('title: Small', 'title: Other').replace('[1, 2]', '[1, 2, 3]')))).toEqual(
      expect.arrayContaining(runs.map(({ id }) => id)),
    );
    expect(
      ids(small((text) => text.replace('siteDays: 2', 'siteDays: 3'))).some((id) => ids(small()).includes(id)),
    ).toBe(false);
  });

  it('is refused with the place of what is wrong, the server’s rounds block included', () => {
    expect(() => small((text) => text.replace('name: FedAvg', 'name: Plain'))).toThrow(
      /baseline: .*no method has that name; write one of 'Plain', 'FPF'/,
    );
    expect(() => small((text) => text.replace('method: fedavg', 'method: lpe, lpe: { lowerLayers: 2 }'))).toThrow(
      /methods\[0\].rounds: .*lpe.lowerLayers that leaves no layer of 2 to one of the two sides/,
    );
    const wrong = SMALL.replace('method: fedavg', 'method: fedavgg')
      .replace('[0.2, 0.8]', '[0.2, 8]')
      .replace('[1, 2]', '[1, 1]');
    expect(() => parseConfig(experimentSchema, wrong, 'small.yaml')).toThrow(
      /small\.yaml:16.*method[\s\S]*small\.yaml:19.*sweep\.values\[1\].*gamma|seeds/,
    );
  });
});

it('has a sound file for every experiment that comes with the product, which is small when it has to be quick', async () => {
  const files = await readyExperiments();
  expect(files.length).toBeGreaterThan(15);
  for (const file of files) {
    const config = parseConfig(experimentSchema, readFileSync(file, 'utf8'), file);
    expect(config.seeds.length).toBeGreaterThanOrEqual(5);
    expect(config.methods.map(({ name }) => name)).toContain(config.baseline);
    const quick = expandRuns(quickened(config), null);
    expect(quick.every(({ rounds }) => rounds.count === 2)).toBe(true);
  }
});

describe('rows are dealt', () => {
  const kinds = Array.from({ length: 4_000 }, (_, row) => (row % 4 === 0 ? (row % 8 === 0 ? 'speed' : 'link') : ''));
  const rows = {
    kinds,
    sites: kinds.map((_, row) => Math.floor(row / 400)),
    timesMs: kinds.map((_, row) => row % 400),
  };

  it.each([{ kind: 'iid' }, { kind: 'time' }, { kind: 'site' }, { kind: 'dirichlet', alpha: 0.1 }] as const)(
    'each to one client, and the same again: $kind',
    (partition) => {
      const dealt = dealRows(rows, 10, partition, 3);
      expect(dealt.flat().sort((a, b) => a - b)).toEqual(kinds.map((_, row) => row));
      expect(dealRows(rows, 10, partition, 3)).toEqual(dealt);
      if (partition.kind === 'site') expect(new Set(dealt[2]!.map((row) => rows.sites[row])).size).toBe(1);
      if (partition.kind === 'time') expect(Math.max(...dealt[0]!.map((row) => rows.timesMs[row]!))).toBeLessThan(41);
    },
  );

  it('the less alike the smaller α is', () => {
    const unevenness = (alpha: number) => {
      const shares = dealRows(rows, 10, { kind: 'dirichlet', alpha }, 1).map(
        (own) => own.filter((row) => kinds[row] === 'speed').length / 500,
      );
      return Math.max(...shares);
    };
    expect(unevenness(100)).toBeLessThan(0.15);
    expect(unevenness(0.05)).toBeGreaterThan(0.4);
    const draws = Array.from({ length: 4_000 }, (_, i) => dirichlet(5, 0.5, createRandom(i))[0]!);
    const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
    const variance = draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length;
    // a (A − a) / (A² (A + 1)) with a = ½ of A = 5/2.
    expect(mean).toBeCloseTo(0.2, 1.8);
    expect(variance).toBeCloseTo(0.16 / 3.5, 2.2);
  });
});

describe('what is counted', () => {
  it('is the first of three rounds that keep the target', () => {
    expect(roundsToTarget([0.2, 0.9, 0.4, 0.8, 0.8, 0.9, 0.1], 0.8)).toBe(4);
    expect(roundsToTarget([0.2, 0.9, 0.9], 0.8)).toBeNull();
  });

  it('takes the threshold with the best balanced accuracy', () => {
    expect(bestThreshold([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).toBeCloseTo(0.6);
    expect(bestThreshold([0.1, 0.2, 0.7, 0.8], [0, 0, 1, 1])).toBeCloseTo(0.45);
  });

  it('is compared pair by pair as SciPy does', () => {
    const test = pairedT([0.716, 0.62, 0.81, 0.55, 0.77], [0.7, 0.64, 0.75, 0.5, 0.71]);
    expect(test.t).toBeCloseTo(2.133119347480223, 10);
    expect(test.p).toBeCloseTo(0.09985701377350424, 10);
    for (const [t, degrees, p] of SCIPY_TAILS) expect(twoSidedP(t, degrees)).toBeCloseTo(p, 11);
    expect(pairedT([1], [2]).p).toBeNaN();
    expect(pairedT([1, 2], [1, 2]).p).toBeNaN();
  });

  it('leaves attacks out in turn, cut half-way between two', () => {
    const labels = [0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
    expect(bordersBetweenAttacks(labels, 3)).toEqual([4, 8]);
    expect(() => bordersBetweenAttacks(labels, 4)).toThrow('3 labelled attacks');
  });
});

describe('an experiment that is run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'experiment-'));
  const file = join(folder, 'small.yaml');
  const lines = (name: string) => readFileSync(join(folder, name, 'small.jsonl'), 'utf8');
  /** Without what the clock says. */
  const timeless = (text: string) =>
    [...parseResults(text).values()]
      .map((result) => ({ ...result, milliseconds: [] }))
      .sort((a, b) => (a.run.id < b.run.id ? -1 : 1));

  beforeAll(async () => {
    writeFileSync(file, SMALL);
    await runExperiments([file], { out: join(folder, 'first'), processes: 2 });
  }, 120_000);

  it('finds the same again, in one process and after a line that broke off', async () => {
    const whole = lines('first');
    const [first, second] = whole.split('\n');
    await runExperiments([file], { out: join(folder, 'second'), processes: 1 });
    expect(timeless(lines('second'))).toEqual(timeless(whole));
    writeFileSync(join(folder, 'second', 'small.jsonl'), `${first}\n${second!.slice(0, 100)}`);
    await runExperiments([file], { out: join(folder, 'second'), processes: 1 });
    expect(lines('second').startsWith(`${first}\n{`)).toBe(true);
    expect(timeless(lines('second'))).toEqual(timeless(whole));
  }, 120_000);

  it('says what happened in every round, and writes a report that needs no other file', () => {
    const results = [...parseResults(lines('first')).values()] as RunResult[];
    expect(results).toHaveLength(12);
    for (const { curve, bytesUp, clientRows, alignment } of results) {
      expect(curve.prAuc).toHaveLength(3);
      expect(curve.prAuc.every((value) => value > 0 && value <= 1)).toBe(true);
      expect(bytesUp.every((bytes) => bytes === bytesUp[0] && bytes > 0)).toBe(true);
      expect(clientRows).toHaveLength(4);
      expect(alignment.mmd.rbf).toBeLessThan(0.5);
    }
    const groups = groupRuns(summariseRuns(small(), results));
    expect(groups).toHaveLength(6);
    expect(groups.every(({ summaries }) => summaries.length === 2)).toBe(true);
    const html = readFileSync(join(folder, 'first', 'small.html'), 'utf8');
    expect(html).toContain('<svg');
    expect(html).not.toMatch(/(src|href)="/);
    expect(html).not.toContain('NaN');
    const markdown = readFileSync(join(folder, 'first', 'small.md'), 'utf8');
    expect(markdown).toContain('| FPF, 0.8, adversaries signFlip 50 % |');
  });
});

it('draws means with their spread', () => {
  const curve = convergencePlot(
    'AUC-PR',
    [
      {
        name: 'A & B',
        seeds: [
          [0.1, 0.5],
          [0.3, 0.7],
        ],
      },
    ],
    0.4,
  );
  expect(curve).toContain('A &#38; B');
  expect(curve).toContain('class="f0 band"');
  expect(curve).not.toContain('NaN');
  const sweep = sweepPlot(
    'S',
    'α',
    [
      {
        name: 'FPF',
        points: [
          { at: 0.1, values: [0.2, 0.4] },
          { at: 10, values: [null, 0.6] },
        ],
      },
    ],
    true,
  );
  expect(sweep.match(/<circle/g)).toHaveLength(2);
  expect(standalone(sweep)).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" .*<style>/);
});

it('says how much is done, and how much longer it will take', () => {
  expect(progressWords('x', 50, 100, 10_000, 1, 4)).toBe(
    `x [${'#'.repeat(12)}${'.'.repeat(12)}] 1/4 runs, 50/100 rounds, 10 s left`,
  );
  expect(progressWords('x', 1, 1_000, 1_000, 0, 4)).toContain('17 min left');
});
