import { join } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { controlRules, loadPlant, plantTags } from '@twinwatch/twin-server/twin/plant-config';
import { ProgressLine } from '../demo/progress-line.js';
import { readTemplates } from '../plant/open-site.js';
import type { PlantMessage } from '../plant/plant-messages.js';
import { type Recording, type RecordingColumns, readRecording } from '../plant/recording.js';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { choosePorts } from '../processes/ports.js';
import { readTextFile } from '../processes/read-config.js';
import { COMMAND, fromRepository } from '../processes/repository.js';
import { runToEnd } from '../processes/run-to-end.js';
import { followServer } from '../processes/server-events.js';
import { type ChildEvent, logTail, Supervisor } from '../processes/supervisor.js';
import { untilStopped } from '../processes/until-stopped.js';
import { compareAcquisition, throughRegister } from './acquisition.js';
import { readDutyStore } from './duty-store.js';
import { type FederationView, learnOf, NOTHING_KNOWN } from './federation-view.js';
import { trialData } from './findings.js';
import { writeReport } from './report.js';
import {
  columnsOf,
  emptyWorkFolder,
  type TrialFiles,
  writePlant,
  writeSlices,
  writeTrialConfigs,
} from './trial-configs.js';
import { trialDetector } from './trial-detector.js';
import { Waiting } from './waiting.js';

export interface FieldTrialOptions {
  readonly history: string;
  readonly feed: string;
  readonly network: string;
  readonly plant: string;
  readonly out: string;
  readonly agents: number;
  readonly rounds: number;
  readonly seed: number;
  /** Of the twin; as many as are usual where absent. */
  readonly episodes?: number;
  readonly realtimeFactor?: number;
  readonly online?: boolean;
  readonly timeColumn?: string;
  readonly dateOrder: RecordingColumns['dateOrder'];
  readonly labelColumn?: string;
  readonly column: readonly string[];
  readonly delimiter: string;
}

const PORTS_FROM = 19_830;
const DUTY = 'agent duty';
/** Of an agent's history, the share that a slice must have after its newest rows are held back. */
const MINIMUM_SHARE = 0.5;

/**
 * Learns from a history and a twin, watches a feed, reports, and stops everything it started. Resolves with the exit code: 0 when the trial
 * was completed and the duty agent got every row of the feed.
 * @throws TwinwatchError CONFIG_*, FEED_INVALID, PLANT_*, PROCESS_CRASHED, TRIAL_FAILED
 */
