import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FieldTrialData } from './field-trial-data.js';
import { REPORT_SCHEMA, writeReport } from './report.js';
import { reportPage } from './report-page.js';
import { syntheticTrial } from './synthetic-trial.js';

function unlabelled(): FieldTrialData {
  const trial = syntheticTrial();
  return { ...trial, scores: null, baselines: [], attacks: [], series: { ...trial.series, labels: null } };
}

describe('field-trial report', () => {
  it('writes both files whole, and the JSON is the data', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'twinwatch-report-'));
    try {
      const paths = await writeReport(join(dir, 'out'), syntheticTrial());
      expect(await readdir(join(dir, 'out'))).toEqual(['report.html', 'report.json']);
      expect(JSON.parse(await readFile(paths.json, 'utf8'))).toEqual({ schema: REPORT_SCHEMA, ...syntheticTrial() });
      expect(await readFile(paths.html, 'utf8')).toBe(reportPage(syntheticTrial()));
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('is well formed and refers to nothing outside itself', () => {
    for (const html of [reportPage(syntheticTrial()), reportPage(unlabelled())]) {
      expect(unbalanced(html)).toEqual([]);
      expect(html).not.toMatch(/https?:|url\(|<script|<link|<img|\ssrc=|\shref=|@import/);
      expect(html).not.toMatch(/NaN|undefined|Infinity|\[object/);
    }
  });

  it('states the scores, every attack, every baseline and what was frozen', () => {
    const html = reportPage(syntheticTrial());
    expect(html).toContain('found 2 of 3 attacks');
    expect(html).toContain('<dt>S</dt><dd><b>0.781</b>');
    expect(html).toMatch(/<td>A2<\/td>.*?<td class="number">missed<\/td>/);
    for (const name of ['constant', 'random', 'actuator rule']) expect(html).toContain(`<td>${name}</td>`);
    expect(html).toContain('nothing was trained on the feed');
    expect(html).toContain('feed &#60;1&#62;.csv');
    expect(html).toMatch(/<td>P_J14 50 %<\/td><td>none<\/td>/);
    expect(html).not.toContain('class="warning"');
  });

  it('says plainly that there are no labels, and leaves the scores out', () => {
    const html = reportPage(unlabelled());
    expect(html).toContain('The feed has no labels.');
    for (const title of ['Attacks', 'Against the baselines', 'At every threshold']) {
      expect(html).not.toContain(`<h2>${title}</h2>`);
    }
    expect(html).toContain('<h2>Score against time</h2>');
    expect(html).toContain('<dt>alarms</dt><dd><b>3</b>');
  });

  it('warns of lost rows and of training on the feed', () => {
    const trial = syntheticTrial();
    const html = reportPage({ ...trial, run: { ...trial.run, polled: 1_190, gaps: 3, online: true } });
    expect(html).toContain('served 1 200 rows, the agent assembled 1 190 (3 gaps)');
    expect(html).toContain('went on training on the feed (--online)');
    expect(html).not.toContain('nothing was trained on the feed');
  });

  it('can be drawn of an empty trial', () => {
    const trial = unlabelled();
    const html = reportPage({
      ...trial,
      alarms: [],
      rounds: [],
      latency: null,
      agentRss: [],
      series: { timeMs: [], score: [], threshold: 0.5, alarm: [], labels: null },
    });
    expect(unbalanced(html)).toEqual([]);
    expect(html).not.toMatch(/NaN|Infinity/);
    expect(html).toContain('No alarm was raised.');
    expect(html).toContain('No round was run.');
  });
});

/** Tags that are not closed in the order they were opened. */
function unbalanced(html: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [tag, closing, name, selfClosing] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)(?:\s[^<>]*?)?(\/?)>/gi)) {
    if (selfClosing === '/' || name === 'meta') continue;
    if (closing === '') open.push(name!);
    else if (open.pop() !== name) wrong.push(tag);
  }
  return [...wrong, ...open];
}
