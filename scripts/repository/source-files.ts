import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

export interface SourceFile {
  /** From the repository's root, with '/'. */
  readonly path: string;
  /** Without comments, so that what they mention does not count as used. */
  readonly code: string;
  /** As written after `from` or in `import()`, relative ones as paths from the root. */
  readonly imports: readonly string[];
}

/** `testing` folders hold what tests start or share. */
const SKIPPED = new Set(['dist', 'node_modules', 'data', 'out', 'test', 'testing']);

/** Every TypeScript source below `folder`, tests left out. */
export function sourceFiles(folder: string): SourceFile[] {
  const entries = readdirSync(join(ROOT, folder), { withFileTypes: true });
  return entries.flatMap((entry): SourceFile[] => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return SKIPPED.has(entry.name) ? [] : sourceFiles(path);
    if (!/\.tsx?$/.test(entry.name) || /\.test\.tsx?$/.test(entry.name)) return [];
    const code = withoutComments(readFileSync(join(ROOT, path), 'utf8'));
    const imports = [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)].map((match) =>
      resolved(path, match[1] ?? ''),
    );
    return [{ path, code, imports }];
  });
}

function resolved(importer: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  return relative(ROOT, join(ROOT, dirname(importer), specifier)).replaceAll('\\', '/');
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|[^:'"`])\/\/.*$/gm, '$1');
}
