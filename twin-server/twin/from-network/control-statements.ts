import { type InpLine, inpSection } from './inp-sections.js';

/** [CONTROLS] and [RULES] of an input file as conditions that switch one link each. */

/** What a PLC can be told: a value of one element, and the side of a threshold. */
export interface Condition {
  readonly of: 'node' | 'link';
  readonly id: string;
  /** Null of a node in [CONTROLS], where a tank's is its level and a junction's its pressure. */
  readonly measures: 'level' | 'pressure' | 'flow' | null;
  readonly side: 'below' | 'above';
  readonly threshold: number;
}

export interface Statement {
  readonly link: string;
  readonly to: 'open' | 'closed';
  /** Relative speed, where the statement sets a number. */
  readonly setting: number | null;
  readonly when: Condition;
  readonly source: string;
}

/** What no on-off rule of a PLC says, with the reason. */
export interface Unexpressed {
  readonly source: string;
  readonly why: string;
}

export interface ControlLogic {
  readonly statements: readonly Statement[];
  readonly unexpressed: readonly Unexpressed[];
}

export function readControlLogic(text: string): ControlLogic {
  const statements: Statement[] = [];
  const unexpressed: Unexpressed[] = [];
  for (const line of inpSection(text, 'CONTROLS')) take(simpleControl(line));
  for (const rule of rulesOf(inpSection(text, 'RULES'))) for (const outcome of ruleStatements(rule)) take(outcome);
  return { statements, unexpressed };

  function take(outcome: Statement | Unexpressed): void {
    if ('why' in outcome) unexpressed.push(outcome);
    else statements.push(outcome);
  }
}

const quoted = ({ line, words }: InpLine) => `line ${line}: ${words.join(' ')}`;

/** LINK id status IF NODE id ABOVE|BELOW value; or AT TIME t, AT CLOCKTIME t. */
function simpleControl(line: InpLine): Statement | Unexpressed {
  const source = quoted(line);
  const [, link = '', state = '', when = '', , id = '', side = '', value = ''] = line.words;
  if (when.toUpperCase() !== 'IF') return { source, why: 'a PLC of a plant switches by values, not by the time' };
  const target = targetOf(state);
  if (target === null) return { source, why: `'${state}' is neither open nor closed nor a number` };
  const below = /^BELOW$/i.test(side);
  const condition = {
    of: 'node',
    id,
    measures: null,
    side: below ? 'below' : 'above',
    threshold: Number(value),
  } as const;
  return { link, ...target, when: condition, source };
}

function targetOf(state: string): Pick<Statement, 'to' | 'setting'> | null {
  const word = state.toUpperCase();
  if (word === 'OPEN' || word === 'CLOSED') return { to: word === 'OPEN' ? 'open' : 'closed', setting: null };
  const setting = Number(state);
  if (!Number.isFinite(setting)) return null;
  return setting === 0 ? { to: 'closed', setting: null } : { to: 'open', setting };
}

interface Rule {
  readonly source: string;
  readonly premises: InpLine[];
  readonly actions: InpLine[];
  readonly otherwise: InpLine[];
}

function rulesOf(lines: readonly InpLine[]): Rule[] {
  const rules: Rule[] = [];
  let part: InpLine[] | null = null;
  for (const line of lines) {
    const keyword = line.words[0]!.toUpperCase();
    if (keyword === 'RULE') {
      rules.push({ source: quoted(line), premises: [], actions: [], otherwise: [] });
      part = null;
      continue;
    }
    const rule = rules.at(-1);
    if (rule === undefined) continue;
    if (keyword === 'IF') part = rule.premises;
    else if (keyword === 'THEN') part = rule.actions;
    else if (keyword === 'ELSE') part = rule.otherwise;
    else if (keyword !== 'AND' && keyword !== 'OR') part = null;
    part?.push(line);
  }
  return rules;
}

function ruleStatements({ source, premises, actions, otherwise }: Rule): (Statement | Unexpressed)[] {
  const [premise, ...more] = premises;
  if (premise === undefined || more.length > 0)
    return [{ source, why: 'it has several conditions, and an on-off rule has one' }];
  const when = premiseOf(premise);
  if (when === null)
    return [
      {
        source,
        why: `its condition '${premise.words.join(' ')}' is not a level, pressure or flow above or below a number`,
      },
    ];
  const opposite: Condition = { ...when, side: when.side === 'below' ? 'above' : 'below' };
  const each = (lines: readonly InpLine[], condition: Condition) =>
    lines.map((line) => actionOf(line, condition, `${source}, ${quoted(line)}`));
  return [...each(actions, when), ...each(otherwise, opposite)];
}

const SIDES: Readonly<Record<string, Condition['side']>> = {
  BELOW: 'below',
  '<': 'below',
  '<=': 'below',
  ABOVE: 'above',
  '>': 'above',
  '>=': 'above',
};
const NODES = new Set(['NODE', 'JUNC', 'JUNCTION', 'TANK', 'RESERV', 'RESERVOIR']);
const LINKS = new Set(['LINK', 'PIPE', 'PUMP', 'VALVE']);

/** IF TANK id LEVEL BELOW value. */
function premiseOf({ words }: InpLine): Condition | null {
  const [, object = '', id = '', attribute = '', relation = '', value = ''] = words;
  const side = SIDES[relation.toUpperCase()];
  const threshold = Number(value);
  if (side === undefined || value === '' || !Number.isFinite(threshold)) return null;
  const attributeName = attribute.toUpperCase();
  if (NODES.has(object.toUpperCase()) && (attributeName === 'LEVEL' || attributeName === 'PRESSURE'))
    return { of: 'node', id, measures: attributeName === 'LEVEL' ? 'level' : 'pressure', side, threshold };
  if (LINKS.has(object.toUpperCase()) && attributeName === 'FLOW')
    return { of: 'link', id, measures: 'flow', side, threshold };
  return null;
}

/** THEN PUMP id STATUS IS OPEN, or SETTING IS number. */
function actionOf(line: InpLine, when: Condition, source: string): Statement | Unexpressed {
  const [, , link = '', , , state = ''] = line.words;
  const target = targetOf(state);
  return target === null
    ? { source, why: `'${state}' is neither open nor closed nor a number` }
    : { link, ...target, when, source };
}
