import type {
  AgentView,
  Contributor,
  DecisionView,
  ModelProvenance,
  RegistryView,
  ServerState,
} from '@twinwatch/core/wire/http';
import { type Alarm, alarmsFrom, isActive } from '@twinwatch/twin-server/dashboard/alarm-list';
import { durationWords, silentWords, valueWords } from '@twinwatch/twin-server/dashboard/wording';

/** What operators' commands print. All pure; times are the plant's, in UTC. */

const DECIDED: Readonly<Record<DecisionView['action'], string>> = {
  acknowledge: 'acknowledged',
  shelve: 'shelved',
  unshelve: 'unshelved',
  confirm: 'confirmed',
  dismiss: 'dismissed',
  label: 'labelled',
};

const wallTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;
const plantTime = (ms: number | null): string => (ms === null ? '?' : `${new Date(ms).toISOString().slice(0, 16)}Z`);

/** One line: what was decided, and what the agent made of it. */
export function decisionLine({ action, alarmId, range, agent, by, answer }: DecisionView): string {
  const about = alarmId ?? `${agent}, ${plantTime(range!.fromMs)} to ${plantTime(range!.toMs)}`;
  const made = `${about}: ${DECIDED[action]} by ${by}`;
  if (answer === null) return `${made}; ${agent} has not answered yet, the server keeps it and sends it until it has`;
  const { verdict, detail, rows } = answer;
  const more = detail === '' ? '' : `; ${detail}`;
  if (verdict === 'unknown-alarm' || verdict === 'superseded') return `${made}, without effect${more}`;
  if (verdict === 'unchanged') return `${made}, as it was before${more}`;
  const attacked = action === 'confirm' || range?.label === 'anomalous';
  if (action === 'confirm' || action === 'dismiss' || action === 'label')
    return `${made}: ${rows} rows at ${agent} are learned as ${attacked ? 'attacked' : 'normal'}${more}`;
  return `${made}${more}`;
}

/** A table of alarms, newest first, with what was decided about each. */
export function alarmTable(
  { alarms, decisions }: Pick<ServerState, 'alarms' | 'decisions'>,
  shown: { readonly site: string | null; readonly all: boolean },
): string {
  const listed = alarmsFrom(alarms).filter(
    (alarm) =>
      (shown.site === null || alarm.agent === shown.site) &&
      (shown.all || isActive(alarm) || (!isSilence(alarm) && verdictOf(alarm, decisions) === null)),
  );
  if (listed.length === 0)
    return shown.all
      ? 'There is no alarm.'
      : 'No alarm is active or waits for a decision; --all shows those that were.';
  const lines = listed.map((alarm) => [
    alarm.alarmId,
    plantTime(alarm.raisedAtMs),
    isActive(alarm) ? stateOf(alarm) : plantTime(alarm.clearedAtMs),
    isSilence(alarm) ? '-' : (alarm.peakScore ?? alarm.cause.score).toFixed(3),
    mostly(alarm),
    decidedWords(alarm, decisions),
  ]);
  return columns([['ALARM', 'RAISED', 'CLEARED', 'SCORE', 'MOSTLY', 'DECIDED'], ...lines]);
}

/** One alarm with all that is known of it: when, how high, which tags, and who decided what. */
export function alarmWords({ alarms, decisions }: Pick<ServerState, 'alarms' | 'decisions'>, alarmId: string): string {
  const alarm = alarmsFrom(alarms).find((each) => each.alarmId === alarmId);
  if (alarm === undefined)
    return `there is no alarm ${alarmId} among the newest that the server tells; 'alarms list --all' names them`;
  const { cause, raisedAtMs, clearedAtMs, peakScore } = alarm;
  const lasted =
    raisedAtMs === null || clearedAtMs === null ? '' : `, after ${durationWords(clearedAtMs - raisedAtMs)}`;
  const facts: [string, string][] = [
    ['raised', plantTime(raisedAtMs)],
    ['cleared', isActive(alarm) ? stateOf(alarm) : `${plantTime(clearedAtMs)}${lasted}`],
    ...(cause.communication === undefined
      ? ([
          [
            'score',
            `${cause.score.toFixed(3)} at first, ${peakScore?.toFixed(3) ?? '?'} at most; threshold ${cause.threshold.toFixed(3)}`,
          ],
          ['model', cause.modelVersion],
          ...cause.contributions.map(({ tag, share, value }) => [
            tag,
            `${(share * 100).toFixed(0)} %, at ${valueWords(value)}`,
          ]),
        ] as [string, string][])
      : ([
          ['what', silentWords(cause.communication)],
          ['why', cause.communication.reason],
        ] satisfies [string, string][])),
    ...decisions
      .filter((decision) => decision.alarmId === alarmId)
      .map((decision): [string, string] => [wallTime(decision.atMs), decisionLine(decision).slice(alarmId.length + 2)]),
  ];
  return columns([[alarmId, ''], ...facts]);
}

