import { beforeAll, describe, expect, it } from 'vitest';
import type { LoadedPlant } from '../plant-config.js';
import { loadTestPlant } from '../testing/load-test-plant.js';
import { importCpa } from './import-cpa.js';

let plant: LoadedPlant;
beforeAll(async () => {
  plant = await loadTestPlant();
});

const HEAD =
  '[CYBERNODES]\n; name, sensors, actuators\n PLC1, F_PU1, PU1 PU2\n PLC2, P_T1,\n[CYBERLINKS]\nPLC2,\tPLC1,\tP_T1\n';
const TAIL = '\n[CYBEROPTIONS]\nverbosity, 1\nwhat_to_store, T1, PRESSURE';
const importing = (...lines: string[]) =>
  importCpa(`${HEAD}[CYBERATTACKS]\r\n;type, …\r\n${lines.join('\r\n')}${TAIL}`, 'a.cpa', 'a', plant, 48);

describe('an epanetCPA file', () => {
  it('becomes one attack: links, sensors, actuators and controls, at their times after the first', () => {
    const { attack, notes } = importing(
      'Communication,\tPLC2-P_T1-PLC1,\tTIME==50,\tTIME==-1,\tDoS ; a comment',
      'Communication, PLC2-P_T1-SCADA, (TIME==58), TIME==106, replay 24 0.05 7 0',
      'Communication, PLC1-PU1-SCADA, TIME==50, TIME==60, offset -2',
      'Communication, PLC1-PU2-NULL, TIME==50, TIME==51.5, constant 0',
      'Sensor, P_T4, TIME>=52, TIME==60, constant 1.5',
      'Actuator, PU3, TIME==50, TIME==60, 0.8',
      'Actuator, V1, TIME==50, TIME==60, 1',
      'Control, CTRL9n, TIME==50, TIME==60, 1.4',
      'Control, CTRL10n, TIME==50, TIME==60, 1.6',
    );
    expect(attack).toEqual({
      ...{ name: 'a', title: 'From a.cpa', duration: '56h' },
      effects: [
        { kind: 'link', tag: 'L_T1', to: 'PLC1', freeze: true },
        { kind: 'force', actuator: 'PU2', state: 'off', lasts: '90m' },
        { kind: 'sensor', tag: 'L_T4', constant: 1.5, after: '2h', lasts: '8h' },
        { kind: 'force', actuator: 'PU3', state: 'on', lasts: '10h' },
        { kind: 'speed', actuator: 'PU3', speed: 0.8, lasts: '10h' },
        { kind: 'force', actuator: 'V1', state: 'on', lasts: '10h' },
        // The ninth and tenth control of the network file: PU5 open below, PU5 closed above.
        { kind: 'thresholds', actuator: 'PU5', on: 1.4, lasts: '10h' },
        { kind: 'thresholds', actuator: 'PU5', off: 1.6, lasts: '10h' },
      ],
      concealment: [
        // ± 0.05 m evenly is a deviation of 0.0289 m, and T1's resolution is 0.05 m.
        { kind: 'replay', tags: ['L_T1'], period: '24h', noise: 0.577, after: '8h', lasts: '48h' },
        { kind: 'polyline', tags: ['F_PU1'], points: [['0s', -2]], lasts: '10h' },
      ],
    });
    expect(notes).toEqual(['L_T1: replayed values are not cut off at 0 and 7']);
  });

  it.each([
    ['Sensor, P_T1, TIME==5, TIME==9', /an attack has 5 fields.*this has 4/],
    ['Sensor, P_T1, (TIME>5)&&(PU2>0), TIME==9, DoS', /depends on the plant's state/],
    ['Sensor, P_T1, TIME==9, TIME==5, DoS', /ends before it starts/],
    ['Sensor, P_T1, TIME==5, TIME==9, custom file.csv', /'custom' cannot be said/],
    ['Sensor, P_T1, TIME==5, TIME==9, constant high', /'high' should be one number/],
    ['Sensor, P_J99, TIME==5, TIME==9, DoS', /no tag for 'P_J99'/],
    ['Actuator, PU9, TIME==5, TIME==9, 1', /'PU9' is no actuator/],
    ['Actuator, V1, TIME==5, TIME==9, 0.5', /open or shut/],
    ['Control, CTRL77n, TIME==5, TIME==9, 1', /no control 77.*it has 12/],
    ['Control, CTRL1l, TIME==5, TIME==9, 0', /threshold \(n\) only/],
    ['Communication, PLC2-P_T1, TIME==5, TIME==9, DoS', /must be sender-target-receiver/],
    ['Communication, PLC2-P_T1-SCADA, TIME==5, TIME==9, constant 3', /'constant' cannot be said of what SCADA/],
    ['Malware, PLC1, TIME==5, TIME==9, 1', /no type 'Malware'/],
  ])('is refused with the line of what it cannot be: %s', (line, words) => {
    expect(() => importing(line)).toThrowError(words);
    expect(() => importing(line)).toThrowError(/a\.cpa cannot be imported:\n {2}line 9: /);
  });

  it('is refused with every problem at once', () => {
    const text = `PLC1\n[CYBERNODES]\nPLC8, P_T1,\n[CYBERNOISE]\nx\n[CYBERATTACKS]\nActuator, PU1, TIME==1, TIME==2, 1\n[CYBEROPTIONS]\nloudness, 3`;
    expect(() => importCpa(text, 'b.cpa', 'b', plant, 48)).toThrowError(
      /line 1: 'PLC1' is in no section[\s\S]*no section \[CYBERNOISE\][\s\S]*no option 'loudness'[\s\S]*'PLC8'/,
    );
    expect(() => importCpa('', 'c.cpa', 'c', plant, 48)).toThrowError(/no attack under/);
    const unsent = `${HEAD}[CYBERATTACKS]\nCommunication, PLC2-P_T2-PLC1, TIME==1, TIME==2, DoS`;
    expect(() => importCpa(unsent, 'd.cpa', 'd', plant, 48)).toThrowError(/no PLC sends L_T2 to PLC1/);
  });
});
