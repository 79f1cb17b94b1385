import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { layers } from '@twinwatch/core/learning/network';
import { aggregateRound } from '@twinwatch/twin-server/aggregator/aggregation';
import type { ServerQuestion, Strategy } from '@twinwatch/twin-server/aggregator/strategies/strategy';
import { strategyRound } from '@twinwatch/twin-server/aggregator/testing/strategy-round';
import ts from 'typescript';
import { afterAll, expect, it } from 'vitest';

/** docs/add-a-strategy.md is run: its example is taken out of the text, type-checked where it would lie, and used as a method. */

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const STRATEGIES = join(ROOT, 'twin-server', 'aggregator', 'strategies');
const SOURCE = /```ts\n(.*?)```/s.exec(readFileSync(join(ROOT, 'docs', 'add-a-strategy.md'), 'utf8'))?.[1] ?? '';
/** Beside what it imports, so that the compiled example finds it. */
const compiledIn = join(ROOT, 'twin-server', 'dist', 'aggregator', 'strategies', 'of-the-docs');
afterAll(() => rmSync(compiledIn, { recursive: true, force: true }));

/** Messages of the compiler about the example, as if it lay among the methods. */
function problems(): string[] {
  const file = join(STRATEGIES, 'guarded.ts');
  const { config } = ts.readConfigFile(join(ROOT, 'twin-server', 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, join(ROOT, 'twin-server'));
  const host = ts.createCompilerHost({ ...options, composite: false, incremental: false, noEmit: true });
  const { getSourceFile, fileExists, readFile } = host;
  const withName = (name: string, text: string | undefined) =>
    // The name's line in the list of methods, which the text asks for.
    name.endsWith('strategies/strategy.ts')
      ? text?.replace("RoundsConfig['method']", "RoundsConfig['method'] | 'guarded'")
      : text;
  host.fileExists = (name) => name === file || fileExists(name);
  host.readFile = (name) => (name === file ? SOURCE : withName(name, readFile(name)));
  host.getSourceFile = (name, language, ...rest) => {
    const isOurs = name === file || name.endsWith('strategies/strategy.ts');
    if (!isOurs) return getSourceFile(name, language, ...rest);
    return ts.createSourceFile(name, host.readFile(name) ?? '', language);
  };
  const program = ts.createProgram([file], { ...options, composite: false, incremental: false, noEmit: true }, host);
  return ts
    .getPreEmitDiagnostics(program, program.getSourceFile(file))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

it('holds an example under 60 lines that the compiler accepts as a method', () => {
  expect(SOURCE.split('\n').length).toBeGreaterThan(10);
  expect(SOURCE.split('\n').length).toBeLessThan(60);
  expect(problems()).toEqual([]);
});

it('holds an example that does what the text says', async () => {
  mkdirSync(compiledIn, { recursive: true });
  const emitted = ts.transpileModule(SOURCE.replaceAll("'./", "'../"), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const file = join(compiledIn, 'guarded.js');
  writeFileSync(file, emitted.outputText);
  const { guarded } = (await import(pathToFileURL(file).href)) as { guarded: Strategy };
  expect(guarded.plan({ t: 0, layerCount: 1, config: strategyRound(0).config }).twinFit).toEqual({
    from: 'twin',
    epochs: 2,
  });
  const clients = [
    { agent: 'a', parameters: Float32Array.of(1, 1), rows: 1 },
    { agent: 'b', parameters: Float32Array.of(5, 5), rows: 3 },
  ];
  const twin = Float32Array.of(0, 8);
  const round = strategyRound(
    0,
    {},
    { clients, twin, global: twin, layers: layers({ inputs: 1, hidden: [], members: 1 }) },
  );
  const next = (best: number) =>
    aggregateRound(guarded, round, async ({ at }: ServerQuestion) => Math.abs(at[0]! - best));
  expect(await next(4)).toMatchObject({ global: Float32Array.of(4, 4), twin });
  expect(await next(1)).toMatchObject({ global: Float32Array.of(2, 6), twin });
});
