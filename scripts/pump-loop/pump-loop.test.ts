import { readFileSync } from 'node:fs';
import { deviceTemplateSchema, templateTags } from '@twinwatch/core/config/device-template';
import { parseConfig } from '@twinwatch/core/config/load';
import { serverConfig } from '@twinwatch/core/config/server';
import { FeatureExtractor } from '@twinwatch/core/features/extractor';
import { BuiltinEngine } from '@twinwatch/core/learning/builtin-engine';
import type { Row } from '@twinwatch/core/scada/sample';
import { Detector } from '@twinwatch/edge-agent/detection/detector';
import { runFederation } from '@twinwatch/twin-server/aggregator/in-process';
import { CsvTwin } from '@twinwatch/twin-server/twin/csv-twin';
import { describe, expect, it } from 'vitest';
import { alarmsOf } from '../catalogue/watch-run.js';
import { baselines } from '../field-trial/baselines.js';
import { alarmAt, scoresOf } from '../field-trial/scores.js';
import { configFile } from '../processes/repository.js';
import { FAULTS } from './faults.js';
import { TAGS } from './pump-loop.js';
import { csvOf, episodesOfTwin, feedRows, type LabelledRow, siteRows } from './recordings.js';

const read = (name: string) => readFileSync(configFile('pump-loop', name), 'utf8');
const config = parseConfig(serverConfig, read('server.yaml'), 'server.yaml');

const asRows = (rows: readonly LabelledRow[]): Row[] =>
  rows.map(({ timeMs, values }, i) => ({ timeMs, sequence: i, values: Float64Array.from(values) }));

describe('a pump loop, of which the product knows nothing', () => {
  it('is served by its template: every column is a tag', () => {
    const template = parseConfig(deviceTemplateSchema, read('pump-skid.yaml'), 'pump-skid.yaml');
    expect(templateTags(template).map(({ name }) => name)).toEqual([...TAGS]);
  });

  it('is learned by its configuration, and its held-out faults are found', async () => {
    const { csv } = config.twin;
    const source = CsvTwin.open({ ...csv!, text: csvOf(episodesOfTwin(72, 1)), fileName: 'twin.csv' });
    const { episodes, days, attackShare, validationShare, seed } = config.twin;
    const request = { seed, episodes, hoursPerEpisode: days * 24, attackShare };
    const twin = await source.generate(request, () => undefined);
    const engine = new BuiltinEngine();
    const clients = [1, 2, 3].map((site) => ({ id: `site-${site}`, rows: asRows(siteRows(`site ${site}`, 2)) }));
    const outcome = await runFederation({
      ...{ twin, validationShare, seed, engine, clients, detector: config.detector },
      rounds: { ...config.rounds, count: 4 },
      now: () => 0,
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    });
    // From here on only the file that agents get.
    const detector = await Detector.load(outcome.onnx, TAGS);
    const feed = feedRows('held out', 4);
    const rows = asRows(feed);
    const extractor = new FeatureExtractor(detector.metadata.schema);
    const scores: (number | null)[] = [];
    for (const row of rows) {
      const features = extractor.push(row);
      scores.push(features === null ? null : await detector.score(features));
    }
    await detector.close();
    const timeMs = rows.map((row) => row.timeMs);
    const { alarm: delays, threshold } = detector.metadata;
    const alarm = alarmAt(timeMs, alarmsOf(rows, scores, { ...delays, threshold }));
    const label = feed.map((row) => (row.label === -999 ? null : row.label));
    const ours = scoresOf({ score: scores.map((value) => value ?? 0), alarm, label, intervalMs: 60_000 })!;
    expect(new Set(feed.map(({ fault }) => fault)).size).toBe(FAULTS.length + 1);
    expect(ours.episodeRecall).toBeGreaterThan(0.8);
    expect(ours.falseAlarmsPerDay).toBeLessThan(1);
    for (const { name, ...said } of baselines(clients[0]!.rows, rows, twin.tags, seed)) {
      const theirs = scoresOf({ ...said, label, intervalMs: 60_000 })!;
      expect(ours.rocAuc, name).toBeGreaterThan(theirs.rocAuc + 0.2);
      expect(ours.balancedAccuracy, name).toBeGreaterThan(theirs.balancedAccuracy + 0.2);
    }
  }, 120_000);
});
