import { registryConfig } from '@twinwatch/core/config/registry';
import { describe, expect, it } from 'vitest';
import {
  type CourseConfig,
  type CourseEvent,
  type CourseState,
  canaryAgents,
  courseStep,
  NO_COURSE,
} from './course.js';

const config = (rest: object = {}): CourseConfig => ({ ...registryConfig.parse(rest), maximumFalseRate: 0.01 });
const AGENTS = Array.from({ length: 20 }, (_, i) => `site-${i + 1}`);
const exported = (version: string, agents: readonly string[] = AGENTS.slice(0, 3), passed = true): CourseEvent => ({
  ...{ type: 'exported', version, agents },
  gates: [{ gate: 'validation', passed, detail: 'PR AUC 0.2' }],
});
const turn = (passed = true): CourseEvent => ({
  ...{ type: 'turn', agents: AGENTS.slice(0, 3) },
  gates: [{ gate: 'validation', passed, detail: 'PR AUC 0.2' }],
});
const numbers = (agent: string, above: number, rest: object = {}, version = 'v2'): CourseEvent => ({
  ...{ type: 'numbers', version, agent },
  numbers: { rows: 1_000, above, currentAbove: 5, errors: 0, failed: false, detail: '', ...rest },
});

function run(
  events: readonly CourseEvent[],
  from: CourseState = NO_COURSE,
  settings = config(),
  nowMs = 0,
): CourseState {
  return events.reduce((state, event) => courseStep(state, event, settings, nowMs), from);
}
const stages = ({ records }: CourseState) =>
  Object.fromEntries(Object.entries(records).map(([version, { stage }]) => [version, stage]));

