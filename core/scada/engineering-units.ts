/**
 * Engineering units as they stand on the screens of water works: symbols, with an SI prefix where one is usual, powers, products
 * and quotients of them. 'm3/h', 'm³/h', 'kWh/m3', 'mg/L', 'µS/cm', 'bar', '°C'. UCUM and SI for the symbols; the rest is usage.
 */

/** Take a prefix: 'mbar', 'kPa', 'ML'. */
const WITH_PREFIX = ['m', 'g', 's', 'A', 'L', 'l', 'Hz', 'N', 'J', 'W', 'Wh', 'V', 'VA', 'VAh', 'var', 'varh', 'Pa', 'bar', 'mol', 'S', 'Ω', 'Ohm', 'eq']; // biome-ignore format: a list
const PREFIXES = ['n', 'µ', 'u', 'm', 'c', 'd', 'h', 'k', 'M', 'G'];
const WITHOUT_PREFIX = [
  ...['%', '‰', 'ppm', 'ppb', '1', 'min', 'h', 'd', 'wk', 'a', 'K', '°C', '°F', 'degC', 'degF', '°', 'deg', 'rad', 't', 'ha'],
  ...['bara', 'barg', 'mbara', 'mbarg', 'mH2O', 'mWC', 'mWS', 'cmH2O', 'mmH2O', 'mmHg', 'inHg', 'inH2O', 'ftH2O', 'atm', 'psi', 'psia', 'psig'],
  ...['in', 'ft', 'yd', 'mi', 'gal', 'acre', 'lb', 'hp', 'Nm3', 'Nm³', 'gpm', 'gph', 'gpd', 'usgpm', 'MG', 'MGD', 'mgd', 'MLD', 'Mld', 'cfs', 'cfm', 'cmh', 'lps'],
  ...['NTU', 'FNU', 'FTU', 'FAU', 'TCU', 'pH', 'PSU', 'mho', '°dH', '°fH', 'CFU', 'MPN', 'rpm', 'dB', 'x', 'pulses', 'counts'],
]; // biome-ignore format: a list
const SYMBOLS = new Set([
  ...WITHOUT_PREFIX,
  ...WITH_PREFIX,
  ...PREFIXES.flatMap((p) => WITH_PREFIX.map((unit) => p + unit)),
]);
/** Shown where a unit is not known, and looked through for what was meant. */
export const COMMON_UNITS: readonly string[] = [
  ...['m', 'mm', 'cm', 'ft', 'L/s', 'L/min', 'm3/h', 'm3/d', 'm3/s', 'm3', 'L', 'ML/d', 'gpm', 'MGD', 'bar', 'mbar', 'kPa', 'Pa', 'psi', 'mH2O'],
  ...['%', 'mg/L', 'ug/L', 'NTU', 'pH', 'mV', 'uS/cm', '°C', '°F', 'rpm', 'Hz', 'A', 'mA', 'V', 'kW', 'kWh', 's', 'min', 'h', 'kg'],
]; // biome-ignore format: a list
/** How people write units out. */
const WORDS: Readonly<Record<string, string>> = {
  ...{ mtr: 'm', mtrs: 'm', meter: 'm', meters: 'm', metre: 'm', metres: 'm', feet: 'ft', foot: 'ft', inch: 'in' },
  ...{
    liter: 'L',
    litre: 'L',
    liters: 'L',
    litres: 'L',
    ltr: 'L',
    lpm: 'L/min',
    cms: 'm3/s',
    cmd: 'm3/d',
    m3ph: 'm3/h',
  },
  ...{
    percent: '%',
    pct: '%',
    celsius: '°C',
    fahrenheit: '°F',
    amp: 'A',
    amps: 'A',
    volt: 'V',
    volts: 'V',
    hertz: 'Hz',
  },
  ...{ sec: 's', seconds: 's', hr: 'h', hrs: 'h', hour: 'h', hours: 'h', minutes: 'min', bars: 'bar', pascal: 'Pa' },
};

const FACTOR = /^(.*?)(?:\^?-?[1-4]|[²³])?$/u;
const LONGEST_NOTE = /^[A-Za-z][A-Za-z0-9()-]*$/;

/** Whether a text is a unit of these symbols; a substance may follow after a space: 'mg/L Cl2'. '' and '-' are that of a number without one. */
export function isKnownUnit(text: string): boolean {
  if (text === '' || text === '-') return true;
  const [unit = '', ...notes] = text.split(' ');
  if (!notes.every((note) => LONGEST_NOTE.test(note))) return false;
  return unit.split(/[/·*]/).every((factor) => {
    const symbol = FACTOR.exec(factor)?.[1] ?? '';
    return SYMBOLS.has(factor) || SYMBOLS.has(symbol);
  });
}

/** The unit that somebody wrote out as a word, or null: 'metres' → 'm'. Signs in it do not count. */
export function unitOfWord(text: string): string | null {
  const word = text.toLowerCase().replace(/[^a-z0-9]/g, '');
  return Object.hasOwn(WORDS, word) ? (WORDS[word] ?? null) : null;
}