/** Says that values do not come, which nobody has to judge. */
function isSilence({ cause }: Alarm): boolean {
  return cause.communication !== undefined;
}

function mostly({ cause }: Alarm): string {
  if (cause.communication !== undefined) return silentWords(cause.communication);
  const tags = cause.contributions.slice(0, 3).map(({ tag }) => tag);
  return tags.length === 0 ? '-' : tags.join(' ');
}

function stateOf(alarm: Alarm): string {
  return alarm.shelved ? 'active, shelved' : alarm.acknowledged ? 'active, seen' : 'active';
}

function verdictOf({ alarmId }: Alarm, decisions: readonly DecisionView[]): DecisionView | null {
  return (
    decisions.findLast(
      ({ action, answer, alarmId: of }) =>
        of === alarmId && (action === 'confirm' || action === 'dismiss') && answer?.verdict !== 'superseded',
    ) ?? null
  );
}

function decidedWords(alarm: Alarm, decisions: readonly DecisionView[]): string {
  const verdict = verdictOf(alarm, decisions);
  if (verdict === null) return '-';
  return `${DECIDED[verdict.action]} by ${verdict.by}${verdict.answer === null ? ' (not answered yet)' : ''}`;
}

/** A table of the agents in quarantine, one line for each update that was refused. */
export function quarantineTable(agents: readonly Pick<AgentView, 'id' | 'quarantine'>[]): string {
  const lines = agents.flatMap(({ id, quarantine }) =>
    (quarantine?.reasons ?? []).map(({ round, verdict, detail }, i) => [
      ...(i === 0 ? [id, wallTime(quarantine!.sinceMs)] : ['', '']),
      ...[String(round), verdict, detail],
    ]),
  );
  if (lines.length === 0) return 'No agent is in quarantine.';
  return columns([['AGENT', 'SINCE', 'ROUND', 'REFUSED AS', 'BECAUSE'], ...lines]);
}

/** Models, newest first, with what became of each and why. */
export function modelTable({ current, models }: Pick<RegistryView, 'current' | 'models'>): string {
  if (models.length === 0) return 'There is no model yet.';
  const lines = models.map(({ modelVersion, stage, sinceMs, round, reason }) => [
    `${modelVersion === current ? '* ' : '  '}${modelVersion}`,
    ...[stage, wallTime(sinceMs), String(round), reason],
  ]);
  return columns([['  MODEL', 'STATE', 'SINCE', 'ROUND', 'BECAUSE'], ...lines]);
}

/** One model with all that is known of where it comes from. */
export function modelWords({ models, candidate }: RegistryView, version: string): string {
  const model = models.find(({ modelVersion }) => modelVersion === version);
  if (model === undefined) return `there is no model ${version} among the newest ${models.length}`;
  const { provenance, gates, stage, reason, hash, bytes, round, threshold, rocAuc } = model;
  const trial = candidate?.modelVersion === version ? candidate : null;
  const facts: [string, string][] = [
    ['state', `${stage}: ${reason}`],
    ['onnx', `${hash}, ${bytes} bytes`],
    ['round', `${round}${provenance === undefined ? '' : `, ${provenance.method}`}`],
    ['threshold', String(threshold)],
    ...(provenance === undefined
      ? []
      : ([
          ['PR AUC', `${provenance.prAuc.toFixed(4)}${guessing(provenance)}`],
          ['parameters', provenance.parametersHash],
          ['lineage', provenance.lineageHash],
          ['learned by', provenance.contributors.map(contributorWords).join(', ')],
        ] satisfies [string, string][])),
    ['ROC AUC', rocAuc.toFixed(4)],
    ...gates.map(({ gate, passed, detail }): [string, string] => [gate, `${passed ? 'passed' : 'failed'}: ${detail}`]),
    ...(trial === null
      ? []
      : ([['on trial', `${trial.told} of ${trial.agents.length} agents, ${trial.rows} rows`]] satisfies [
          string,
          string,
        ][])),
  ];
  return columns([[version, ''], ...facts]);
}

/** What a detector that guesses gets, to hold the area against. */
function guessing({ attackShare }: ModelProvenance): string {
  return attackShare === undefined ? '' : ` (guessing: ${attackShare.toFixed(4)})`;
}

function contributorWords({ agent, rows, window }: Contributor): string {
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  const span = window === undefined ? '' : `, ${day(window.fromMs)} to ${day(window.toMs)}`;
  return `${agent} (${rows} rows${span})`;
}

function columns(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
