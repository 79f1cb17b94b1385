/** Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let best = Math.min((previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      best = Math.min(best, (previous[column - 1] ?? 0) + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) best = Math.min(best, (beforePrevious[column - 2] ?? 0) + 1);
      current.push(best);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}

const folded = (text: string): string => text.toLowerCase().replace(/[-_ ]/g, '');

/** The one of `known` that a person most likely meant by `found`, or null where none is near. Case, '-' and '_' do not count. */
export function nearest(found: string, known: readonly string[]): string | null {
  const written = folded(found).slice(0, 80);
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(written.length / 3)) + 0.5;
  for (const candidate of known) {
    const distance = editDistance(written, folded(candidate));
    if (distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
