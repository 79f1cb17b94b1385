import { expect, it } from 'vitest';
import {
  acknowledgeCommunication,
  type CommunicationState,
  communicationStep,
  QUIET_COMMUNICATION,
} from './communication-alarm.js';

it('holds for n rows, raises once for however many tags, and clears once all have been good for as long', () => {
  let state: CommunicationState = QUIET_COMMUNICATION;
  const told: unknown[] = [];
  const rows = [
    ['a'],
    ['a'],
    [],
    ['a'],
    ['b', 'a'],
    ['a', 'b'],
    ['a', 'b'],
    ['b'],
    ['b'],
    [],
    ['b'],
    [],
    [],
    [],
    ['a'],
  ];
  for (const [i, bad] of rows.entries()) {
    const step = communicationStep(state, bad, 2, i * 1_000);
    state = step.state;
    if (step.effect !== null) told.push([i, step.effect.transition, step.effect.sinceMs, ...step.effect.tags]);
  }
  expect(told).toEqual([
    [5, 'raised', 3_000, 'a'],
    [12, 'cleared', null],
  ]);
  for (let i = 0; i < 2; i++) state = communicationStep(state, ['a'], 2, 0).state;
  expect(state).toMatchObject({ alarmNumber: 2, transitionNumber: 1, isActive: true });
  expect(communicationStep(QUIET_COMMUNICATION, ['a'], 0, 0).effect?.transition).toBe('raised');
});

it('is acknowledged once, while it lasts, and the next one anew', () => {
  expect(acknowledgeCommunication(QUIET_COMMUNICATION).effect).toBeNull();
  const raised = communicationStep(QUIET_COMMUNICATION, ['b', 'a'], 0, 5).state;
  const { state, effect } = acknowledgeCommunication(raised);
  expect(effect).toMatchObject({ transition: 'acknowledged', alarmNumber: 1, transitionNumber: 2 });
  expect(acknowledgeCommunication(state)).toEqual({ state, effect: null });
  const cleared = communicationStep(state, [], 1, 6);
  expect(cleared.effect).toMatchObject({ transition: 'cleared', transitionNumber: 3 });
  expect(acknowledgeCommunication(cleared.state).effect).toBeNull();
  expect(acknowledgeCommunication(communicationStep(cleared.state, ['a'], 0, 7).state).effect?.alarmNumber).toBe(2);
});
