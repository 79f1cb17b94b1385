import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, realpath, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';

const BOOTSTRAP = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'bootstrap.mjs');

/** Stands where npm, tsc, vite and vitest are looked for: says that it ran, and with what. */
const recorder = (name: string, more = '') => `
  const { appendFileSync, mkdirSync, writeFileSync } = require('node:fs');
  appendFileSync('calls', ['${name}', ...process.argv.slice(2), process.env.NODE_ENV ?? 'unset'].join(' ') + '\\n');
  ${more}`;

const LOCK = {
  packages: { '': {}, 'node_modules/left': { version: '1.0.0' }, 'node_modules/maybe': { optional: true } },
};

interface Ran {
  readonly code: number;
  readonly output: string;
  readonly calls: readonly string[];
}

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bootstrap-'));
  await put('package.json', '{}');
  await put('package-lock.json', JSON.stringify(LOCK));
  await put('twin-server/dashboard/main.tsx', 'one');
  await put('core/errors.ts', '');
  await put('core/dist/errors.js', '');
  await put('core/dist/gone.test.js', '');
  await put('core/dist/gone.test.d.ts', '');
  await put('scripts/twinwatch.ts', '');
  await put('scripts/dist/twinwatch.js', 'console.log(process.argv.slice(2).join(" ")); process.exitCode = 7;');
  const install = "mkdirSync('node_modules', { recursive: true });";
  await put('npm-cli.js', recorder('npm', install));
  await put('node_modules/typescript/bin/tsc', recorder('tsc'));
  const page =
    "mkdirSync('twin-server/dashboard/dist', { recursive: true }); writeFileSync('twin-server/dashboard/dist/index.html', '');";
  await put('node_modules/vite/bin/vite.js', recorder('vite', page));
  await put(
    'node_modules/vitest/vitest.mjs',
    `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);${recorder('vitest', 'process.exitCode = 3;')}`,
  );
  await mkdir(join(root, 'scripts'), { recursive: true });
  await cp(BOOTSTRAP, join(root, 'scripts/bootstrap.mjs'));
});

afterEach(() => rm(root, { recursive: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

function bootstrap(...args: string[]): Promise<Ran> {
  return bootstrapBy({}, ...args);
}

/** @param npm what it says to a script in its environment. */
function bootstrapBy(npm: Readonly<Record<string, string>>, ...args: string[]): Promise<Ran> {
  const env = { ...process.env, ...npm, NODE_ENV: 'production', npm_execpath: join(root, 'npm-cli.js') };
  return new Promise((resolve) => {
    execFile(process.execPath, ['scripts/bootstrap.mjs', ...args], { cwd: root, env }, (error, stdout, stderr) => {
      void readFile(join(root, 'calls'), 'utf8')
        .catch(() => '')
        .then(async (calls) => {
          await rm(join(root, 'calls'), { force: true });
          const names = calls.split('\n').filter((line) => line !== '');
          resolve({ code: Number(error?.code ?? 0), output: stdout + stderr, calls: names });
        });
    });
  });
}

const VITE = /^vite build .*dashboard --logLevel warn unset$/;

it('installs, builds and runs from nothing, and then only runs', async () => {
  const first = await bootstrap('demo', '--sites', '5');
  expect(first.calls).toEqual([
    'npm ci --include=dev --include=optional unset',
    'tsc -b unset',
    expect.stringMatching(VITE),
  ]);
  expect(first.output).toMatch(/installing dependencies.*dependencies installed in \d+ s.*building the page/s);
  expect(first.output).toMatch(/^demo --sites 5$/m);
  expect(first.code).toBe(7);
  const second = await bootstrap('run', 'agent', '--help');
  expect(second.calls).toEqual(['tsc -b unset']);
  expect(second.output).toBe('agent --help\n');
});

it('installs again when the lock file changes, and builds the page again when its sources do', async () => {
  await bootstrap('build');
  await put('package-lock.json', JSON.stringify({ ...LOCK, changed: true }));
  expect((await bootstrap('build')).calls).toHaveLength(3);
  await put('twin-server/dashboard/main.tsx', 'two');
  expect((await bootstrap('build')).calls).toEqual(['tsc -b unset', expect.stringMatching(VITE)]);
});

it('believes an installation that npm itself recorded', async () => {
  await put(
    'node_modules/.package-lock.json',
    JSON.stringify({ packages: { 'node_modules/left': { version: '1.0.0' } } }),
  );
  expect((await bootstrap('build')).calls).not.toContainEqual(expect.stringMatching(/^npm/));
});

it('takes compiled files away whose source is gone', async () => {
  await bootstrap('build');
  await expect(readFile(join(root, 'core/dist/gone.test.js'))).rejects.toThrow('ENOENT');
  await expect(readFile(join(root, 'core/dist/gone.test.d.ts'))).rejects.toThrow('ENOENT');
  await readFile(join(root, 'core/dist/errors.js'));
});

it('takes paths behind `npm run twinwatch` from the folder that was the person’s, and those of other scripts from the repository', async () => {
  await put('scripts/dist/twinwatch.js', 'console.log(`in ${process.cwd()}`);');
  const elsewhere = await realpath(await mkdtemp(join(tmpdir(), 'elsewhere-')));
  const folderOf = async (script: string) => {
    const npm = { INIT_CWD: elsewhere, npm_lifecycle_event: script };
    return /^in (.*)$/m.exec((await bootstrapBy(npm, 'run', 'agent')).output)?.[1];
  };
  expect(await folderOf('twinwatch')).toBe(elsewhere);
  expect(await folderOf('bench')).toBe(await realpath(root));
  await rm(elsewhere, { recursive: true });
});

it('ends with the exit code of the tests', async () => {
  const { code, calls } = await bootstrap('test', 'core/dist');
  expect(calls.at(-1)).toBe('vitest run core/dist unset');
  expect(code).toBe(3);
});

it('stops where npm ci fails, and says what to do', async () => {
  await put('npm-cli.js', 'process.exitCode = 1;');
  const { code, output, calls } = await bootstrap('demo');
  expect(code).toBe(1);
  expect(output).toMatch(/npm ci failed.*Without a network nothing can be installed/s);
  expect(calls).toEqual([]);
});

it('names its commands when it does not know one', async () => {
  expect(await bootstrap('deploy')).toMatchObject({
    code: 2,
    calls: [],
    output: expect.stringMatching(/demo, run, build/),
  });
});

it('takes over the lock of a run that was killed', async () => {
  await bootstrap('build');
  const lock = join(tmpdir(), `twinwatch-${createHash('sha256').update(root).digest('hex').slice(0, 16)}.lock`);
  await writeFile(lock, '');
  await utimes(lock, 0, 0);
  expect((await bootstrap('build')).code).toBe(0);
});
