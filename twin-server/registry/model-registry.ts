import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import type { CandidateView, GateView, ModelView, RegistryView } from '@twinwatch/core/wire/http';
import type { Manifest, ModelReport } from '@twinwatch/core/wire/messages';
import type { Journal } from '../aggregator/journal.js';
import { type CourseConfig, type CourseEvent, type CourseState, courseStep, NO_COURSE } from './course.js';
import { judged } from './shadow-numbers.js';

export interface ModelRegistryOptions {
  readonly journal: Journal;
  readonly config: CourseConfig;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly publish: (manifest: Manifest) => void;
  /** Those that could run a model beside the current one now. */
  readonly agents: () => readonly string[];
  /** After a change is journalled. */
  readonly onChange: (view: RegistryView) => void;
}

interface Kept extends CourseState {
  /** Of the newest manifest; rises with every one, so that agents know which decision is the last. */
  readonly issuedAtMs: number;
}

const LOOK_MS = 1_000;
const SHOWN = 50;

/** Journals what becomes of every exported model, and tells agents which one to run. */
export class ModelRegistry {
  readonly #options: ModelRegistryOptions;
  #state: Kept;
  #cancel: () => void = () => undefined;

  constructor(options: ModelRegistryOptions) {
    this.#options = options;
    const kept = options.journal.registry();
    // An earlier release may have written it.
    this.#state = { ...NO_COURSE, issuedAtMs: 0, ...(JSON.parse(kept ?? '{}') as Partial<Kept>) };
  }

