/** One decoder that is given what nobody has asked for. */
export interface FuzzTarget {
  readonly name: string;
  /** Sound inputs, which are mutated. Each must be taken as it is. */
  readonly samples: () => Promise<readonly Uint8Array[]>;
  /** Inputs by hand, of the kinds that have brought down others. */
  readonly hostile: readonly Uint8Array[];
  /** Refuses by a TwinwatchError, or by saying so where a refusal is no error there. Anything else that is thrown is a defect. */
  readonly decode: (bytes: Uint8Array) => Promise<unknown> | unknown;
  readonly isSlow?: true;
  readonly release?: () => Promise<void>;
}

/** What `decode` returns where it refused without an error. */
export const REFUSED = Symbol('refused');

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
export const hex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits, 'hex'));

/** Names that hold a hundred million things, tables that are deeper than a stack, keys that are everybody's. */
export const HOSTILE_TEXTS: readonly Uint8Array[] = [
  '',
  '\0',
  `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]`,
  'a: &a\n  b: *a\n',
  '['.repeat(20_000),
  '{"a":'.repeat(20_000),
  `${'  '.repeat(2_000)}- x`,
  '__proto__: {polluted: true}\nconstructor: {prototype: {polluted: true}}',
  '{"__proto__":{"polluted":true}}',
  '"'.repeat(5_000),
  `${'a,'.repeat(50_000)}\n`,
  '\ufeff\ufeff',
].map(utf8);
