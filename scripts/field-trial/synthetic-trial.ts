import type { DetectorScores, FieldTrialData } from './field-trial-data.js';

/** A made-up trial of 1,200 hourly rows with three attacks, for the tests of the report. Deterministic. */
export function syntheticTrial(): FieldTrialData {
  const startMs = Date.UTC(2026, 0, 5);
  const hour = 3_600_000;
  const rows = 1_200;
  const spans = [
    [200, 260],
    [520, 545],
    [900, 980],
  ] as const;
  const under = (index: number) => spans.some(([first, last]) => index >= first && index <= last);
  // The second attack is missed, and rows 700 to 704 alarm for nothing.
  const caught = (index: number) => (index >= 204 && index <= 264) || (index >= 912 && index <= 984);
  const high = (index: number) => caught(index) || (index >= 700 && index <= 704);
  const noise = (index: number) => Math.abs(Math.sin(index * 12.9898) * 43_758.5453) % 1;
  const score = Array.from({ length: rows }, (_, index) =>
    index < 3 ? null : high(index) ? 0.8 + 0.19 * noise(index) : 0.05 + (under(index) ? 0.35 : 0.2) * noise(index),
  );
  const at = (index: number) => startMs + index * hour;
  const scores = (S: number, more: Partial<DetectorScores>): DetectorScores => ({
    S,
    STTD: S,
    SCM: S,
    TPR: 0,
    TNR: 1,
    F1: 0,
    balancedAccuracy: 0.5,
    rocAuc: 0.5,
    prAuc: 0.14,
    falseAlarmsPerDay: 0,
    episodeRecall: 1,
    episodePrecision: null,
    affiliationF1: 0,
    ...more,
  });
  return {
    run: {
      softwareVersion: '0.1.0',
      startedAtMs: Date.UTC(2026, 10, 24, 12, 30),
      files: [
        { role: 'history', name: 'history.csv', rows: 8_761, sha256: '1f'.repeat(32) },
        { role: 'feed', name: 'feed <1>.csv', rows, sha256: '2e'.repeat(32) },
        { role: 'network', name: 'network.inp', rows: null, sha256: '3d'.repeat(32) },
      ],
      seeds: { twin: 1, training: 7 },
      agents: 5,
      method: 'cwa',
      intervalMs: hour,
      model: {
        version: 'm-000017',
        round: 17,
        inputs: 58,
        hidden: [32, 16],
        members: 3,
        bytes: 31_400,
        chosenFrom: 'twin validation episodes and held-back history',
      },
      fed: rows,
      polled: rows,
      gaps: 0,
      duplicates: 2,
      online: false,
      durations: [
        { step: 'simulate the twin', ms: 61_000 },
        { step: 'federated rounds', ms: 148_400 },
        { step: 'feed', ms: 92_300 },
      ],
    },
    scores: scores(0.781, {
      STTD: 0.72,
      SCM: 0.842,
      TPR: 0.69,
      TNR: 0.995,
      F1: 0.8,
      balancedAccuracy: 0.842,
      rocAuc: 0.93,
      prAuc: 0.86,
      falseAlarmsPerDay: 0.02,
    }),
    baselines: [
      { name: 'constant', description: 'never alarms', scores: scores(0.25, { STTD: 0, SCM: 0.5 }) },
      {
        name: 'random',
        description: 'alarms at random, as often as there is an attack',
        scores: scores(0.62, { TPR: 0.14, TNR: 0.86, F1: 0.14 }),
      },
      {
        name: 'actuator rule',
        description: 'alarms when a pump runs that never ran in the history',
        scores: scores(0.55, { TPR: 0.3, F1: 0.42, balancedAccuracy: 0.64, prAuc: 0.31 }),
      },
    ],
    attacks: spans.map(([first, last], index) => ({
      name: `A${index + 1}`,
      startMs: at(first),
      endMs: at(last),
      detected: index !== 1,
      detectedAtMs: index === 1 ? null : at(first + (index === 0 ? 4 : 12)),
      timeToDetectionHours: [4, 26, 12][index]!,
      durationHours: last - first + 1,
    })),
    alarms: [
      {
        raisedAtMs: at(204),
        clearedAtMs: at(264),
        score: 0.93,
        contributions: [
          { tag: 'L_T1', share: 0.41 },
          { tag: 'F_PU2', share: 0.2 },
        ],
      },
      { raisedAtMs: at(700), clearedAtMs: at(704), score: 0.84, contributions: [{ tag: 'P_J14', share: 0.5 }] },
      { raisedAtMs: at(912), clearedAtMs: null, score: 0.97, contributions: [{ tag: 'L_T3', share: 0.61 }] },
    ],
    series: {
      timeMs: Array.from({ length: rows }, (_, index) => at(index)),
      score,
      threshold: 0.62,
      alarm: Array.from({ length: rows }, (_, index) => high(index)),
      labels: Array.from({ length: rows }, (_, index) => (index === 10 ? null : under(index))),
    },
    rounds: Array.from({ length: 20 }, (_, index) => ({
      round: index + 1,
      validation:
        index === 4
          ? null
          : { loss: 0.5 / (index + 1), rocAuc: 0.98 - 0.3 / (index + 1), prAuc: 0.93 - 0.45 / (index + 1) },
      bytesUp: 24_000,
      bytesDown: index % 2 === 0 ? 84_000 : 104_000,
      milliseconds: 6_400 + index * 30,
      accepted: 5,
      rejected: index === 7 ? 1 : 0,
    })),
    latency: { p50Ms: 1.8, p99Ms: 7.4, count: rows },
    agentRss: [
      { agent: 'slice-1', rssBytes: 121e6 },
      { agent: 'duty', rssBytes: 134e6 },
    ],
  };
}
