import { describe, expect, it } from 'vitest';
import { INITIAL_STATE, restoredState } from './round-state.js';
import { Federation, VALIDATION } from './testing/machine-federation.js';

describe('answers to tasks', () => {
  it('answers each wrong update with its reason and counts none of them', () => {
    const f = new Federation().started('a', 'b', 'c');
    expect(f.update('a', { round: 7 }).verdict()).toBe('stale-round');
    expect(f.update('a', { baseHash: 'x' }).verdict()).toBe('wrong-base');
    expect(f.update('nobody').verdict()).toBe('unknown-agent');
    expect(f.state.current?.accepted).toEqual([]);
    expect(f.update('b').verdict()).toBe('accepted');
    expect(f.update('b').verdict()).toBe('duplicate');
    expect(f.state.current?.accepted).toEqual([{ agent: 'b', rows: 100 }]);
    expect(f.state.agents.a?.rejectedUpdates).toBe(2);
  });

  it('waits for the answer to this attempt where one to an earlier attempt is refused', () => {
    const f = new Federation().started('a', 'b').update('a').update('b');
    f.on({ type: 'step-failed', detail: 'zero-weight' }).on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.state.current).toMatchObject({ step: 'collecting', attempt: 2 });
    expect(f.update('a', { attempt: 1, baseHash: 'old' }).verdict()).toBe('wrong-base');
    expect(f.state.current).toMatchObject({ refused: [], rejected: [{ agent: 'a', attempt: 1 }] });
    f.on({ type: 'malformed-update', agent: 'b', task: { round: 1, attempt: 1 }, detail: 'NaN' });
    expect(f.state.current?.refused).toEqual([]);
    expect(f.update('b').types()).toEqual(['receipt']);
    expect(f.update('a').types()).toEqual(['receipt', 'aggregate']);
  });

  it('goes on without an agent whose answer is malformed, and waits for one whose answer cannot be told', () => {
    const f = new Federation().started('a', 'b', 'c').update('a').update('b');
    f.on({ type: 'malformed-update', agent: 'c', task: null, detail: 'no CBOR' });
    expect(f.types()).toEqual([]);
    f.on({ type: 'malformed-update', agent: 'c', task: { round: 1, attempt: 1 }, detail: 'loss: must be a number' });
    expect(f.effects).toContainEqual({
      ...{ type: 'receipt', agent: 'c', round: 1, attempt: 1 },
      ...{ verdict: 'malformed', detail: 'loss: must be a number' },
    });
    expect(f.types()).toEqual(['aggregate', 'receipt']);
    expect(f.state.agents.c?.rejectedUpdates).toBe(2);
  });

  it('asks an agent whose answer was refused again in the next attempt', () => {
    const f = new Federation().started('a', 'b').update('a');
    f.on({ type: 'malformed-update', agent: 'b', task: { round: 1, attempt: 1 }, detail: 'NaN' });
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['b'] });
    expect(f.update('b').types()).toEqual(['receipt', 'aggregate']);
  });

  it('tells a fit without parameters, and a fit that comes too late, what is wrong', () => {
    const f = new Federation({ count: 1 }).started('a', 'b', 'c');
    f.update('c', { kind: 'evaluate' });
    expect(f.effects[0]).toMatchObject({ verdict: 'wrong-shape', detail: expect.stringContaining('no parameters') });
    expect(f.state.current?.refused).toEqual(['c']);
    f.update('a').update('b').aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    expect(f.state.release).toMatchObject({ round: 1, step: 'evaluating' });
    f.update('c', { kind: 'fit', attempt: 1 });
    expect(f.effects[0]).toMatchObject({ verdict: 'stale-round', detail: 'round 1 takes no more updates' });
    expect(f.state.release?.refused).toEqual([]);
    f.update('a').update('b');
    expect(f.update('c', { baseHash: 'other' }).types()).toEqual(['receipt', 'release']);
    expect(f.state.release).toMatchObject({ answered: ['a', 'b'], refused: ['c'] });
  });

  it('keeps a bounded number of refusals, and of names that never take part', () => {
    const f = new Federation().started('a', 'b', 'c');
    for (let i = 0; i < 50; i++) f.update('a', { baseHash: `x${i}` });
    expect(f.state.current?.rejected).toHaveLength(32);
    expect(f.state.current?.rejected.at(-1)?.detail).toContain('x49');
    expect(f.state.current?.refused).toEqual(['a']);
    expect(f.state.agents.a?.rejectedUpdates).toBe(50);
    for (let i = 0; i < 300; i++) f.online(`made-up-${i}`);
    expect(Object.keys(f.state.agents)).toHaveLength(3 + 256);
    expect(f.hello('d').state.agents.d).toMatchObject({ compatible: true, online: true });
  });

  it('goes on from a state that was written before refusals were kept apart', () => {
    const f = new Federation().started('a', 'b');
    const { refused: _, leftOut: __, remarks: ___, ...older } = f.state.current!;
    const { acceptedNorms: ____, optimizer: _____, ...rest } = f.state;
    const agents = Object.entries(rest.agents).map(([id, { strikes: _s, quarantinedAtMs: _q, ...agent }]) => [
      id,
      agent,
    ]);
    f.state = restoredState(JSON.stringify({ ...rest, agents: Object.fromEntries(agents), current: older }));
    f.update('a');
    expect(f.update('b').types()).toEqual(['receipt', 'aggregate']);
    expect(restoredState(JSON.stringify(INITIAL_STATE))).toEqual(INITIAL_STATE);
  });

  it('asks an agent no more once several tasks were answered badly, until an operator says so', () => {
    const f = new Federation({ count: 9, defence: { normRatio: 20, rowsRatio: 4, quarantineAfter: 2 } });
    f.started('a', 'b', 'c');
    const refused = (agent: string, verdict: 'too-large' | 'stale-round') => {
      const { round, attempt, baseHash } = f.state.current!;
      const update = { agent, round, attempt, kind: 'fit', baseHash: baseHash!, rows: 1, bytes: 9 } as const;
      return f.on({ type: 'update', verdict, detail: 'huge', norm: null, update });
    };
    const commit = () => {
      const hash = `g${f.state.current!.round}`;
      f.update('a').update('b').aggregated(hash).on({ type: 'validated', validation: VALIDATION });
    };
    const strikes = () => f.state.agents.c!.strikes.map(({ round }) => round);
    refused('c', 'too-large');
    refused('c', 'too-large');
    expect(strikes()).toEqual([1]);
    commit();
    f.update('c');
    expect(strikes()).toEqual([]);
    commit();
    refused('c', 'stale-round');
    expect(strikes()).toEqual([]);
    refused('c', 'too-large');
    commit();
    refused('c', 'too-large');
    expect(f.state.agents.c).toMatchObject({ quarantinedAtMs: 5_000, strikes: [{ round: 3 }, { round: 4 }] });
    commit();
    expect(f.state.current?.asked).toEqual(['a', 'b']);
    expect(f.update('c').verdict()).toBe('quarantined');
    f.on({ type: 'malformed-update', agent: 'c', task: null, detail: '' });
    expect(strikes()).toEqual([3, 4]);
    f.state = restoredState(JSON.stringify(f.state));
    f.offline('b').hello('c');
    expect(f.types()).not.toContain('send-fit');
    f.on({ type: 'quarantine-lifted', agent: 'c' }).hello('c');
    expect(f.effects).toEqual([{ type: 'send-fit', agents: ['c'] }]);
    expect(f.update('c').verdict()).toBe('accepted');
    expect(f.on({ type: 'quarantine-lifted', agent: 'nobody' }).state.agents.nobody).toBeUndefined();
  });

  it('remembers the norms it accepted, until people have said what rows were or most of the agents are beyond the bound', () => {
    const f = new Federation({ count: 9 }).started('a', 'b', 'c');
    f.update('a').update('b').update('c');
    expect(f.state.acceptedNorms.norms).toEqual([1, 1, 1]);
    f.aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    const tooLarge = (agent: string) => {
      const update = { agent, round: 2, attempt: f.state.current!.attempt, kind: 'fit', baseHash: 'g1' } as const;
      const about = { ...update, rows: 1, bytes: 9 };
      return f.on({ type: 'update', verdict: 'too-large', detail: '', norm: null, update: about });
    };
    tooLarge('a').on({ type: 'deadline', round: 2, attempt: 1 });
    expect(f.state.acceptedNorms.norms).toHaveLength(3);
    tooLarge('a');
    tooLarge('b').on({ type: 'deadline', round: 2, attempt: 2 });
    expect(f.state.acceptedNorms.norms).toEqual([]);
    f.update('a').on({ type: 'labels-changed' });
    expect(f.state.acceptedNorms.norms).toEqual([]);
  });

  it('sends the task again to whoever says hello in the middle, and asks others at once where those asked cannot be a quorum any more', () => {
    const f = new Federation().online('a').online('b').started('a', 'b');
    expect(f.hello('a').effects).toEqual([{ type: 'send-fit', agents: ['a'] }]);
    expect(f.hello('d').types()).toEqual([]);
    expect(f.offline('b').effects).toEqual([{ type: 'send-fit', agents: ['d'] }]);
    expect(f.state.current).toMatchObject({ asked: ['a', 'b', 'd'], bytesDown: 1_200 });
    expect(f.hello('e').types()).toEqual([]);
    expect(f.online('b', 'c2').update('d').update('b').state.current?.accepted).toHaveLength(2);
  });
});
