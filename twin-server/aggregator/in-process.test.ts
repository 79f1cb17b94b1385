import { roundsConfig } from '@twinwatch/core/config/server';
import { rocAuc } from '@twinwatch/core/evaluation/ranking';
import { extractAll } from '@twinwatch/core/features/extractor';
import { scaleRows } from '@twinwatch/core/features/moments';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import { readOnnxModel } from '@twinwatch/core/onnx/metadata';
import type { RoundView } from '@twinwatch/core/wire/http';
import { PARAMETER_CODECS } from '@twinwatch/core/wire/parameter-codec';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { type ClientRows, clientExamples } from './client-examples.js';
import { type FederationOutcome, runFederation, runRounds } from './in-process.js';
import { buildSchema } from './lineage.js';
import { openJournal } from './sqlite-journal.js';
import { normalClients, plantRows, SILENT, syntheticConfig, syntheticTwin } from './testing/synthetic-plant.js';
import { splitEpisodes, twinFeatures } from './twin-rows.js';

const engine = new BuiltinEngine();

function federate(clients: readonly ClientRows[], rounds: object): Promise<FederationOutcome> {
  const config = syntheticConfig(rounds);
  return runFederation({
    ...{ clients, engine, detector: config.detector, rounds: config.rounds, log: SILENT },
    twin: syntheticTwin(1),
    validationShare: 0.25,
    seed: 7,
    now: () => 1_000,
  });
}

/** ROC AUC on a site that nobody has trained on, under an attack. */
async function onNewSite({ lineage, parameters }: FederationOutcome): Promise<number> {
  const site = plantRows('new site', 4, 1.5, [150, 220]);
  const { features, rowIndex } = extractAll(lineage.schema, site.rows);
  const scaled = scaleRows(features, lineage.scaler, lineage.architecture.inputs);
  const scores = await engine.score(lineage.architecture, parameters, scaled);
  return rocAuc(
    scores,
    [...rowIndex].map((row) => site.labels[row]!),
  );
}

