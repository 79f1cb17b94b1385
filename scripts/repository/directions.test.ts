import { expect, it } from 'vitest';
import { type SourceFile, sourceFiles } from './source-files.js';

/** Layers inside core, lowest first: a file imports its own folder and lower ones. biome.json holds the packages apart; this test the rest. */
const CORE_LAYERS: Readonly<Record<string, readonly string[]>> = {
  scada: [],
  calibration: ['scada'],
  features: ['scada'],
  learning: [],
  security: [],
  wire: ['calibration', 'scada', 'features', 'learning', 'security'],
  onnx: ['scada', 'features', 'learning', 'wire'],
  evaluation: ['learning', 'wire'],
  config: ['scada', 'features', 'security', 'wire'],
  training: ['calibration', 'scada', 'features', 'learning', 'evaluation', 'wire'],
};

/** What wire may know of learning: shapes and layouts, never how a network is trained. */
const LEARNING_SEEN_BY_WIRE = ['core/learning/engine.js', 'core/learning/network.js'];

/** Sources of time that core takes as a Clock. */
const CLOCKS = /\bDate\.now\(|\bnew Date\(\)|\bperformance\.|\bhrtime\b/;
const MACHINE = /\bprocess\.(argv|env)\b/;

const core = sourceFiles('core');
const services = ['broker', 'edge-agent', 'twin-server'].flatMap(sourceFiles);

const folderOf = (path: string): string => /^core\/([^/]+)\//.exec(path)?.[1] ?? '';

function offences(files: readonly SourceFile[], isWrong: (imported: string, file: SourceFile) => boolean): string[] {
  return files.flatMap((file) =>
    file.imports.filter((imported) => isWrong(imported, file)).map((imported) => `${file.path} imports ${imported}`),
  );
}

it('finds the sources', () => {
  expect(core.length).toBeGreaterThan(20);
  expect(core.find(({ path }) => path === 'core/config/load.ts')?.imports).toContain('core/errors.js');
});

it('core’s folders import only what lies below them', () => {
  const wrong = offences(core, (imported, { path }) => {
    const from = folderOf(path);
    const to = folderOf(imported);
    if (to === '' || to === from) return false;
    return !(CORE_LAYERS[from]?.includes(to) ?? false);
  });
  expect(wrong).toEqual([]);
});

it('every folder of core has its place in the layers', () => {
  const folders = new Set(core.map(({ path }) => folderOf(path)).filter((folder) => folder !== ''));
  expect([...folders].filter((folder) => !(folder in CORE_LAYERS))).toEqual([]);
});

it('the wire never reaches learning’s internals', () => {
  const wire = core.filter(({ path }) => path.startsWith('core/wire/'));
  const wrong = offences(
    wire,
    (imported) => folderOf(imported) === 'learning' && !LEARNING_SEEN_BY_WIRE.includes(imported),
  );
  expect(wrong).toEqual([]);
});

it('core takes time from a Clock', () => {
  const impure = core.filter(({ path }) => !path.startsWith('core/training/'));
  expect(impure.filter(({ code }) => CLOCKS.test(code)).map(({ path }) => path)).toEqual([]);
});

it('only each main.ts reads arguments and environment', () => {
  const below = [...core, ...services].filter(({ path }) => !path.endsWith('/main.ts'));
  expect(below.filter(({ code }) => MACHINE.test(code)).map(({ path }) => path)).toEqual([]);
});

it('the page knows of core only what goes over HTTP, and what a tag is', () => {
  const seen = /^@twinwatch\/core\/(wire\/|scada\/tag$)/;
  const wrong = offences(
    sourceFiles('twin-server/dashboard'),
    (imported) => imported.startsWith('@twinwatch/') && !seen.test(imported),
  );
  expect(wrong).toEqual([]);
});
