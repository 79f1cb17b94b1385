/**
 * Coordinate-wise trimmed mean and median (Yin et al., 2018, "Byzantine-Robust Distributed Learning", definitions 1 and 2).
 * Ours: the weights. Of each parameter the values are laid end to end in their order, each as long as its client's weight; `trim` of the
 * whole length is cut off at both ends, a value that the cut falls into counting by what is left of it, and the mean of the rest is taken.
 * With equal weights and a whole number of values cut, this is Yin's. A client is so withstood by its weight, not by its head: clients
 * with less than `trim` of the weight in sum cannot move a parameter out of the range of the others.
 *
 * @param vectors [clients][parameters], finite, at least one. @param weights [clients], 1 in sum. @param trim 0 to below 0.5. @returns [parameters]
 */
export function trimmedMean(vectors: readonly Float32Array[], weights: ArrayLike<number>, trim: number): Float32Array {
  return byCoordinate(vectors, (value, order) => {
    let position = 0;
    let sum = 0;
    for (const k of order) {
      const from = Math.max(position, trim);
      position += weights[k]!;
      sum += Math.max(0, Math.min(position, 1 - trim) - from) * value(k);
    }
    return sum / (1 - 2 * trim);
  });
}

/**
 * The limit of the trimmed mean as `trim` goes to one half: the value in the middle of the length, the mean of two where their border falls there.
 *
 * @param vectors [clients][parameters], finite, at least one. @param weights [clients], 1 in sum. @returns [parameters]
 */
export function coordinateMedian(vectors: readonly Float32Array[], weights: ArrayLike<number>): Float32Array {
  return byCoordinate(vectors, (value, order) => {
    let position = 0;
    for (const [at, k] of order.entries()) {
      position += weights[k]!;
      if (Math.abs(position - 0.5) < ROUNDING) return (value(k) + value(nextWithWeight(order, at, weights))) / 2;
      if (position > 0.5) return value(k);
    }
    return value(order.at(-1)!);
  });
}

/** Of sums of weights. */
const ROUNDING = 1e-9;

function nextWithWeight(order: readonly number[], at: number, weights: ArrayLike<number>): number {
  return order.slice(at + 1).find((k) => weights[k]! > ROUNDING) ?? order[at]!;
}

function byCoordinate(
  vectors: readonly Float32Array[],
  middle: (value: (k: number) => number, order: readonly number[]) => number,
): Float32Array {
  const order = [...vectors.keys()];
  return Float32Array.from({ length: vectors[0]?.length ?? 0 }, (_, i) => {
    const value = (k: number) => vectors[k]![i]!;
    // Ties by the client's place: the same round gives the same bytes, however the sort before it left the order.
    order.sort((a, b) => value(a) - value(b) || a - b);
    return middle(value, order);
  });
}
