import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml';
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
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
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
      return this.#document.toJS();
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
