/** Student's t test for pairs: are two methods, each with the same seeds, different? */

export interface PairedTest {
  /** Of a − b. */
  readonly meanDifference: number;
  readonly t: number;
  /** Two-sided; NaN with fewer than two pairs or differences that are all the same. */
  readonly p: number;
  readonly pairs: number;
}

/** Student (1908). @param a one value per seed. @param b in the same order. */
export function pairedT(a: readonly number[], b: readonly number[]): PairedTest {
  const differences = a.map((value, i) => value - b[i]!).filter(Number.isFinite);
  const pairs = differences.length;
  const mean = differences.reduce((sum, value) => sum + value, 0) / pairs;
  const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (pairs - 1);
  const t = mean / Math.sqrt(variance / pairs);
  const p = pairs < 2 || !Number.isFinite(t) ? Number.NaN : twoSidedP(t, pairs - 1);
  return { meanDifference: mean, t, p, pairs };
}

/** Chance that |T| is at least |t| with so many degrees of freedom: I_x(ν/2, ½) at x = ν / (ν + t²) (Abramowitz and Stegun 26.7.1, 26.5). */
export function twoSidedP(t: number, degrees: number): number {
  return incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5);
}

/** Regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated by Lentz's method. */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast on this side of the mean only.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log(1 - x) - logBeta(a, b)) / a;
  const smallest = 1e-300;
  const bounded = (value: number) => (Math.abs(value) < smallest ? smallest : value);
  let [c, d] = [1, 1 / bounded(1 - ((a + b) * x) / (a + 1))];
  let fraction = d;
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    for (const term of [even, odd]) {
      d = 1 / bounded(1 + term * d);
      c = bounded(1 + term / c);
      fraction *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return front * fraction;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** Stirling's series (Abramowitz and Stegun 6.1.41), after moving the argument up to where it is exact to double precision. */
function logGamma(z: number): number {
  let shift = 0;
  let x = z;
  for (; x < 15; x++) shift += Math.log(x);
  const inverse = 1 / (x * x);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / x;
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
