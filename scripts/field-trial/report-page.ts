import { episodesOf } from '@twinwatch/core/evaluation/episodes';
import { reportDocument, section, table } from '../report/page.js';
import { escapeXml } from '../report/svg.js';
import { curvesOf } from './curves.js';
import type { DetectorScores, FieldTrialData } from './field-trial-data.js';
import { comparisonPlot, curvePlot, delayPlot, roundsPlot, scorePlot } from './plots.js';
import { bytesWords, countWords, hoursWords, millisecondsWords, scoreWords, timeWords } from './report-words.js';

/** The whole report as one HTML document without any reference to another file. Pure. */
export function reportPage(data: FieldTrialData): string {
  const feed = data.run.files.find(({ role }) => role === 'feed')?.name ?? 'the feed';
  return reportDocument({
    title: `Field trial on ${feed}`,
    kicker: `Twinwatch field trial, ${timeWords(data.run.startedAtMs)} UTC`,
    heading: feed,
    lead: lead(data),
    main: `${warnings(data)}${tiles(data)}
${section('Score against time', scoreSection(data))}
${data.scores === null ? '' : section('Attacks', attackSection(data))}
${data.scores === null ? '' : section('Against the baselines', comparisonSection(data.scores, data))}
${data.series.labels === null ? '' : section('At every threshold', curveSection(data))}
${section('Rounds', roundSection(data))}
${section('Alarms', alarmSection(data))}
${section('How it was run', runSection(data))}`,
  });
}

function lead({ run, attacks, scores }: FieldTrialData): string {
  const learned = `A detector learned by ${run.agents} agents in federated rounds (${run.method}) with a digital twin`;
  const watched = `watched ${countWords(run.polled)} rows over Modbus TCP`;
  const found = attacks.filter(({ detected }) => detected).length;
  return scores === null
    ? `${learned} ${watched}.`
    : `${learned} ${watched} and found ${found} of ${attacks.length} attacks.`;
}

function warnings({ run, scores }: FieldTrialData): string {
  const all: string[] = [];
  if (run.polled !== run.fed) {
    all.push(
      `<p class="warning">Not every row arrived: the plant served ${countWords(run.fed)} rows, the agent assembled ${countWords(run.polled)} (${countWords(run.gaps)} gaps). The figures below are of the rows that arrived.</p>`,
    );
  }
  if (run.online) {
    all.push(
      '<p class="warning">The agents went on training on the feed (--online), so the detector was not frozen before its first row.</p>',
    );
  }
  if (scores === null) {
    all.push(
      '<p class="note">The feed has no labels. So there are no scores, no baselines and no attacks to compare with: what follows is what the detector said.</p>',
    );
  }
  return all.join('');
}

function tiles({ run, scores, attacks, alarms, latency, rounds, agentRss }: FieldTrialData): string {
  const bytes = rounds.map(({ bytesUp, bytesDown }) => bytesUp + bytesDown);
  const perRound = bytes.length === 0 ? null : bytes.reduce((sum, each) => sum + each, 0) / bytes.length;
  const all: [string, string, string][] = [];
  if (scores !== null) {
    const found = attacks.filter(({ detected }) => detected).length;
    all.push(
      [
        'S',
        scoreWords(scores.S),
        `BATADAL score: ½ S_TTD ${scoreWords(scores.STTD)} + ½ S_CM ${scoreWords(scores.SCM)}`,
      ],
      [
        'attacks found',
        `${found} of ${attacks.length}`,
        `TPR ${scoreWords(scores.TPR)}, TNR ${scoreWords(scores.TNR)}`,
      ],
      ['false alarms', `${scores.falseAlarmsPerDay.toFixed(2)} per day`, 'alarms outside every attack'],
      ['ROC AUC', scoreWords(scores.rocAuc), `PR AUC ${scoreWords(scores.prAuc)}`],
    );
  } else all.push(['alarms', String(alarms.length), 'raised over the whole feed']);
  all.push(
    ['rows polled', countWords(run.polled), `of ${countWords(run.fed)} served`],
    [
      'sensor to alarm',
      latency === null ? '—' : `${millisecondsWords(latency.p99Ms)} p99`,
      latency === null ? 'not measured' : `${millisecondsWords(latency.p50Ms)} p50, ${countWords(latency.count)} rows`,
    ],
    ['per round', perRound === null ? '—' : bytesWords(perRound), 'all agents, up and down'],
    [
      'agent memory',
      agentRss.length === 0 ? '—' : bytesWords(Math.max(...agentRss.map(({ rssBytes }) => rssBytes))),
      'resident, the largest',
    ],
  );
  const items = all.map(
    ([name, value, more]) => `<div><dt>${name}</dt><dd><b>${value}</b><span>${more}</span></dd></div>`,
  );
  return `<dl class="tiles">${items.join('')}</dl>`;
}

