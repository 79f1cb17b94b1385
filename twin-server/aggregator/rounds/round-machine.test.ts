import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_NORMS } from './defence.js';
import { restoredState } from './round-state.js';
import { AGGREGATED, Federation, VALIDATION } from './testing/machine-federation.js';

const TEACHER = { hash: 'T', bytes: 90, codec: 'int8' } as const;

describe('round machine', () => {
  it('trains a teacher once, whatever becomes of the round, and counts its bytes once for each agent', () => {
    const f = new Federation({ method: 'dtkd', count: 3 }).started('a', 'b');
    const effect = { type: 'fit-twin', from: 'twin', epochs: 5, isTeacher: true };
    expect(f.effects).toEqual([effect]);
    f.state = restoredState(JSON.stringify(f.state));
    expect(f.on({ type: 'resumed' }).effects).toEqual([effect]);
    f.on({ type: 'twin-fitted', twinHash: 't1', teacher: TEACHER });
    expect(f.state).toMatchObject({ twinHash: 't1', teacher: TEACHER, current: { baseHash: 'g0', bytesDown: 980 } });
    f.on({ type: 'deadline', round: 1, attempt: 1 });
    expect(f.state.current).toMatchObject({ attempt: 2, step: 'collecting', bytesDown: 1_780 });
    f.hello('c').update('a').update('b').aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    expect(f.state).toMatchObject({ teacher: TEACHER, current: { round: 2, step: 'collecting', bytesDown: 1_290 } });
  });

  it('goes on from a state of before there were teachers', () => {
    const { teacher: _, ...old } = new Federation().started('a', 'b').state;
    expect(restoredState(JSON.stringify(old)).teacher).toBeNull();
  });

  it('forgets the best round once people have said what rows were, and releases one that knows of it', () => {
    const f = new Federation().started('a', 'b');
    f.update('a').update('b').aggregated('g1').on({ type: 'validated', validation: VALIDATION });
    f.on({ type: 'labels-changed' });
    expect(f.state.best).toBeNull();
    const worse = { ...VALIDATION, prAuc: 0.3 };
    f.update('a').update('b').aggregated('g2').on({ type: 'validated', validation: worse });
    expect(f.state.release?.candidate).toEqual({ round: 2, parametersHash: 'g2', validation: worse });
    const before = f.state;
    f.on({ type: 'labels-changed' }).on({ type: 'labels-changed' });
    expect(f.state).toEqual({ ...before, best: null, acceptedNorms: NO_NORMS });
  });

  it('calibrates, runs every round, releases the best, and finishes', () => {
    const f = new Federation().started('a', 'b', 'c');
    expect(f.effects).toEqual([
      { type: 'send-fit', agents: ['a', 'b', 'c'] },
      { type: 'arm-deadline', round: 1, attempt: 1, ms: 1_000 },
    ]);
    f.update('a').update('b');
    expect(f.types()).toEqual(['receipt']);
    expect(f.update('c').types()).toEqual(['receipt', 'aggregate']);
    expect(f.aggregated('g1').types()).toEqual(['validate']);
    f.on({ type: 'validated', validation: VALIDATION });
    expect(f.closed[0]).toMatchObject({ committed: true, round: { round: 1, bytesUp: 150, bytesDown: 1_200 } });
    expect(f.state.current).toMatchObject({ round: 2, step: 'collecting', baseHash: 'g1' });
    f.update('a')
      .update('b')
      .update('c')
      .aggregated('g2')
      .on({ type: 'validated', validation: { ...VALIDATION, prAuc: 0.5 } });
    expect(f.types()).toEqual(['send-evaluate', 'arm-deadline']);
    expect(f.state.release).toMatchObject({ round: 2, attempt: 2, candidate: { round: 1, parametersHash: 'g1' } });
    f.update('a').update('b');
    expect(f.update('c').types()).toEqual(['receipt', 'release']);
    f.on({ type: 'released', parametersHash: 'g1', modelVersion: 'v1' });
    expect(f.state).toMatchObject({ committed: 2, current: null, release: null, released: { modelVersion: 'v1' } });
  });

  it('sends Θ_tw down in odd rounds of CWA, after the twin has trained', () => {
    const f = new Federation({ method: 'cwa' }).started('a', 'b');
    f.update('a')
      .update('b')
      .on({ ...AGGREGATED, globalHash: 'g1', twinHash: 'g1' });
    expect(f.on({ type: 'validated', validation: VALIDATION }).types()).toEqual(['fit-twin']);
    f.on({ type: 'twin-fitted', twinHash: 't1' });
    expect(f.state.current).toMatchObject({ step: 'collecting', baseHash: 't1' });
  });

  it('asks the configured share of the agents, never fewer than a quorum', () => {
    const agents = Array.from({ length: 10 }, (_, i) => `s${i}`);
    expect(new Federation({ fraction: 0.3 }).started(...agents).state.current?.asked).toHaveLength(3);
    expect(new Federation({ fraction: 0.1, quorum: 4 }).started(...agents).state.current?.asked).toHaveLength(4);
  });

  it('goes on when more rounds are configured after it had finished', () => {
    const f = new Federation({ count: 1 }).started('a', 'b').update('a').update('b').aggregated('g1');
    f.on({ type: 'validated', validation: VALIDATION }).update('a').update('b');
    f.on({ type: 'released', parametersHash: 'g1', modelVersion: 'v1' });
    expect(f.state.current).toBeNull();
    const more = new Federation({ count: 3 });
    more.state = f.state;
    expect(more.on({ type: 'resumed' }).state.current).toMatchObject({ round: 2, step: 'collecting' });
  });

  it('in any order of events: counts each agent once per round, and only with a quorum', () => {
    const agent = fc.constantFrom('a', 'b', 'c');
    const action = fc.oneof(
      agent.map((a) => (f: Federation) => f.hello(a)),
      agent.map((a) => (f: Federation) => f.online(a)),
      agent.map((a) => (f: Federation) => f.offline(a)),
      agent.map((a) => (f: Federation) => f.on({ type: 'calibration', agent: a })),
      agent.map((a) => (f: Federation) => f.update(a)),
      agent.map((a) => (f: Federation) => f.update(a, { round: 1 })),
      fc.constant((f: Federation) => f.on({ type: 'calibration-deadline' })),
      fc.constant((f: Federation) => f.on({ type: 'resumed' })),
      fc.constant((f: Federation) => {
        const open = f.state.current ?? f.state.release;
        return open === null ? f : f.on({ type: 'deadline', round: open.round, attempt: open.attempt });
      }),
      fc.constant(finishWork),
      fc.constant((f: Federation) => f.on({ type: 'step-failed', detail: 'x' })),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const f = new Federation();
        for (const act of actions) {
          act(f);
          const accepted = f.state.current?.accepted.map((one) => one.agent) ?? [];
          expect(new Set(accepted).size).toBe(accepted.length);
        }
        const committed = f.closed.filter((closed) => closed.committed);
        expect(committed.map(({ round }) => round.round)).toEqual(committed.map((_, i) => i + 1));
        for (const { round } of committed) expect(round.accepted.length).toBeGreaterThanOrEqual(2);
      }),
      { numRuns: 300 },
    );
  });
});

/** Whatever the server itself is busy with comes to its end. */
function finishWork(f: Federation): Federation {
  const { current, release, freezing } = f.state;
  if (freezing) return f.on({ type: 'lineage-frozen', lineageHash: 'L', globalHash: 'g0', twinHash: 'g0' });
  if (current?.step === 'aggregating') return f.aggregated(`g${current.round}`);
  if (current?.step === 'validating') return f.on({ type: 'validated', validation: VALIDATION });
  if (release?.step === 'releasing') return f.on({ type: 'released', parametersHash: 'g', modelVersion: 'v1' });
  return f;
}
