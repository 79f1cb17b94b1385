import type { DraftControl, PlantDraft } from './draft-plant.js';

/** A catalogue of attacks on what a drafted plant has, in the kinds of the reference plant's. */

export interface DraftAttack {
  readonly name: string;
  readonly title: string;
  readonly duration: string;
  /** As YAML, one a line. */
  readonly effects: readonly string[];
  readonly concealment: readonly string[];
}

type Ruled = DraftControl & { readonly rule: NonNullable<DraftControl['rule']> };
const isRuled = (control: DraftControl): control is Ruled => control.rule !== null;

/** @param quote makes a YAML scalar of an id. */
export function draftAttacks(draft: PlantDraft, quote: (text: string) => string): DraftAttack[] {
  const attacks: DraftAttack[] = [];
  const taken = new Set<string>();
  const add = (kind: string, of: string, attack: Omit<DraftAttack, 'name'>) => {
    const base = `${kind}-${of.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`.slice(0, 56).replace(/-+$/, '');
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base}-${n}`;
    taken.add(name);
    attacks.push({ name, ...attack });
  };
  const ruled = draft.controls.filter(isRuled);
  for (const tag of new Set(ruled.map(({ rule }) => rule.on.tag))) {
    const controls = ruled.filter(({ rule }) => rule.on.tag === tag);
    loopAttacks(draft, tag, controls, quote, (kind, attack) => add(kind, tag, attack));
  }
  for (const control of draft.controls.filter((candidate) => !isRuled(candidate))) {
    const state = control.initially === 'on' ? 'off' : 'on';
    const actuator = quote(control.actuator);
    add(`held-${state}`, control.actuator, {
      title: `${control.actuator} is held ${state}`,
      duration: '6h',
      effects: [`{ kind: force, actuator: ${actuator}, state: '${state}' }`],
      concealment: [],
    });
    if (control.kind === 'pump' && control.initially === 'on')
      add('slow', control.actuator, {
        title: `${control.actuator} runs at three quarters of its speed`,
        duration: '10h',
        effects: [`{ kind: speed, actuator: ${actuator}, speed: ${number(0.75)} }`],
        concealment: [],
      });
  }
  return attacks;
}

function loopAttacks(
  draft: PlantDraft,
  tag: string,
  controls: readonly Ruled[],
  quote: (text: string) => string,
  add: (kind: string, attack: Omit<DraftAttack, 'name'>) => void,
): void {
  const [first] = controls;
  if (first === undefined) return;
  const thresholds = controls
    .flatMap(({ rule }) => [rule.on, rule.off])
    .filter((trigger) => trigger.tag === tag)
    .map(({ threshold }) => threshold);
  const [low, high] = [Math.min(...thresholds), Math.max(...thresholds)];
  const width = Math.max(high - low, 0.1 * Math.abs(high), 0.1);
  const [above, under] = [high + 0.1 * width, Math.max(0, low - 0.3 * width)];
  const [idle, busy] = first.rule.on.side === 'below' ? [above, under] : [under, above];
  const owner = draft.tags.find(({ name }) => name === tag)!.plc;
  const falsify = (reading: string) =>
    first.plc === owner
      ? `{ kind: sensor, tag: ${tag}, ${reading} }`
      : `{ kind: link, tag: ${tag}, to: ${first.plc}, ${reading} }`;
  const names = controls.map(({ actuator }) => actuator).join(', ');
  const shown = [
    tag,
    ...draft.tags.filter(({ element }) => controls.some((c) => c.actuator === element)).map((t) => t.name),
  ];
  const replay = (tags: readonly string[]) =>
    `{ kind: replay, tags: [${[...new Set(tags)].join(', ')}], period: 24h, noise: 0.2 }`;
  const attack = (title: string, duration: string, effects: string[], concealment: string[] = []) => ({
    ...{ title, duration, effects, concealment },
  });

  add(
    'blind',
    attack(`${first.plc} reads ${tag} so that ${first.actuator} never comes on`, '10h', [
      falsify(`constant: ${number(idle)}`),
    ]),
  );
  add(
    'hidden-run',
    attack(
      `${first.plc} reads ${tag} so that ${first.actuator} never stops; SCADA sees the day before`,
      '12h',
      [falsify(`constant: ${number(busy)}`)],
      [replay(shown)],
    ),
  );
  const middle = (low + high) / 2;
  const half = (first.rule.on.side === 'below' ? 0.05 : -0.05) * width;
  if (first.rule.on.tag === first.rule.off.tag)
    add(
      'chatter',
      attack(`the thresholds of ${first.actuator} are so close together that it chatters`, '8h', [
        `{ kind: thresholds, actuator: ${quote(first.actuator)}, on: ${number(middle - half)}, off: ${number(middle + half)} }`,
      ]),
    );
  add(
    'held-off',
    attack(
      `${names} held off`,
      '6h',
      controls.map(({ actuator }) => `{ kind: force, actuator: ${quote(actuator)}, state: 'off' }`),
    ),
  );
  const pumps = controls.filter(({ kind }) => kind === 'pump');
  if (pumps.length > 0)
    add(
      'slow-hidden',
      attack(
        `${pumps.map(({ actuator }) => actuator).join(', ')} at three quarters of the speed, while SCADA sees ${tag} as it was the day before`,
        '12h',
        pumps.map(
          ({ actuator, speed }) =>
            `{ kind: speed, actuator: ${quote(actuator)}, speed: ${number(Math.max(0.1, 0.75 * speed))} }`,
        ),
        [replay([tag])],
      ),
    );
  add('frozen', attack(`the sensor of ${tag} freezes`, '12h', [`{ kind: sensor, tag: ${tag}, freeze: true }`]));
}

const number = (value: number) => String(Number(value.toPrecision(4)));
