import { expect, it } from 'vitest';
import { type CommunicationState, communicationStep, QUIET_COMMUNICATION } from './communication-alarm.js';

it('holds for n rows, raises once for however many tags, and clears once all have been good for as long', () => {
  let state: CommunicationState = QUIET_COMMUNICATION;
  const told: unknown[] = [];
  const rows = [['a'], ['a'], [], ['a'], ['a'], ['a', 'b'], ['a', 'b'], ['b'], ['b'], [], ['b'], [], [], [], ['a']];
  for (const [i, bad] of rows.entries()) {
    const step = communicationStep(state, bad, 2);
    state = step.state;
    if (step.effect !== null) told.push([i, step.effect.transition, ...step.effect.tags]);
  }
  expect(told).toEqual([
    [5, 'raised', 'a'],
    [12, 'cleared'],
  ]);
  for (let i = 0; i < 2; i++) state = communicationStep(state, ['a'], 2).state;
  expect(state).toMatchObject({ alarmNumber: 2, transitionNumber: 1, isActive: true });
  expect(communicationStep(QUIET_COMMUNICATION, ['a'], 0).effect?.transition).toBe('raised');
});