function scoreSection({ series, attacks, run }: FieldTrialData): string {
  const shaded = series.labels === null ? '' : ' Shaded: rows labelled as under attack.';
  const alarmed = series.alarm.filter(Boolean).length;
  return `<p>Threshold ${scoreWords(series.threshold)} (dashed), chosen from ${escapeXml(run.model.chosenFrom)}.${shaded} The strip below shows when the alarm was active: ${countWords(alarmed)} rows in ${episodesOf(series.alarm).length} stretches.</p>
<figure class="wide">${scorePlot(series, attacks, run.intervalMs)}</figure>`;
}

function attackSection({ attacks }: FieldTrialData): string {
  const rows = attacks.map((attack) => [
    attack.name,
    timeWords(attack.startMs),
    timeWords(attack.endMs),
    hoursWords(attack.durationHours),
    attack.detected ? timeWords(attack.detectedAtMs) : 'missed',
    attack.detected ? hoursWords(attack.timeToDetectionHours) : '—',
  ]);
  return `<figure>${delayPlot(attacks) ?? '<p>The labels name no attack.</p>'}</figure>${table(['attack', 'first row', 'last row', 'length', 'detected', 'time to detection'], rows)}
<p class="fine">The dark part of a bar is the time before the alarm. A missed attack counts its whole length.</p>`;
}

function comparisonSection(scores: DetectorScores, { baselines }: FieldTrialData): string {
  const columns: readonly [string, keyof DetectorScores][] = [
    ['S', 'S'],
    ['S_TTD', 'STTD'],
    ['S_CM', 'SCM'],
    ['TPR', 'TPR'],
    ['TNR', 'TNR'],
    ['F1', 'F1'],
    ['balanced acc.', 'balancedAccuracy'],
    ['ROC AUC', 'rocAuc'],
    ['PR AUC', 'prAuc'],
    ['false alarms/day', 'falseAlarmsPerDay'],
    ['attacks found', 'episodeRecall'],
    ['alarms right', 'episodePrecision'],
    ['affiliation F1', 'affiliationF1'],
  ];
  const cells = (each: DetectorScores) => columns.map(([, key]) => scoreWords(each[key]));
  const rows = [['Twinwatch', ...cells(scores)], ...baselines.map((each) => [each.name, ...cells(each.scores)])];
  const what = baselines.map(
    ({ name, description }) => `<li><b>${escapeXml(name)}</b>: ${escapeXml(description)}</li>`,
  );
  return `<figure>${comparisonPlot(scores, baselines)}</figure>${table(['detector', ...columns.map(([words]) => words)], rows)}<ul class="fine">${what.join('')}</ul>`;
}

function curveSection({ series, scores }: FieldTrialData): string {
  const curves = series.labels === null ? null : curvesOf(series.score, series.labels);
  if (curves === null) return '<p>The labels hold one class only, so there is no curve.</p>';
  const roc = curvePlot('ROC curve', { x: 'false positive rate', y: 'true positive rate' }, curves.roc, [0, 1]);
  const pr = curvePlot('Precision-recall curve', { x: 'recall', y: 'precision' }, curves.pr, [
    curves.prevalence,
    curves.prevalence,
  ]);
  return `<div class="pair"><figure><figcaption>ROC, area ${scoreWords(scores?.rocAuc ?? null)}</figcaption>${roc}</figure>
<figure><figcaption>Precision and recall, area ${scoreWords(scores?.prAuc ?? null)}</figcaption>${pr}</figure></div>
<p class="fine">Of the score of each row by itself, before alarm delays. Dashed: a detector that knows nothing.</p>`;
}

