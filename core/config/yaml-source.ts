import {
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  parseDocument,
} from 'yaml';
import { TwinwatchError } from '../errors.js';

/** Keys and indices from the top of a file down to one value. */
export type ConfigPath = readonly PropertyKey[];

/** `['buses', 0, 'unit']` → `buses[0].unit`; the whole file is `(file)`. */
export function pathText(path: ConfigPath): string {
  if (path.length === 0) return '(file)';
  return path
    .map((part, depth) => {
      if (typeof part === 'number') return `[${part}]`;
      const key = String(part);
      if (!/^[\w-]+$/.test(key)) return `[${JSON.stringify(key)}]`;
      return depth === 0 ? key : `.${key}`;
    })
    .join('');
}

/** What to do about the parser's codes that people meet; the parser's own words serve for the others. */
const SYNTAX_ADVICE: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'a tab is used for indentation; use spaces',
  DUPLICATE_KEY: 'this field is already given above in the same block; keep one of the two',
  MULTIPLE_DOCS: "'---' starts a second document; a configuration file holds one",
};

/** No file of ours nests a fifth as deep. The parser's second pass, and whoever walks its values, would run out of stack. */
const DEEPEST = 100;

/** A YAML file that parsed, with the place of every value. Repairs change what `value()` returns, never a place. */
export class YamlSource {
  readonly fileName: string;
  readonly #document: Document;
  readonly #lines: LineCounter;

  private constructor(fileName: string, document: Document, lines: LineCounter) {
    this.fileName = fileName;
    this.#document = document;
    this.#lines = lines;
  }

  /** @throws TwinwatchError CONFIG_UNREADABLE listing every syntax error with its line. */
  static parse(text: string, fileName: string): YamlSource {
    const lines = new LineCounter();
    const deepAt = tooDeepAt(text, lines);
    if (deepAt !== null) {
      const { line, col } = lines.linePos(deepAt);
      const message = `is nested deeper than ${DEEPEST} levels; is it the file that was meant?`;
      throw unreadable(fileName, [{ line, column: col, place: '', message }]);
    }
    const document = parseDocument(text, { prettyErrors: false, logLevel: 'error' });
    const problems = document.errors.map((error) => {
      const { line, col } = lines.linePos(error.pos[0]);
      const advice = SYNTAX_ADVICE[error.code];
      const place = error.code === 'DUPLICATE_KEY' ? ` '${wordAt(text, error.pos[0])}'` : '';
      return { line, column: col, place, message: advice ?? error.message };
    });
    if (problems.length > 0) throw unreadable(fileName, problems);
    return new YamlSource(fileName, document, lines);
  }

  /** The file's content as plain values. @throws TwinwatchError CONFIG_UNREADABLE on an alias without its anchor. */
  value(): unknown {
    try {
      const value: unknown = this.#document.toJS();
      if (isDeep(value)) throw new Error('an alias stands inside what it stands for');
      return value;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw unreadable(this.fileName, [{ line: 1, column: 1, place: '', message: reason }], cause);
    }
  }

  /** Where the value (or its key) at `path` stands; where it is missing, the innermost block that should hold it. From 1. */
  position(path: ConfigPath, of: 'key' | 'value'): { line: number; column: number } {
    const { node, key } = this.#follow(path);
    const range = (of === 'key' ? (key ?? node) : node)?.range ?? key?.range;
    const { line, col } = this.#lines.linePos(range?.[0] ?? 0);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  /** Takes the field at `path` out, so that what else is wrong shows. */
  remove(path: ConfigPath): void {
    const parent = this.#follow(path.slice(0, -1)).node;
    if (isMap(parent)) parent.items = parent.items.filter((pair) => keyText(pair) !== String(path.at(-1)));
  }

  /** Reads the field at `path` as if its key were `key`. */
  rename(path: ConfigPath, key: string): void {
    const parent = this.#follow(path.slice(0, -1)).node;
    if (!isMap(parent)) return;
    const pair = parent.items.find((candidate) => keyText(candidate) === String(path.at(-1)));
    if (pair !== undefined && isScalar(pair.key)) pair.key.value = key;
  }

  /** The deepest node on the way to `path`, and the key it stands under. */
  #follow(path: ConfigPath): { node: Node | null; key: Node | null } {
    let node: Node | null = this.#resolved(this.#document.contents);
    let key: Node | null = null;
    for (const part of path) {
      let next: unknown = null;
      if (isMap(node)) {
        const pair = node.items.find((candidate) => keyText(candidate) === String(part));
        if (pair === undefined) break;
        key = pair.key as Node;
        next = pair.value;
      } else if (isSeq(node) && typeof part === 'number' && part < node.items.length) {
        key = null;
        next = node.items[part];
      } else break;
      node = this.#resolved(next as Node | null);
    }
    return { node, key };
  }

  #resolved(node: Node | null): Node | null {
    return isAlias(node) ? (node.resolve(this.#document) ?? null) : node;
  }
}

/** Where the text is nested too deeply; null where it is not. The first pass needs no stack of its own for that. */
function tooDeepAt(text: string, lines: LineCounter): number | null {
  const waiting: { token: CST.Token | null | undefined; depth: number }[] = [];
  for (const token of new Parser(lines.addNewLine).parse(text)) waiting.push({ token, depth: 0 });
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { token, depth } = next;
    if (token === null || token === undefined) continue;
    if (depth > DEEPEST) return token.offset;
    if ('items' in token)
      for (const { key, value } of token.items)
        waiting.push({ token: key, depth: depth + 1 }, { token: value, depth: depth + 1 });
    else if (token.type === 'document') waiting.push({ token: token.value, depth });
  }
  return null;
}

/** Only through an alias within itself: the text is not. */
function isDeep(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return depth > 2 * DEEPEST || Object.values(value).some((child) => isDeep(child, depth + 1));
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
}

function wordAt(text: string, offset: number): string {
  return /^[^\s:]*/.exec(text.slice(offset, offset + 60))?.[0] ?? '';
}

interface SyntaxProblem {
  readonly line: number;
  readonly column: number;
  /** Word it is about, with a space before it, or nothing. */
  readonly place: string;
  readonly message: string;
}

function unreadable(file: string, problems: readonly SyntaxProblem[], cause?: unknown): TwinwatchError {
  const lines = problems.map(({ line, column, place, message }) => `  ${file}:${line}:${column}${place} ${message}`);
  return new TwinwatchError('CONFIG_UNREADABLE', `${file} cannot be read as YAML:\n${lines.join('\n')}`, {
    context: {
      ...{ file, line: problems[0]?.line ?? 1 },
      problems: problems.map(({ line, column, place, message }) => {
        return { file, line, column, path: place.trim() || pathText([]), message };
      }),
    },
    cause,
  });
}
