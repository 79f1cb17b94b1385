import { describe, expect, it } from 'vitest';
import { restoredState } from './round-state.js';
import { Federation, VALIDATION } from './testing/machine-federation.js';

describe('rounds that something befalls', () => {
  it('does not wait for an agent whose last will arrived, nor for one whose update was refused', () => {
    const f = new Federation().online('a').online('b').online('c').started('a', 'b', 'c');
    f.update('a').update('b');
    expect(f.offline('c').types()).toEqual(['aggregate']);
    const g = new Federation().started('a', 'b', 'c').update('a').update('b');
    g.on({
      type: 'update',
      verdict: 'not-finite',
      detail: 'NaN',
      norm: null,
      update: { agent: 'c', round: 1, attempt: 1, kind: 'fit', baseHash: 'g0', rows: 1, bytes: 9 },
    });
    expect(g.types()).toEqual(['receipt', 'aggregate']);
  });

  it('ignores a last will that belongs to an older connection', () => {
    const f = new Federation().online('a', 'old').online('a', 'new').offline('a', 'old');
    expect(f.state.agents.a?.online).toBe(true);
    expect(f.offline('a', 'new').state.agents.a?.online).toBe(false);
  });

  it('records a round without quorum, and tries again with what was accepted', () => {
    const f = new Federation().online('a').online('b').started('a', 'b').update('a');
    expect(f.offline('b').types()).toEqual([]);
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.closed[0]).toMatchObject({ committed: false, detail: '1 of 2 updates at the deadline' });
    expect(f.state.current).toMatchObject({ step: 'waiting', attempt: 1, accepted: [{ agent: 'a', rows: 100 }] });
    f.hello('b');
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['b'] });
    expect(f.state.current).toMatchObject({ step: 'collecting', attempt: 2 });
    expect(f.on({ type: 'deadline', round: 1, attempt: 1 }).types()).toEqual([]);
    expect(f.update('b').types()).toEqual(['receipt', 'aggregate']);
  });

  it('aggregates at the deadline once there is a quorum', () => {
    const f = new Federation().started('a', 'b', 'c').update('a').update('b');
    expect(f.on({ type: 'deadline', round: 1, attempt: 1 }).types()).toEqual(['aggregate']);
    expect(f.update('c').verdict()).toBe('stale-round');
  });

  it('pauses until a deadline after a step of its own failed, and collects anew', () => {
    const f = new Federation().started('a', 'b').update('a').update('b');
    f.on({ type: 'step-failed', detail: 'zero-weight' });
    expect(f.state.current).toMatchObject({ step: 'waiting', pausing: true, accepted: [] });
    expect(f.hello('a').types()).toEqual([]);
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.state.current).toMatchObject({ step: 'collecting', attempt: 2 });
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['a', 'b'] });
  });

  it('takes back what a round came to that could not be validated: its updates are collected anew', () => {
    const f = new Federation({ method: 'cwa', count: 3 }).started('a', 'b').update('a').update('b').aggregated('g1');
    f.on({ type: 'validated', validation: VALIDATION }).on({ type: 'twin-fitted', twinHash: 't2' });
    f.update('a').update('b').aggregated('g2');
    expect(f.state).toMatchObject({ globalHash: 'g2', current: { step: 'validating' } });
    f.state = restoredState(JSON.stringify(f.state));
    f.on({ type: 'step-failed', detail: 'the engine ended' });
    expect(f.state).toMatchObject({
      globalHash: 'g1',
      twinHash: 'g0',
      committed: 1,
      current: { step: 'waiting', accepted: [] },
    });
    f.on({ type: 'deadline', round: 2, attempt: 1 });
    expect(f.types()).toEqual(['fit-twin']);
  });

  it('does not ask an agent that has nothing to learn from yet', () => {
    const f = new Federation().started('a', 'b');
    f.on({ type: 'hello', agent: 'new', compatible: true, detail: '', eligibleRows: 20, codecs: ['f32'] });
    f.update('a').update('b').aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    expect(f.state.current).toMatchObject({ round: 2, asked: ['a', 'b'] });
    f.hello('new').update('a').update('b').aggregated('g2').on({ type: 'validated', validation: VALIDATION });
    expect(f.state.release?.asked).toEqual(['a', 'b', 'new']);
  });

  it('tries the last release again after a restart where it had failed', () => {
    const f = new Federation({ count: 1 }).started('a', 'b').update('a').update('b').aggregated('g1');
    f.on({ type: 'validated', validation: VALIDATION }).update('a').update('b');
    f.on({ type: 'step-failed', detail: 'no room' });
    expect(f.state).toMatchObject({ release: null, current: null, releaseFailure: 'no room' });
    expect(f.on({ type: 'resumed' }).types()).toEqual(['release']);
    f.on({ type: 'released', parametersHash: 'g1', modelVersion: 'v1' });
    expect(f.state).toMatchObject({ release: null, releaseFailure: null, released: { modelVersion: 'v1' } });
    expect(f.on({ type: 'resumed' }).types()).toEqual([]);
  });

  it('freezes the lineage without an agent that stays silent, once its time is up', () => {
    const f = new Federation().hello('a', 'b', 'c').on({ type: 'calibration', agent: 'a' });
    expect(f.on({ type: 'calibration', agent: 'b' }).types()).toEqual(['arm-calibration-deadline']);
    expect(f.on({ type: 'calibration-deadline' }).types()).toEqual(['freeze-lineage']);
  });

  it('repeats what was going on after a restart', () => {
    const f = new Federation().started('a', 'b', 'c').update('a');
    f.on({ type: 'resumed' });
    expect(f.effects[0]).toEqual({ type: 'send-fit', agents: ['b', 'c'] });
    f.update('b').update('c').on({ type: 'resumed' });
    expect(f.types()).toEqual(['aggregate']);
    expect(f.aggregated('g1').on({ type: 'resumed' }).types()).toEqual(['validate']);
  });

  it('goes by the quorum that is configured when it starts again', () => {
    const f = new Federation({ quorum: 3 }).online('a').online('b').online('c').started('a', 'b', 'c');
    f.update('a').update('b').offline('c');
    expect(f.state.current?.step).toBe('collecting');
    const lower = new Federation({ quorum: 2 });
    lower.state = f.state;
    expect(lower.on({ type: 'resumed' }).types()).toEqual(['aggregate']);
  });
});
