import { expect, it } from 'vitest';
import { COMMON_UNITS, isKnownUnit, unitOfWord } from './engineering-units.js';

it.each([
  ...['', '-', '%', 'm³/h', 'm^3/h', 'Nm3/h', 'l/s', 'ML/d', 'kWh/m3', 'mg/L Cl2', 'mg/l CaCO3', 'µS/cm', 'mbarg', 'mWC'],
  ...['1/min', 'm·s^-2', 'W/m²', 'kvar', 'degC', 'MΩ', 'ha', 'gal/min'],
])('knows %j', (unit) => expect(isKnownUnit(unit)).toBe(true)); // biome-ignore format: a list

it.each(['mtr?!', 'metres', 'furlong', 'M/S/', 'Bar', 'm/', 'm3h'])('does not know %j', (unit) =>
  expect(isKnownUnit(unit)).toBe(false),
);

it('knows what it suggests', () => {
  expect(COMMON_UNITS.filter((unit) => !isKnownUnit(unit))).toEqual([]);
  expect(['Metres', 'LPM', 'm3ph', 'parsec'].map(unitOfWord)).toEqual(['m', 'L/min', 'm3/h', null]);
});
