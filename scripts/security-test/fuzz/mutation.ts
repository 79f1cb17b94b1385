import fc from 'fast-check';

/** Bytes that look like what a decoder expects, and are not: samples that something was done to. Pure. */

type Edit =
  | { readonly kind: 'flip'; readonly at: number; readonly mask: number }
  | { readonly kind: 'insert' | 'overwrite'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove' | 'repeat'; readonly at: number; readonly share: number }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'splice'; readonly at: number; readonly other: number };

/** Where it goes is a share of the length: an edit fits every sample. */
const at = fc.double({ min: 0, max: 1, noNaN: true });
const of = <K extends Edit['kind']>(...kinds: K[]) => fc.constantFrom(...kinds);

/** What parsers trip over: borders of numbers, ends of text, names that objects have anyway. */
const WORDS = [
  '\0',
  '\n',
  '\r\n',
  '"',
  "'",
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  ';',
  '-',
  '#',
  '&a',
  '*a',
  '<<: *a',
  '!!js/function',
  '__proto__',
  'constructor',
]
  .concat([
    'NaN',
    '-Infinity',
    '1e999',
    '-1',
    '0',
    '9007199254740993',
    '18446744073709551616',
    '0x7fffffff',
    '',
    '1970-01-01',
    '99:99',
    '\u202e',
    '\ud800',
  ])
  .map((word) => new TextEncoder().encode(word));
/** Lengths and types of binary formats: all bits, none, the largest claims. */
const CLAIMS = [
  '00',
  'ff',
  '7fffffff',
  'ffffffff',
  '9bffffffffffffffff',
  '5f',
  '9f',
  'bf',
  'fb7ff8000000000000',
  'd8ff',
  'ffffffffffffffff7f',
].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));

const piece = fc.oneof(
  fc.constantFrom(...WORDS),
  fc.constantFrom(...CLAIMS),
  fc.uint8Array({ minLength: 1, maxLength: 16 }),
);

const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: of('flip'), at, mask: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: of('insert', 'overwrite'), at, bytes: piece }),
  fc.record({ kind: of('remove', 'repeat'), at, share: fc.double({ min: 0, max: 0.5, noNaN: true }) }),
  fc.record({ kind: of('cut'), at }),
  fc.record({ kind: of('splice'), at, other: fc.nat() }),
);

/** @param samples what is mutated; one input in ten is noise instead. */
export function hostileBytes(samples: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const noise = fc.uint8Array({ maxLength: 300 });
  if (samples.length === 0) return noise;
  const mutated = fc
    .tuple(fc.constantFrom(...samples), fc.array(edit, { minLength: 1, maxLength: 6 }))
    .map(([sample, edits]) => edits.reduce((bytes, one) => apply(bytes, one, samples), sample));
  return fc.oneof({ weight: 9, arbitrary: mutated }, { weight: 1, arbitrary: noise });
}

function apply(bytes: Uint8Array, one: Edit, samples: readonly Uint8Array[]): Uint8Array {
  const place = Math.floor(one.at * bytes.length);
  const joined = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));
  switch (one.kind) {
    case 'flip': {
      const copy = bytes.slice();
      if (place < copy.length) copy[place]! ^= one.mask;
      return copy;
    }
    case 'insert':
      return joined(bytes.subarray(0, place), one.bytes, bytes.subarray(place));
    case 'overwrite':
      return joined(bytes.subarray(0, place), one.bytes, bytes.subarray(place + one.bytes.length));
    case 'remove':
      return joined(bytes.subarray(0, place), bytes.subarray(place + Math.ceil(one.share * bytes.length)));
    case 'repeat': {
      const part = bytes.subarray(place, place + Math.ceil(one.share * bytes.length));
      return joined(bytes.subarray(0, place), part, bytes.subarray(place));
    }
    case 'cut':
      return bytes.slice(0, place);
    case 'splice': {
      const other = samples[one.other % samples.length] ?? bytes;
      return joined(bytes.subarray(0, place), other.subarray(Math.floor(one.at * other.length)));
    }
  }
}
