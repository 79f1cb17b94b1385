import type { AnsweredTask } from '@twinwatch/core/wire/envelope';
import { admission } from './admission.js';
import { forgiven, struck, withNorm } from './defence.js';
import { reconsider } from './progress.js';
import type { FederationEvent, Rejection } from './round-state.js';
import { patch, type Setting, type Step, withAgent } from './step.js';

/** What becomes of an update: counted, or refused with a reason; either way its agent gets a receipt. */

/** Of a round, in the state; enough to look at, and little to write with every step. */
const KEPT_REJECTIONS = 32;

export function onUpdate(before: Step, event: Extract<FederationEvent, { type: 'update' }>, at: Setting): Step {
  const { update } = event;
  const { verdict, detail } = admission(before.state, update) ?? event;
  const { agent, round, attempt } = update;
  const answered = patch(before, {}, { type: 'receipt', agent, round, attempt, verdict, detail });
  if (verdict === 'duplicate') return answered;
  if (verdict !== 'accepted') return refuse(answered, { agent, verdict, detail, task: update }, at);
  if (update.kind === 'evaluate') {
    const release = before.state.release!;
    return reconsider(patch(answered, { release: { ...release, answered: [...release.answered, agent] } }), at);
  }
  const current = before.state.current!;
  const accepted = [...current.accepted, { agent, rows: update.rows }];
  const counted = withAgent(answered, agent, { lastRound: round, strikes: forgiven(answered.state.agents[agent]!) });
  const { acceptedNorms } = before.state;
  const norms = event.norm === null ? acceptedNorms : withNorm(acceptedNorms, event.norm, at.config);
  const next = { ...current, accepted, bytesUp: current.bytesUp + update.bytes };
  return reconsider(patch(counted, { current: next, acceptedNorms: norms }), at);
}

export function onMalformedUpdate(
  before: Step,
  event: Extract<FederationEvent, { type: 'malformed-update' }>,
  at: Setting,
): Step {
  const { agent, task, detail } = event;
  const verdict = 'malformed';
  const refused = refuse(before, { agent, verdict, detail, task }, at);
  return task === null ? refused : patch(refused, {}, { type: 'receipt', agent, ...task, verdict, detail });
}

interface Refused extends Omit<Rejection, 'attempt'> {
  readonly task: AnsweredTask | null;
}

/**
 * Whose answer to what is open now is refused has its receipt and will not send another: it is not waited for. An answer to an
 * earlier attempt says nothing of the one to this attempt, which may be on its way.
 */
function refuse(before: Step, { agent, verdict, detail, task }: Refused, at: Setting): Step {
  const known = before.state.agents[agent];
  if (known === undefined) return before;
  const counted = withAgent(before, agent, { rejectedUpdates: known.rejectedUpdates + 1 });
  const { current, release } = counted.state;
  const open = current ?? release;
  if (open === null || (task !== null && task.round !== open.round)) return counted;
  const attempt = task?.attempt ?? open.attempt;
  const strike = { round: open.round, attempt, verdict, detail, atMs: at.nowMs };
  const after = withAgent(counted, agent, struck(known, strike, at.config));
  const answersThis = task?.attempt === open.attempt && open.asked.includes(agent);
  const refused = answersThis && !open.refused.includes(agent) ? [...open.refused, agent] : open.refused;
  if (current === null) return reconsider(patch(after, { release: { ...release!, refused } }), at);
  const rejected = [...current.rejected, { agent, attempt, verdict, detail }].slice(-KEPT_REJECTIONS);
  return reconsider(patch(after, { current: { ...current, rejected, refused } }), at);
}