export async function runFieldTrial(options: FieldTrialOptions): Promise<number> {
  const startedAtMs = systemClock.now();
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const steps = new Steps();
  const work = emptyWorkFolder(options.out);
  const plantFile = await writePlant(work, fromRepository(options.plant), options.network);
  const { config: plant } = await loadPlant(plantFile, readTextFile);
  const tags = plantTags(plant);
  const tagNames = tags.map(({ name }) => name);
  const columns = columnsOf(options);
  const labels = options.labelColumn;
  // A history is normal running where it does not say otherwise: it may do without the column of labels.
  const history = await readRecording(options.history, tagNames, { ...columns, optionalLabelColumn: labels });
  const feed = await readRecording(options.feed, tagNames, { ...columns, labelColumn: labels });
  tellRecording(line, options.history, history);
  tellRecording(line, options.feed, feed);
  const templates = await readTemplates(plantFile, plant);
  const plcs = [...templates.keys()];
  const ports = await choosePorts(['broker', 'page', ...plcs], PORTS_FROM, false);
  const detector = trialDetector(plant.tags, plant.interval);
  const files = writeTrialConfigs(work, options, {
    plantFile,
    detector,
    intervalMs: plant.interval,
    ports: {
      broker: ports.broker!,
      page: ports.page!,
      plcs: Object.fromEntries(plcs.map((plc) => [plc, ports[plc]!])),
    },
    minimumRows: Math.floor((history.rows.length / options.agents) * MINIMUM_SHARE),
  });
  const logDir = join(work, 'logs');
  const slices = writeSlices(work, history.rows, history.labels, tagNames, options.agents);
  await importSlices(files, slices, logDir);
  line.say(`${options.agents} agents have imported a slice of the history each`);
  steps.end('import the history');

  const stop = new AbortController();
  const waiting = new Waiting(systemTimers, stop.signal);
  let view: FederationView = NOTHING_KNOWN;
  let plantListens = false;
  let feedFinished = false;
  const supervisor = new Supervisor({
    command: COMMAND,
    logDir,
    timers: systemTimers,
    monotonic: () => systemClock.monotonic(),
    onEvent: (event) => {
      const message = event.kind === 'message' ? (event.message as PlantMessage) : null;
      if (message?.kind === 'listening') plantListens = true;
      if (message?.kind === 'feed-finished') feedFinished = true;
      if (message?.kind === 'progress')
        line.live(`watching: ${message.sites.duty?.rows ?? 0} of ${feed.rows.length} rows of the feed`);
      hearCrash(event, line, waiting);
    },
  });
  void untilStopped().then((signal) => waiting.fail(new TwinwatchError('TRIAL_FAILED', `stopped by ${signal}`)));
  const following = followServer(
    `http://127.0.0.1:${ports.page}`,
    systemTimers,
    (event) => {
      const rounds = committed(view);
      view = learnOf(view, event);
      if (committed(view) > rounds) tellRound(line, view, options);
      else if (view.phase !== 'finished') line.live(view.activity);
    },
    stop.signal,
  );
  try {
    supervisor.start({ name: 'broker', args: ['broker', '--config', files.broker] });
    supervisor.start({ name: 'server', args: ['server', '--config', files.server] });
    for (const { agent, file } of files.learners)
      supervisor.start({ name: `agent ${agent}`, args: ['agent', '--config', file] });
    line.say(`page: http://127.0.0.1:${ports.page}`);
    await waiting.until(
      'the federation to begin',
      () => view.phase !== null && view.phase !== 'simulating-twin',
      600_000,
    );
    steps.end('simulate the twin');
    await waiting.until('the detector to be released', () => isLearned(view, options), 1_800_000);
    const learned = [...view.agents.values()];
    line.say(
      `model ${view.model!.modelVersion} released: round ${view.model!.round}, AUC ${view.model!.rocAuc.toFixed(3)} on the twin's validation episodes`,
    );
    steps.end('learn together');
    if (options.online !== true) for (const { agent } of files.learners) await supervisor.stop(`agent ${agent}`);

    // The duty agent fetches its detector before there is a plant, and starts again when every PLC listens: it judges the first row, and whole.
    const released = view.model!;
    supervisor.start({ name: DUTY, args: ['agent', '--config', files.duty] });
    await waiting.until(
      'the duty agent to take the detector',
      () => statusOf(view)?.modelVersion === released.modelVersion,
      60_000,
    );
    await supervisor.stop(DUTY);
    supervisor.start({ name: 'plant', args: ['plant', '--config', files.plant] });
    await waiting.until('the plant to listen', () => plantListens, 60_000);
    supervisor.start({ name: DUTY, args: ['agent', '--config', files.duty] });
    steps.end('hand the detector over');
    await waiting.until('the feed to end', () => feedFinished, feedLimitMs(options, feed));
    await waiting
      .until('the last row to be judged', () => (statusOf(view)?.health?.rowsAcquired ?? 0) >= feed.rows.length, 30_000)
      .catch(() => undefined);
    await waiting
      .until('every alarm to reach the server', () => statusOf(view)?.health?.outboxEvents === 0, 30_000)
      .catch(() => undefined);
    steps.end('watch the feed');
    const duty = statusOf(view)?.health ?? null;
    await supervisor.stop(DUTY);
    line.end();

    const polled = await readDutyStore(files.duty, tagNames);
    const acquisition = compareAcquisition(feed.rows, polled, throughRegister(templates.values(), tagNames));
    const data = await trialData({
      ...{
        options,
        startedAtMs,
        history,
        feed,
        tags,
        rules: controlRules(plant),
        detector,
        polled,
        acquisition,
        released,
        learned,
        duty,
        view,
      },
      steps: steps.list,
      intervalMs: plant.interval,
    });
    const written = await writeReport(options.out, data);
    tellFindings(line, data.scores, acquisition);
    line.say(`report: ${written.html} and ${written.json}`);
    return acquisition.missingRows + acquisition.unknownRows + acquisition.differingValues === 0 ? 0 : 1;
  } finally {
    stop.abort();
    await following;
    await supervisor.stopAll();
    line.end();
  }
}

