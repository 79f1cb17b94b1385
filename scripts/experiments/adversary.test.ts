import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { RoundView } from '@twinwatch/core/wire/http';
import { clientExamples } from '@twinwatch/twin-server/aggregator/client-examples';
import { runRounds } from '@twinwatch/twin-server/aggregator/in-process';
import type { Tamper } from '@twinwatch/twin-server/aggregator/in-process-client';
import { buildSchema } from '@twinwatch/twin-server/aggregator/lineage';
import {
  normalClients,
  SILENT,
  syntheticConfig,
  syntheticTwin,
} from '@twinwatch/twin-server/aggregator/testing/synthetic-plant';
import { splitEpisodes, twinFeatures } from '@twinwatch/twin-server/aggregator/twin-rows';
import { describe, expect, it } from 'vitest';
import { type Adversaries, type Attack, withAdversaries } from './adversary.js';
import { CLIENTS, poisonedCourse, UNDEFENDED } from './poisoning.js';

const { detector } = syntheticConfig({});
const twin = syntheticTwin(1);
const episodes = splitEpisodes(twin.episodes, { validationShare: 0.25, seed: 7 });
const schema = buildSchema(detector, twin, episodes.training);
const features = twinFeatures(schema, episodes);
const honest = normalClients(CLIENTS, 3).map((rows) => clientExamples(schema, rows));
const engine = new BuiltinEngine();

interface FirstRound {
  /** What came out of each client. [parameters] */
  readonly sent: ReadonlyMap<string, Float32Array>;
  /** Θ after it. */
  readonly global: Float32Array;
}

async function firstRound(adversaries: Adversaries | null): Promise<FirstRound> {
  const { clients, tamper } =
    adversaries === null ? { clients: honest, tamper: keep } : withAdversaries(honest, adversaries);
  const config = syntheticConfig({ method: 'fedavg', quorum: CLIENTS, codec: 'f32', count: 1 });
  const sent = new Map<string, Float32Array>();
  let last = new Float32Array();
  await runRounds({
    ...{ schema, clients, engine, detector, rounds: config.rounds, seed: 7, now: () => 0, log: SILENT },
    twin: features,
    tamper(agent, delta, round) {
      const said = tamper(agent, delta, round);
      sent.set(agent, said);
      return said;
    },
    onRound(_view, global) {
      last = global.slice();
    },
  });
  return { sent, global: last };
}

const keep: Tamper = (_agent, delta) => delta;
const adversaries = (attack: Attack, strength = 4, share = 0.3): Adversaries => ({ attack, strength, share, seed: 3 });
const cosine = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0) / Math.hypot(...a) / Math.hypot(...b);

describe('adversaries', () => {
  it.each([
    ['labelFlip', (a: Float32Array, b: Float32Array) => cosine(a, b) < 0.9],
    ['signFlip', (a: Float32Array, b: Float32Array) => cosine(a, b) < -0.999 && near(a, b, 4)],
    ['scaled', (a: Float32Array, b: Float32Array) => cosine(a, b) > 0.999 && near(a, b, 4)],
    ['noise', (a: Float32Array, b: Float32Array) => Math.abs(cosine(a, b)) < 0.3 && near(a, b, 4)],
  ] as const)('that do %s change what arrives of them, and of nobody else', async (attack, isIt) => {
    const { hostile } = withAdversaries(honest, adversaries(attack));
    expect(hostile.size).toBe(3);
    const [with_, without] = [await firstRound(adversaries(attack)), await firstRound(null)];
    for (const { id } of honest) {
      const [said, learned] = [with_.sent.get(id)!, without.sent.get(id)!];
      if (hostile.has(id)) expect(isIt(said, learned)).toBe(true);
      else expect(said).toEqual(learned);
    }
    expect(with_.global).not.toEqual(without.global);
  });

  it('are drawn by the seed, and those of a smaller share are among those of a larger one', () => {
    const drawn = (share: number, seed: number) => [
      ...withAdversaries(honest, { attack: 'noise', strength: 1, share, seed }).hostile,
    ];
    expect(drawn(0, 1)).toEqual([]);
    expect(drawn(0.4, 1).slice(0, 2)).toEqual(drawn(0.2, 1));
    expect(drawn(0.4, 2)).not.toEqual(drawn(0.4, 1));
  });
});

const share = 0.3;
const SEED = 7;
const hostileOf = (attack: Attack) => withAdversaries(honest, { attack, share, strength: 1, seed: SEED }).hostile;
const lossOf = (views: readonly RoundView[]) => views.at(-1)!.validation!.loss;

describe('sign flips of three in ten clients', () => {
  const flips = { attack: 'signFlip', strength: 4, share } as const;

  it('break FedAvg', async () => {
    expect(lossOf(await poisonedCourse(null, {}, SEED))).toBeLessThan(0.01);
    expect(lossOf(await poisonedCourse(flips, {}, SEED))).toBeGreaterThan(1);
  });

  it.each([
    { combiner: { type: 'median' } },
    { combiner: { type: 'trimmedMean', trim: 0.3 } },
    { combiner: { type: 'krum', byzantine: 3 } },
    { combiner: { type: 'multiKrum', byzantine: 3 } },
    { filter: { cosine: 'median' } },
    { method: 'fpf', filter: { cosine: 'twin' } },
    { combiner: { type: 'median' }, serverOptimizer: { type: 'fedavgm' } },
    { combiner: { type: 'median' }, serverOptimizer: { type: 'fedadam' } },
    { combiner: { type: 'median' }, serverOptimizer: { type: 'fedyogi' } },
  ])('are withstood with %o', async (robust) => {
    const withstood = await poisonedCourse(flips, robust, SEED);
    expect(lossOf(withstood)).toBeLessThan(0.01);
    // By the twin, sites are told by whether their honest update points its way: not every hostile one, nor only those.
    if (robust.filter?.cosine === 'twin') return;
    const selects = robust.filter !== undefined || 'byzantine' in (robust.combiner ?? {});
    for (const { leftOut } of withstood) {
      const names = leftOut!.map(({ agent }) => agent);
      if (selects) expect(names).toEqual(expect.arrayContaining([...hostileOf('signFlip')]));
      else expect(names).toEqual([]);
    }
  });

  it('are dampened, not undone, by clipping norms', async () => {
    const loss = lossOf(await poisonedCourse(flips, { filter: { normMultiple: 1 } }, SEED));
    expect(loss).toBeLessThan(1);
    expect(loss).toBeGreaterThan(0.01);
  });
});

describe('updates out of all proportion', () => {
  it.each([
    { attack: 'scaled', strength: 100, share },
    { attack: 'noise', strength: 100, share },
  ] as const)('break what has no defence, and are refused, and their senders with them, by default: %o', async (of) => {
    expect(lossOf(await poisonedCourse(of, UNDEFENDED, SEED))).toBeGreaterThan(1);
    const views = await poisonedCourse(of, {}, SEED);
    expect(lossOf(views)).toBeLessThan(0.5);
    const hostile = [...hostileOf(of.attack)];
    expect(views[2]!.rejected.map(({ agent, verdict }) => [agent, verdict])).toEqual(
      expect.arrayContaining([[hostile[0], 'too-large']]),
    );
    expect(views.at(-1)!.asked).toEqual(
      honest
        .map(({ id }) => id)
        .filter((id) => !hostile.includes(id))
        .sort(),
    );
  });
});

function near(a: Float32Array, b: Float32Array, factor: number): boolean {
  const ratio = Math.hypot(...a) / Math.hypot(...b);
  return ratio > 0.75 * factor && ratio < 1.25 * factor;
}