describe('a federation in one process', () => {
  it.each(roundsConfig.unwrap().shape.method.unwrap().options)(
    'learns with %s from label-free sites and the twin’s rows',
    async (method) => {
      const outcome = await federate(normalClients(3), { method });
      expect(outcome.rounds.map(({ round, phase }) => [round, phase])).toEqual(
        [1, 2, 3, 4, 5, 6].map((round) => [round, 'committed']),
      );
      expect(await onNewSite(outcome)).toBeGreaterThan(0.95);
      const best = Math.max(...outcome.rounds.map(({ validation }) => validation!.prAuc));
      expect(outcome.rounds[outcome.model.round - 1]?.validation?.prAuc).toBe(best);
      const { attackShare } = outcome.rounds[0]!.validation!;
      expect(attackShare).toBeGreaterThan(0);
      expect(attackShare).toBeLessThan(0.5);
      expect(outcome.model.provenance).toMatchObject({ prAuc: best, attackShare });
      expect(outcome.rounds[0]?.bytesUp).toBeGreaterThan(0);
    },
  );

  it.each(
    roundsConfig
      .unwrap()
      .shape.method.unwrap()
      .options.flatMap((method) => PARAMETER_CODECS.map((codec) => [method, codec] as const)),
  )('learns with %s as %s', async (method, codec) => {
    const outcome = await federate(normalClients(2, 2), {
      method,
      codec,
      topKShare: 0.25,
      count: 4,
      exchangeRows: 200,
    });
    expect(outcome.rounds.every(({ phase, rejected }) => phase === 'committed' && rejected.length === 0)).toBe(true);
    expect(await onNewSite(outcome)).toBeGreaterThan(0.9);
  });

  it('sends up only the layers that LPE takes from the clients, and chooses among all of them where it adapts', async () => {
    const bytes = async (lpe: object, codec: string) => {
      const { rounds } = await federate(normalClients(2), { method: 'lpe', count: 1, codec, lpe });
      return rounds[0]!.bytesUp / 2;
    };
    // 3 → 12 → 6 → 1; lower are the first two.
    const [first, second, last] = [4 * 12, 13 * 6, 7];
    const upper = await bytes({}, 'f32');
    const more = async (lpe: object, codec: string) => (await bytes(lpe, codec)) - (upper - 4 * last);
    // The envelope is around each; its mask, and the length of what it holds, may take a few bytes more or less.
    const about = (wanted: number, got: number) => expect(Math.abs(got - wanted)).toBeLessThanOrEqual(6);
    about(4 * (first + second), await more({ policy: 'reversed' }, 'f32'));
    about(4 * (first + last), await more({ policy: 'custom', map: ['clients', 'twin', 'clients'] }, 'f32'));
    about(4 * (first + second + last), await more({ policy: 'adaptive' }, 'f32'));
    about(last + 4 * 2, await more({}, 'int8'));
    expect(upper).toBeLessThan(4 * last + 350);
  });

  it.each(['loss', 'alignment', 'both'])('learns with LPE that adapts by %s', async (adaptBy) => {
    const outcome = await federate(normalClients(3), { method: 'lpe', lpe: { policy: 'adaptive', adaptBy } });
    expect(await onNewSite(outcome)).toBeGreaterThan(0.95);
  });

  it('keeps DTML stable at a long step by its controls', async () => {
    const learn = async (controls: object) => {
      const dtml = { beta: 10, ...controls };
      const { rounds } = await federate(normalClients(3), { method: 'dtml', count: 4, dtml });
      return rounds.at(-1)!.validation!.loss;
    };
    const wild = await learn({});
    for (const controls of [{ clipNorm: 0.01 }, { decay: 1000 }, { skipRising: true }])
      expect(await learn(controls)).toBeLessThan(wild / 2);
  });

  it('teaches by a light teacher what the full one does, for a quarter of its bytes', async () => {
    const learn = async (dtkd: object) => {
      const outcome = await federate(normalClients(3), { method: 'dtkd', count: 4, dtkd });
      const [first, second] = outcome.rounds;
      return { outcome, bytes: (first!.bytesDown - second!.bytesDown) / 3, auc: await onNewSite(outcome) };
    };
    const full = await learn({});
    expect(full.bytes).toBe(4 * full.outcome.parameters.length);
    const onTheFly = await learn({ softLabels: 'onTheFly' });
    expect(onTheFly.outcome.parameters).toEqual(full.outcome.parameters);
    const light = await learn({ teacherCodec: 'int8', softLabels: 'onTheFly' });
    expect(light.bytes).toBeLessThan(0.5 * full.bytes);
    expect(Math.min(full.auc, light.auc)).toBeGreaterThan(0.95);
    const assumed = await learn({ unlabelled: 'normal' });
    expect(assumed.outcome.parameters).not.toEqual(full.outcome.parameters);
  });

  it('unlearns attacks where sites have no label and no twin rows are shared', async () => {
    const withTwin = await federate(normalClients(3), { method: 'cwa' });
    const without = await federate(normalClients(3), { method: 'fedavg', exchangeRows: 0 });
    expect(without.lineage.exchange).toBeNull();
    expect(await onNewSite(withTwin)).toBeGreaterThan((await onNewSite(without)) + 0.05);
  });

  it('gives the same detector again for the same seed', async () => {
    const first = await federate(normalClients(2), { count: 2 });
    const second = await federate(normalClients(2), { count: 2 });
    expect(second.onnx).toEqual(first.onnx);
  });

  it('comes to the same with a database for a memory, and without a release', async () => {
    const config = syntheticConfig({ method: 'fpf', count: 4 });
    const common = { engine, detector: config.detector, rounds: config.rounds, log: SILENT, seed: 7, now: () => 1_000 };
    const twin = syntheticTwin(1);
    const journal = openJournal(':memory:');
    const kept = await runFederation({
      ...{ ...common, twin, clients: normalClients(3), validationShare: 0.25 },
      goOn: { journal, labelsChanged: false },
    });
    journal.close();
    expect((await federate(normalClients(3), { method: 'fpf', count: 4 })).onnx).toEqual(kept.onnx);

    const episodes = splitEpisodes(twin.episodes, { validationShare: 0.25, seed: 7 });
    const { schema } = kept.lineage;
    const lean: { round: RoundView; global: Float32Array }[] = [];
    await runRounds({
      ...{ ...common, schema, twin: twinFeatures(schema, episodes) },
      clients: normalClients(3).map((rows) => clientExamples(schema, rows)),
      onRound: (round, global) => lean.push({ round, global }),
    });
    expect(lean.map(({ round }) => round)).toEqual(kept.rounds);
    expect(lean[kept.model.round - 1]?.global).toEqual(kept.parameters);
  });

  it('takes what a client that tampers sends in place of what it learned', async () => {
    const config = syntheticConfig({ method: 'fedavg', count: 1, codec: 'f32' });
    const episodes = splitEpisodes(syntheticTwin(1).episodes, { validationShare: 0.25, seed: 7 });
    const schema = buildSchema(config.detector, syntheticTwin(1), episodes.training);
    const round = async (tamper?: (agent: string, delta: Float32Array) => Float32Array) => {
      let after = new Float32Array();
      await runRounds({
        ...{ engine, detector: config.detector, rounds: config.rounds, log: SILENT, seed: 7, now: () => 0 },
        ...{ schema, twin: twinFeatures(schema, episodes), ...(tamper === undefined ? {} : { tamper }) },
        clients: normalClients(2).map((rows) => clientExamples(schema, rows)),
        onRound: (_view, global) => {
          after = global.slice();
        },
      });
      return after;
    };
    const [honest, still, one] = [
      await round(),
      await round((_agent, delta) => delta.map(() => 0)),
      await round((agent, delta) => (agent === 'site-1' ? delta.map(() => 0) : delta)),
    ];
    const moved = (parameters: Float32Array) => Math.hypot(...parameters.map((value, i) => value - still[i]!));
    expect(moved(honest)).toBeGreaterThan(0.01);
    expect(moved(one)).toBeGreaterThan(0.01);
    expect(moved(one)).toBeLessThan(moved(honest));
  });

  it('exports a file that onnxruntime runs on engineering units, with its threshold and origin inside', async () => {
    const outcome = await federate(normalClients(3), { count: 4 });
    const { metadata, parameters } = readOnnxModel(outcome.onnx);
    expect(metadata).toMatchObject({
      threshold: outcome.threshold,
      alarm: { onDelayRows: 2 },
      provenance: { method: 'cwa' },
    });
    expect(parameters).toEqual(outcome.parameters);
    const session = await InferenceSession.create(outcome.onnx);
    const rows = Float32Array.of(3, 60, 1, 3, 74, 1);
    const { score } = await session.run({ features: new Tensor('float32', rows, [2, 3]) });
    const [normal = 1, attacked = 0] = score!.data as Float32Array;
    expect(normal).toBeLessThan(outcome.threshold);
    expect(attacked).toBeGreaterThan(outcome.threshold);
  });

  it('takes the labels that a site has', async () => {
    const attacked = plantRows('labelled', 6, 0, [200, 300]);
    const clients = [...normalClients(1), { id: 'labelled', rows: attacked.rows, labels: attacked.labels }];
    const outcome = await federate(clients, { method: 'fedavg', exchangeRows: 0, codec: 'f32' });
    expect(await onNewSite(outcome)).toBeGreaterThan(0.9);
  });

  it('goes on where it was with the rows that are chosen now, and releases a round that knows of them', async () => {
    const config = syntheticConfig({ method: 'fedavg', count: 3, exchangeRows: 0 });
    const journal = openJournal(':memory:');
    const request = { engine, twin: syntheticTwin(1), validationShare: 0.25, seed: 7, now: () => 1_000, log: SILENT };
    const learn = (count: number, clients: readonly ClientRows[], labelsChanged: boolean) =>
      runFederation({
        ...{ ...request, clients, detector: config.detector, rounds: { ...config.rounds, count } },
        goOn: { journal, labelsChanged },
      });
    const first = await learn(3, normalClients(2), false);
    const attacked = plantRows('labelled', 6, 0, [200, 300]);
    const rows = [...attacked.rows.keys()];
    const choice = { training: rows.slice(0, 400), holdout: rows.slice(400), weights: rows.map(() => 2) };
    const labelled = { id: 'site-2', rows: attacked.rows, labels: attacked.labels, choice };
    const second = await learn(12, [...normalClients(1), labelled], true);
    journal.close();
    expect(second.rounds.map(({ round }) => round)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(second.lineage).toEqual(first.lineage);
    expect(second.model.round).toBeGreaterThan(3);
    expect(await onNewSite(first)).toBeLessThan(0.7);
    expect(await onNewSite(second)).toBeGreaterThan(0.8);
  });

  it('stops with the first error', async () => {
    const aborted = AbortSignal.abort(new Error('enough'));
    const config = syntheticConfig({});
    const request = { engine, detector: config.detector, rounds: config.rounds, log: SILENT, seed: 1, now: () => 0 };
    const twin = syntheticTwin(1);
    await expect(
      runFederation({ ...request, twin, clients: normalClients(2), validationShare: 0.25, signal: aborted }),
    ).rejects.toThrow('enough');
    await expect(
      runFederation({ ...request, twin: syntheticTwin(1, 1), clients: normalClients(2), validationShare: 0.25 }),
    ).rejects.toMatchObject({ code: 'LEARNER_NO_ATTACKS' });
  });
});