/** Wall-clock time of each part of the trial, one after the other. */
class Steps {
  readonly list: { step: string; ms: number }[] = [];
  #sinceMs = systemClock.monotonic();

  end(step: string): void {
    const now = systemClock.monotonic();
    this.list.push({ step, ms: Math.round(now - this.#sinceMs) });
    this.#sinceMs = now;
  }
}

const committed = (view: FederationView) =>
  [...view.rounds.values()].filter(({ phase }) => phase === 'committed').length;
const statusOf = (view: FederationView) => view.agents.get('duty')?.status ?? null;

function isLearned(view: FederationView, { rounds, online }: FieldTrialOptions): boolean {
  if (view.model === null) return false;
  return online === true ? committed(view) >= rounds : view.phase === 'finished';
}

/** Ten times what the feed should take; a feed that is served as fast as it is read gets an hour. */
function feedLimitMs({ realtimeFactor }: FieldTrialOptions, { rows, intervalMs }: Recording): number {
  return realtimeFactor === undefined ? 3_600_000 : 60_000 + (10 * rows.length * intervalMs) / realtimeFactor;
}

async function importSlices(files: TrialFiles, slices: readonly string[], logDir: string): Promise<void> {
  await Promise.all(
    files.learners.map(({ agent, file }, k) =>
      runToEnd(COMMAND, ['agent', 'import', '--config', file, slices[k]!], join(logDir, `import-${agent}.log`)),
    ),
  );
}

function hearCrash(event: ChildEvent, line: ProgressLine, waiting: Waiting): void {
  if (event.kind === 'crashed') line.say(`${event.name} ended unexpectedly (${event.how}); it is started again`);
  if (event.kind === 'gave-up')
    waiting.fail(
      new TwinwatchError(
        'PROCESS_CRASHED',
        `${event.name} keeps ending (${event.how}); the end of ${event.log} says:\n${logTail(event.log)}`,
        { context: { process: event.name, log: event.log } },
      ),
    );
}

function tellRecording(line: ProgressLine, file: string, { rows, warnings }: Recording): void {
  const day = (row: { timeMs: number } | undefined) => new Date(row?.timeMs ?? 0).toISOString().slice(0, 10);
  line.say(`${file}: ${rows.length} rows, ${day(rows[0])} to ${day(rows.at(-1))}`);
  for (const warning of warnings) line.say(`  ${warning}`);
}

function tellRound(line: ProgressLine, view: FederationView, { rounds }: FieldTrialOptions): void {
  const last = [...view.rounds.values()].filter(({ phase }) => phase === 'committed').at(-1)!;
  line.say(
    `round ${last.round}/${rounds}: ${last.accepted.length} agents, AUC ${last.validation?.rocAuc.toFixed(3) ?? '?'} on the twin's validation episodes`,
  );
}

function tellFindings(
  line: ProgressLine,
  scores: Awaited<ReturnType<typeof trialData>>['scores'],
  { fed, polled, missingRows, unknownRows, differingValues }: ReturnType<typeof compareAcquisition>,
): void {
  if (scores === null) line.say('the feed has no labels, so there are no scores');
  else
    line.say(
      `S ${scores.S.toFixed(3)} (S_TTD ${scores.STTD.toFixed(3)}, S_CM ${scores.SCM.toFixed(3)}), TPR ${scores.TPR.toFixed(3)}, TNR ${scores.TNR.toFixed(3)}, AUC ${scores.rocAuc.toFixed(3)}, ${scores.falseAlarmsPerDay.toFixed(3)} false alarms a day`,
    );
  line.say(
    missingRows + unknownRows + differingValues === 0
      ? `polled = fed: ${polled} of ${fed} rows, every value as it was served`
      : `POLLED IS NOT FED: ${polled} of ${fed} rows, ${missingRows} missing, ${unknownRows} unknown, ${differingValues} values differ`,
  );
}