function roundSection({ rounds, run }: FieldTrialData): string {
  const plot = roundsPlot(rounds);
  if (plot === null) return '<p>No round was run.</p>';
  const rows = rounds.map((each) => [
    String(each.round),
    `${each.accepted}${each.rejected > 0 ? `, ${each.rejected} rejected` : ''}`,
    scoreWords(each.validation?.rocAuc ?? null),
    scoreWords(each.validation?.prAuc ?? null),
    each.validation === null ? '—' : each.validation.loss.toFixed(4),
    bytesWords(each.bytesUp),
    bytesWords(each.bytesDown),
    millisecondsWords(each.milliseconds),
  ]);
  return `<p>On the twin’s validation episodes; the detector that went out is from round ${run.model.round}.</p>
<figure><figcaption class="legend"><span class="key">ROC AUC</span><span class="key dashed">PR AUC</span><span class="key bar">bytes down, and up on top</span></figcaption>${plot}</figure>
<details><summary>Every round</summary>${table(['round', 'updates', 'ROC AUC', 'PR AUC', 'loss', 'up', 'down', 'took'], rows)}</details>`;
}

function alarmSection({ alarms, attacks, scores, run }: FieldTrialData): string {
  if (alarms.length === 0) return '<p>No alarm was raised.</p>';
  const during = (raisedMs: number, clearedMs: number) =>
    attacks.find(({ startMs, endMs }) => raisedMs <= endMs + run.intervalMs && clearedMs >= startMs)?.name ?? 'none';
  const rows = alarms.map((alarm) => [
    timeWords(alarm.raisedAtMs),
    alarm.clearedAtMs === null ? 'active at the end' : timeWords(alarm.clearedAtMs),
    alarm.contributions
      .slice(0, 4)
      .map(({ tag, share }) => `${tag} ${Math.round(share * 100)} %`)
      .join(', '),
    ...(scores === null ? [] : [during(alarm.raisedAtMs, alarm.clearedAtMs ?? Number.POSITIVE_INFINITY)]),
    scoreWords(alarm.score),
  ]);
  const head = ['raised', 'cleared', 'tags that moved the score most', ...(scores === null ? [] : ['attack']), 'score'];
  return table(head, rows, head.length - 1);
}

function runSection({ run, agentRss }: FieldTrialData): string {
  const { model } = run;
  const frozen = run.online
    ? 'The agents went on training on the feed, with quarantine.'
    : 'Weights, scaler, threshold and alarm delays were frozen before the feed’s first row and chosen without its labels; nothing was trained on the feed.';
  const shape = `${model.inputs} inputs, hidden ${model.hidden.join(' and ')}${model.members > 1 ? `, ${model.members} networks averaged` : ''}, ${bytesWords(model.bytes)} as ONNX`;
  const facts: [string, string][] = [
    ['Detector', `${model.version} from round ${model.round}: ${shape}`],
    ['Method', `${run.method}, ${run.agents} agents`],
    [
      'Rows',
      `${countWords(run.fed)} served, ${countWords(run.polled)} assembled, ${countWords(run.gaps)} gaps, ${countWords(run.duplicates)} duplicates dropped`,
    ],
    [
      'Seeds',
      Object.entries(run.seeds)
        .map(([name, seed]) => `${name} ${seed}`)
        .join(', '),
    ],
    ['Software', run.softwareVersion],
  ];
  const files = run.files.map((file) => [
    file.role,
    file.name,
    file.sha256,
    file.rows === null ? '—' : countWords(file.rows),
  ]);
  const total = run.durations.reduce((sum, { ms }) => sum + ms, 0);
  const durations = [
    ...run.durations.map(({ step, ms }) => [step, millisecondsWords(ms)]),
    ['together', millisecondsWords(total)],
  ];
  const memory = agentRss.map(({ agent, rssBytes }) => [agent, bytesWords(rssBytes)]);
  return `<p>${frozen}</p><dl class="facts">${facts.map(([name, value]) => `<dt>${name}</dt><dd>${escapeXml(value)}</dd>`).join('')}</dl>
${table(['', 'file', 'SHA-256', 'rows'], files, 3)}<div class="pair"><div>${table(['step', 'took'], durations)}</div><div>${table(['agent', 'memory'], memory)}</div></div>`;
}