  start(): void {
    this.#cancel = this.#options.timers.after('registry', LOOK_MS, () => {
      this.#step({ type: 'tick' });
      this.#takeTurn();
      this.start();
    });
  }

  stop(): void {
    this.#cancel();
  }

  /** The newest exported model. A new one begins its course; for one that is known, agents are told again what to run. */
  offer(manifest: Manifest): void {
    const { modelVersion: version } = manifest;
    if (this.#state.records[version] === undefined) {
      const gates = this.#gates(version);
      this.#step({ type: 'exported', version, gates, agents: this.#options.agents() });
    } else this.publish();
  }

  #takeTurn(): void {
    const { next, candidate } = this.#state;
    if (next === null || candidate !== null) return;
    this.#step({ type: 'turn', gates: this.#gates(next), agents: this.#options.agents() });
  }

  /** What agents are to run, again: a broker may have lost what it retained. */
  publish(): void {
    const manifest = this.#manifest();
    if (manifest !== null) this.#options.publish(manifest);
  }

  onReport(agent: string, report: ModelReport): void {
    const { kind: _, modelVersion, ...numbers } = report;
    if (report.failed)
      this.#options.log.warn({ agent, modelVersion }, `agent ${agent} cannot run ${modelVersion}: ${report.detail}`);
    this.#step({ type: 'numbers', version: modelVersion, agent, numbers });
  }

  /** @throws TwinwatchError API_UNKNOWN_MODEL */
  release(version: string, by: string): RegistryView {
    this.#requireKept(version);
    this.#step({ type: 'release', version, by });
    return this.view();
  }

  /** @param version null for the one before. @throws TwinwatchError API_UNKNOWN_MODEL */
  rollback(version: string | null, by: string, reason: string): RegistryView {
    if (version !== null) this.#requireKept(version);
    else if (this.#state.before.length === 0 && this.#state.candidate === null)
      throw new TwinwatchError('API_UNKNOWN_MODEL', 'there is no model before the current one to go back to');
    this.#step({ type: 'rollback', version, by, reason });
    return this.view();
  }

  view(): RegistryView {
    const { current, candidate, records } = this.#state;
    const models = this.#options.journal.models(SHOWN).map((model) => {
      const record = records[model.modelVersion];
      return {
        ...model,
        stage: record?.stage ?? 'replaced',
        reason: record?.reason ?? '',
        sinceMs: record?.atMs ?? model.releasedAtMs,
        gates: record?.gates ?? [],
      };
    });
    return { current, candidate: candidate === null ? null : this.#candidateView(), models };
  }

  #candidateView(): CandidateView | null {
    const { candidate, records } = this.#state;
    if (candidate === null) return null;
    const { version, stage, sinceMs, agents, numbers } = candidate;
    const { rows, rate, currentRate, bound } = judged(numbers, agents.length, this.#options.config);
    return {
      ...{ modelVersion: version, stage, sinceMs, agents, told: Object.keys(numbers).length },
      ...{ rows, falseRate: rate, currentFalseRate: currentRate, bound, reason: records[version]?.reason ?? '' },
    };
  }

  #gates(version: string): GateView[] {
    const { journal, config } = this.#options;
    const candidate = journal.model(version)?.view;
    const { current: running } = this.#state;
    const current = running === null ? null : (journal.model(running)?.view ?? null);
    const gates: GateView[] = [
      {
        gate: 'onnxruntime',
        passed: true,
        detail: `onnxruntime and our own forward pass differ by at most ${candidate?.provenance?.onnxDifference ?? 1e-5}`,
      },
    ];
    if (candidate?.provenance === undefined || current?.provenance === undefined) return gates;
    const { prAuc, lineageHash } = candidate.provenance;
    if (lineageHash !== current.provenance.lineageHash)
      return [
        ...gates,
        { gate: 'validation', passed: true, detail: 'not compared: the current one has another lineage' },
      ];
    const least = current.provenance.prAuc - config.validationMargin;
    const detail = `PR AUC ${prAuc.toFixed(3)} on the twin's validation episodes, ${current.provenance.prAuc.toFixed(3)} of the current one, at least ${least.toFixed(3)} is wanted`;
    return [...gates, { gate: 'validation', passed: prAuc >= least, detail }];
  }

  #requireKept(version: string): void {
    const model = this.#options.journal.model(version);
    if (model === null)
      throw new TwinwatchError('API_UNKNOWN_MODEL', `there is no model '${version}'; see \`twinwatch model list\``);
    if (this.#options.journal.blob(model.manifest.model.hash) === null)
      throw new TwinwatchError('API_UNKNOWN_MODEL', `the file of model '${version}' is not kept any more`);
  }

  #step(event: CourseEvent): void {
    const { journal, config, clock, log, onChange } = this.#options;
    const before = this.#state;
    const next = courseStep(before, event, config, clock.now());
    if (next === before) return;
    const isTold = next.current !== before.current || !sameCandidate(next, before) || next.rollback !== before.rollback;
    const issuedAtMs = isTold ? Math.max(before.issuedAtMs + 1, clock.now()) : before.issuedAtMs;
    this.#state = { ...next, issuedAtMs };
    journal.putRegistry(JSON.stringify(this.#state));
    for (const [version, { stage, reason }] of Object.entries(next.records))
      if (before.records[version]?.stage !== stage)
        log.info({ version, stage }, `model ${version}: ${stage}: ${reason}`);
    if (isTold) this.publish();
    onChange(this.view());
  }

  #manifest(): Manifest | null {
    const { journal, config } = this.#options;
    const { current, candidate, rollback, issuedAtMs } = this.#state;
    const base = current === null ? null : (journal.model(current)?.manifest ?? null);
    if (base === null) return null;
    const next = candidate === null ? null : (journal.model(candidate.version)?.manifest ?? null);
    const { kind: _, ...model } = next ?? base;
    return {
      ...base,
      issuedAtMs,
      ...(rollback === null ? {} : { rollback }),
      ...(candidate === null || next === null
        ? {}
        : {
            candidate: {
              ...model,
              stage: candidate.stage,
              agents: candidate.agents,
              rows: config[candidate.stage].rows,
            },
          }),
    };
  }
}

function sameCandidate(a: CourseState, b: CourseState): boolean {
  return a.candidate?.version === b.candidate?.version && a.candidate?.stage === b.candidate?.stage;
}

/** A model's place among those that agents run, for who only wants to know that. */
export function currentModel(view: RegistryView): ModelView | null {
  return view.models.find(({ modelVersion }) => modelVersion === view.current) ?? null;
}