describe('the course of a model', () => {
  const first = run([exported('v1')]);
  const trial = run([exported('v2')], first);

  it('releases the first one at once, and a later one when all agents have told good numbers', () => {
    expect(first).toMatchObject({ current: 'v1', candidate: null });
    expect(trial).toMatchObject({ current: 'v1', candidate: { version: 'v2', stage: 'shadow' } });
    const two = run([numbers('site-1', 5), numbers('site-2', 6)], trial);
    expect(two.current).toBe('v1');
    const all = run([numbers('site-3', 7)], two);
    expect(all).toMatchObject({ current: 'v2', before: ['v1'], candidate: null, rollback: null });
    expect(all.records.v2?.reason).toMatch(/0.60 % of 3000 rows are above its threshold/);
    expect(stages(all)).toEqual({ v1: 'replaced', v2: 'released' });
  });

  it('refuses one that fails a gate, and goes on with the current one', () => {
    const refused = run([exported('v2', AGENTS, false)], first);
    expect(refused).toMatchObject({ current: 'v1', candidate: null });
    expect(refused.records.v2).toMatchObject({ stage: 'refused', reason: 'PR AUC 0.2' });
  });

  it('refuses one that would alarm more on the agents, or does not run there', () => {
    const noisy = run(
      AGENTS.slice(0, 3).map((agent) => numbers(agent, 100)),
      trial,
    );
    expect(noisy.current).toBe('v1');
    expect(noisy.records.v2).toMatchObject({ stage: 'refused', reason: expect.stringMatching(/10.00 % of 2000 rows/) });
    const failure = { rows: 0, failed: true, detail: 'no such tag' };
    const broken = run([numbers('site-1', 0, failure), numbers('site-2', 0, failure)], trial);
    expect(broken.records.v2).toMatchObject({
      stage: 'refused',
      reason: 'it does not run on site-1: no such tag; site-2: no such tag',
    });
  });

  it('is neither held back nor let through by the numbers of one agent', () => {
    const [quiet, loud] = [
      numbers('site-1', 0, { rows: 1e12, currentAbove: 1e12 }),
      numbers('site-1', 1e12, { rows: 1e12, currentAbove: 0 }),
    ];
    const unable = numbers('site-1', 0, { rows: 0, failed: true, detail: 'it says' });
    const others = (above: number) => ['site-2', 'site-3'].map((agent) => numbers(agent, above));
    for (const lie of [loud, unable]) {
      const alone = run([lie], trial);
      expect(alone.candidate?.version).toBe('v2');
      expect(run(others(5), alone).current).toBe('v2');
    }
    const bad = run([quiet, ...others(300)], trial);
    expect(bad).toMatchObject({ current: 'v1', candidate: null });
    expect(stages(bad).v2).toBe('refused');
  });

  it('is judged by what has been told when time is up, and waits for the first one to tell anything', () => {
    const settings = config();
    const late = run([{ type: 'tick' }], trial, settings, settings.shadow.time);
    expect(late).toMatchObject({ current: 'v1', candidate: { version: 'v2' } });
    expect(late.records.v2?.reason).toMatch(/no agent has told/);
    expect(run([numbers('site-2', 1)], late, settings, settings.shadow.time).current).toBe('v2');
  });

  it('asks as many agents as one manifest can name', () => {
    const many = Array.from({ length: 5_000 }, (_, i) => `site-${i}`);
    expect(run([exported('v2', many)], first).candidate?.agents).toHaveLength(1_000);
  });

  it('lets a trial come to its end however many are exported meanwhile; then the newest of them has its turn', () => {
    const waiting = run([exported('v3'), exported('v4')], trial);
    expect(waiting).toMatchObject({ candidate: { version: 'v2', sinceMs: 0 }, next: 'v4' });
    expect(stages(waiting)).toMatchObject({ v2: 'shadow', v3: 'superseded', v4: 'waiting' });
    expect(run([turn()], waiting)).toEqual(waiting);
    const over = run(
      AGENTS.slice(0, 3).map((agent) => numbers(agent, 5)),
      waiting,
    );
    expect(over).toMatchObject({ current: 'v2', candidate: null, next: 'v4' });
    expect(run([turn()], over)).toMatchObject({ current: 'v2', candidate: { version: 'v4' }, next: null });
    // One that comes before that turn was taken is newer: what waits is not to take its place later.
    const newer = run([exported('v5')], over);
    expect(newer).toMatchObject({ current: 'v2', candidate: { version: 'v5' }, next: null });
    expect(stages(newer).v4).toBe('superseded');
    const refused = run([turn(false)], over);
    expect(refused).toMatchObject({ current: 'v2', candidate: null, next: null });
    expect(stages(refused).v4).toBe('refused');
    // One that fails a gate does not take the place of one that waits.
    expect(run([exported('v5', AGENTS, false)], waiting)).toMatchObject({ candidate: { version: 'v2' }, next: 'v4' });
  });

  it('ends a trial of which nobody tells anything once another one waits and twice its time is over', () => {
    const settings = config();
    const waiting = run([exported('v3')], trial);
    const { time } = settings.shadow;
    expect(run([{ type: 'tick' }], waiting, settings, 2 * time - 1).candidate?.version).toBe('v2');
    const over = run([{ type: 'tick' }], waiting, settings, 2 * time);
    expect(over).toMatchObject({ current: 'v1', candidate: null, next: 'v3' });
    expect(stages(over).v2).toBe('superseded');
    expect(run([{ type: 'tick' }], trial, settings, 9 * time).candidate?.version).toBe('v2');
  });

  it('takes back the one that waits with the one on trial, and goes back to it where a person names it', () => {
    const waiting = run([exported('v3')], trial);
    const back = run([{ type: 'rollback', version: null, by: 'Ada', reason: 'alarms' }], waiting);
    expect(back).toMatchObject({ current: 'v1', candidate: null, next: null });
    expect(stages(back)).toEqual({ v1: 'released', v2: 'rolled-back', v3: 'rolled-back' });
    const to = run([{ type: 'rollback', version: 'v3', by: 'Ada', reason: 'alarms' }], waiting);
    expect(to).toMatchObject({ current: 'v3', candidate: null, next: null });
  });

  it('keeps the records of what is in use, however many are refused after it', () => {
    const refused = Array.from({ length: 205 }, (_, i) => exported(`x${i}`, AGENTS, false));
    const after = run([exported('v3'), ...refused], trial);
    expect(Object.keys(after.records)).toHaveLength(203);
    expect(stages(after)).toMatchObject({ v1: 'released', v2: 'shadow', v3: 'waiting' });
  });

  it('forgets that one waits when a person releases it', () => {
    const released = run([exported('v3'), { type: 'release', version: 'v3', by: 'Ada' }], trial);
    expect(released).toMatchObject({ current: 'v3', candidate: null, next: null });
    expect(stages(released)).toEqual({ v1: 'replaced', v2: 'superseded', v3: 'released' });
  });

  it('counts nobody who was not asked, and nothing about another model', () => {
    expect(run([numbers('site-9', 900), numbers('site-1', 900, {}, 'v9')], trial)).toEqual(trial);
  });

  describe('with a canary', () => {
    const settings = config({ canary: { share: 0.1, minimumAgents: 10, rows: 500, time: '1h' } });
    const hour = 3_600_000;
    const shadowed = run([exported('v2', AGENTS), ...AGENTS.map((agent) => numbers(agent, 5))], first, settings);

    it('runs on the same share of the agents however often it is asked', () => {
      expect(shadowed.candidate).toMatchObject({ stage: 'canary', agents: canaryAgents('v2', AGENTS, 0.1) });
      expect(shadowed.candidate?.agents).toHaveLength(2);
      expect(canaryAgents('v2', [...AGENTS].reverse(), 0.1)).toEqual(canaryAgents('v2', AGENTS, 0.1));
      expect(canaryAgents('v3', AGENTS, 0.1)).not.toEqual(canaryAgents('v2', AGENTS, 0.1));
    });

    it('is released to all after its time and rows, not before', () => {
      const told = run(
        shadowed.candidate!.agents.map((agent) => numbers(agent, 4)),
        shadowed,
        settings,
      );
      expect(told.current).toBe('v1');
      expect(run([{ type: 'tick' }], told, settings, hour)).toMatchObject({ current: 'v2', candidate: null });
      expect(run([{ type: 'tick' }], shadowed, settings, hour).current).toBe('v1');
    });

    it('waits for an agent that has gone away as long again, and for ever where none has told', () => {
      const one = run([numbers(shadowed.candidate!.agents[0]!, 4)], shadowed, settings);
      expect(run([{ type: 'tick' }], one, settings, 2 * hour - 1).current).toBe('v1');
      expect(run([{ type: 'tick' }], one, settings, 2 * hour)).toMatchObject({ current: 'v2', candidate: null });
      expect(run([{ type: 'tick' }], shadowed, settings, 9 * hour).candidate?.stage).toBe('canary');
    });

    it('goes back by itself at the first sign of too many alarms, and says so to those who run it', () => {
      const [agent = ''] = shadowed.candidate!.agents;
      const back = run([numbers(agent, 30, { rows: 100 })], shadowed, settings);
      expect(back).toMatchObject({ current: 'v1', candidate: null, rollback: { from: 'v2', by: 'the server' } });
      expect(stages(back).v2).toBe('rolled-back');
    });
  });

  it('goes back and forth as people decide', () => {
    const second = run([{ type: 'release', version: 'v2', by: 'Ada' }], trial);
    expect(second).toMatchObject({ current: 'v2', before: ['v1'], rollback: null });
    const back = run([{ type: 'rollback', version: null, by: 'Ada', reason: 'alarms' }], second);
    expect(back).toMatchObject({ current: 'v1', rollback: { from: 'v2', by: 'Ada', reason: 'alarms' } });
    expect(stages(back)).toEqual({ v1: 'released', v2: 'rolled-back' });
    const third = run([exported('v3'), { type: 'release', version: 'v3', by: 'Ada' }], back);
    expect(third).toMatchObject({ current: 'v3', rollback: null, before: ['v1'] });
  });
});
