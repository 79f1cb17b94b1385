/** What EPANET's toolkit does not give back: the words of an input file, section by section. */

export interface InpLine {
  /** From 1. */
  readonly line: number;
  /** Without comment, split at blanks; never empty. */
  readonly words: readonly string[];
}

/** EPANET tells sections by their first letters. */
const DISTINCT_LETTERS = 4;

/** Lines of one section, wherever in the file it is; EPANET takes its name in either case, and cut short. */
export function inpSection(text: string, name: string): InpLine[] {
  const lines: InpLine[] = [];
  let isInside = false;
  for (const [i, raw] of text.split('\n').entries()) {
    const words = raw.replace(/;.*/, '').trim().split(/\s+/).filter(Boolean);
    const [first] = words;
    if (first === undefined) continue;
    if (first.startsWith('['))
      isInside = first.slice(1, 1 + DISTINCT_LETTERS).toUpperCase() === name.slice(0, DISTINCT_LETTERS);
    else if (isInside) lines.push({ line: i + 1, words });
  }
  return lines;
}
