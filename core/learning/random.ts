/** Seeded pseudo-random numbers: the same seed gives the same numbers on every machine. Not for secrets. */
export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  next(): number;
  /** Standard normal. */
  normal(): number;
  /** Uniform whole number in [0, n). */
  integer(n: number): number;
  /** In place (Fisher–Yates); returns its argument. */
  shuffle<A extends ShuffleTarget>(items: A): A;
  /** Independent generator that depends on the seed and `label` only, not on how many numbers were drawn. */
  fork(label: string | number): Random;
}

interface ShuffleTarget {
  readonly length: number;
  [index: number]: unknown;
}

/** Generator: sfc32 (C. Doty-Humphrey, PractRand), its state filled from an FNV-1a hash of the seed's text. */
export function createRandom(seed: number | string): Random {
  const text = String(seed);
  let a = hashText(text, 0x811c9dc5);
  let b = hashText(text, 0x9e3779b9);
  let c = hashText(text, 0x85ebca6b);
  let counter = 1;
  let spareNormal = Number.NaN;

  const next32 = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 15; i++) next32();

  const next = (): number => ((next32() >>> 5) * 67_108_864 + (next32() >>> 6)) / 9_007_199_254_740_992;
  const integer = (n: number): number => Math.floor(next() * n);
  return {
    next,
    integer,
    normal() {
      if (!Number.isNaN(spareNormal)) {
        const spare = spareNormal;
        spareNormal = Number.NaN;
        return spare;
      }
      const radius = Math.sqrt(-2 * Math.log(1 - next()));
      const angle = 2 * Math.PI * next();
      spareNormal = radius * Math.sin(angle);
      return radius * Math.cos(angle);
    },
    shuffle(items) {
      for (let i = items.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        const kept = items[i];
        items[i] = items[j];
        items[j] = kept;
      }
      return items;
    },
    fork: (label) => createRandom(`${text}/${label}`),
  };
}

function hashText(text: string, start: number): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash | 0;
}
