/**
 * What every npm script goes through: from a bare clone to a running command. Plain JavaScript without dependencies, as it
 * runs before anything is installed. Installs what the lock file asks for, builds what changed, then runs the command:
 *
 *   demo ARGS   `twinwatch demo ARGS`     test ARGS        vitest, without the long suites
 *   run ARGS    `twinwatch ARGS`          test-long ARGS   the long suites
 *   build       nothing more              check            format, lint, types, dead code, generated files
 *   test-acquisition [--long]             how devices are read; --long with a hundred thousand faults on the line
 *   test-federation [--long]              whole federations as processes, over every broker that is installed
 *   test-security [--long]                attempts at each attack of the threat model; --long with more noise for every decoder
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, sep } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const PACKAGES = ['core', 'broker', 'edge-agent', 'twin-server', 'scripts'];
const OLDEST_NODE = [20, 19];

/** Where npm keeps what is installed for this lock file, platform and processor, and what the page was built from. */
const INSTALLED_STAMP = join(ROOT, 'node_modules', '.twinwatch-lock');
const PAGE_STAMP = join(ROOT, 'node_modules', '.twinwatch-page');

const say = (text) => process.stderr.write(`twinwatch: ${text}\n`);

class Failed extends Error {
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return;
  throw new Failed(
    `Node.js ${OLDEST_NODE.join('.')} or newer is needed, this is ${process.versions.node} (${process.execPath}). ` +
      'Install Node 22 or 24 from https://nodejs.org and run the command again.',
  );
}

/** Runs a program in the repository's root with this terminal, resolves with its exit code. Ctrl-C reaches it through the terminal's process group. */
function run(program, args, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: 'inherit', env });
    const wait = () => {};
    const terminate = () => child.kill('SIGTERM');
    process.on('SIGINT', wait);
    process.on('SIGTERM', terminate);
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      process.off('SIGINT', wait);
      process.off('SIGTERM', terminate);
      resolve(signal === null ? code : 128 + ({ SIGINT: 2, SIGTERM: 15, SIGKILL: 9 }[signal] ?? 0));
    });
  });
}

/** A tool that node_modules holds, without npx in between. */
const tool = (path, ...args) =>
  run(process.execPath, [join(ROOT, 'node_modules', path), ...args], developmentEnvironment());

/** NODE_ENV=production would make npm leave out the compiler, and tests run against React's silent build. */
function developmentEnvironment() {
  const env = { ...process.env };
  delete env.NODE_ENV;
  // npm hands .npmrc on to scripts as environment, and then warns of it once more.
  delete env.npm_config_onnxruntime_node_install;
  return env;
}

/** Relative paths of all files below `folder`, sorted; `skip` takes folder and file names. */
function filesBelow(folder, skip) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !skip.includes(entry.name))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? filesBelow(path, skip) : [path];
    })
    .sort();
}

function hashOf(files, ...more) {
  const hash = createHash('sha256');
  for (const text of more) hash.update(`${text}\0`);
  for (const file of files)
    hash
      .update(`${relative(ROOT, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return hash.digest('hex');
}

const stampHolds = (stamp, hash) => existsSync(stamp) && readFileSync(stamp, 'utf8') === hash;

async function install() {
  const wanted = hashOf([join(ROOT, 'package-lock.json')], process.platform, process.arch);
  if (stampHolds(INSTALLED_STAMP, wanted)) return;
  if (!existsSync(INSTALLED_STAMP) && installedByHand()) {
    writeFileSync(INSTALLED_STAMP, wanted);
    return;
  }
  say('installing dependencies with npm ci (once; about a minute, more on a slow line)');
  const started = Date.now();
  const ownNpm = process.env.npm_execpath ?? '';
  const [program, first] = basename(ownNpm) === 'npm-cli.js' ? [process.execPath, [ownNpm]] : ['npm', []];
  const code = await run(program, [...first, 'ci', '--include=dev', '--include=optional'], developmentEnvironment());
  if (code !== 0) {
    throw new Failed(
      'npm ci failed; its message is above. Without a network nothing can be installed: connect, or set a registry ' +
        'that this machine reaches with `npm config set registry URL`, and run the command again.',
      code,
    );
  }
  writeFileSync(INSTALLED_STAMP, wanted);
  say(`dependencies installed in ${seconds(started)}`);
}

/** Whoever ran `npm ci` or `npm install` needs no second one: npm writes down what it installed. */
function installedByHand() {
  const record = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const packagesOf = (file) => Object.entries(JSON.parse(readFileSync(file, 'utf8')).packages);
  const installed = new Map(packagesOf(record));
  return packagesOf(join(ROOT, 'package-lock.json')).every(([path, wanted]) => {
    if (!path.includes('node_modules/') || wanted.link || wanted.optional || wanted.devOptional) return true;
    return installed.get(path)?.version === wanted.version;
  });
}

const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(0)} s`;

/** Tests run from dist: one whose source is gone would go on passing. */
function removeOrphanedOutputs() {
  for (const name of PACKAGES) {
    const dist = join(ROOT, name, 'dist');
    for (const file of filesBelow(dist, ['node_modules'])) {
      const match = /^(.*?)(\.d\.ts|\.js)(\.map)?$/.exec(relative(dist, file));
      if (match === null) continue;
      const source = join(ROOT, name, match[1]);
      if (!existsSync(`${source}.ts`) && !existsSync(`${source}.tsx`)) rmSync(file);
    }
  }
}

async function build() {
  const started = Date.now();
  const first = !existsSync(join(ROOT, 'scripts', 'dist', 'twinwatch.js'));
  if (first) say('compiling (the first time about half a minute)');
  removeOrphanedOutputs();
  const code = await tool('typescript/bin/tsc', '-b');
  if (code !== 0) throw new Failed('the sources do not compile; the messages are above', code);
  await buildPage();
  if (first) say(`built in ${seconds(started)}`);
}

async function buildPage() {
  const folder = join(ROOT, 'twin-server', 'dashboard');
  const sources = [
    ...filesBelow(folder, ['dist', 'node_modules', 'test']),
    ...filesBelow(join(ROOT, 'core', 'wire'), []),
    join(ROOT, 'package-lock.json'),
  ].filter((file) => !file.includes('.test.'));
  const wanted = hashOf(sources);
  if (stampHolds(PAGE_STAMP, wanted) && existsSync(join(folder, 'dist', 'index.html'))) return;
  say('building the page');
  const code = await tool('vite/bin/vite.js', 'build', folder, '--logLevel', 'warn');
  if (code !== 0) throw new Failed('the page does not build; the messages are above', code);
  writeFileSync(PAGE_STAMP, wanted);
}

/** Two commands at once, in two terminals, must not install or compile over each other. */
async function alone(work) {
  const lock = join(tmpdir(), `twinwatch-${createHash('sha256').update(ROOT).digest('hex').slice(0, 16)}.lock`);
  let said = false;
  while (!takeLock(lock)) {
    if (!said) say('another twinwatch command is installing or building here; waiting for it');
    said = true;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function takeLock(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  try {
    const holder = Number(readFileSync(lock, 'utf8'));
    if (holder > 0) process.kill(holder, 0);
    else if (Date.now() - statSync(lock).mtimeMs > 5_000) rmSync(lock, { force: true });
  } catch (error) {
    if (error.code === 'ESRCH') rmSync(lock, { force: true });
    else if (error.code !== 'ENOENT' && error.code !== 'EPERM') throw error;
  }
  return false;
}

/**
 * npm starts a shell that starts this process. A signal to npm alone ends the shell, and nobody tells us: look whether it is
 * still there. Ctrl-C in a terminal reaches all three.
 */
function endWithNpm() {
  if (process.env.npm_lifecycle_event === undefined) return;
  const shell = process.ppid;
  setInterval(() => {
    if (process.ppid !== shell) process.kill(process.pid, 'SIGTERM');
  }, 500).unref();
}

/**
 * npm runs a script in the repository, but a path that a person writes behind `npm run twinwatch --` is one of the folder they
 * stand in. The other scripts bring paths of the repository with them.
 */
function toCallersFolder() {
  const { INIT_CWD: folder, npm_lifecycle_event: script } = process.env;
  if (script === 'twinwatch' && folder !== undefined) process.chdir(folder);
}

/** In this very process: no further layer that a signal or an exit code would have to get through. */
async function twinwatch(args) {
  endWithNpm();
  const entry = join(ROOT, 'scripts', 'dist', 'twinwatch.js');
  process.argv = [process.execPath, entry, ...args];
  await import(pathToFileURL(entry).href);
}

const CHECKS = [
  ['format and lint', () => tool('@biomejs/biome/bin/biome', 'ci', '--error-on-warnings')],
  ['dead code and dependencies', () => tool('knip/bin/knip.js')],
  ['generated files', () => run(process.execPath, [join(ROOT, 'scripts', 'dist', 'generate.js'), '--check'])],
  ['directions between the parts', () => tool('vitest/vitest.mjs', 'run', `scripts${sep}dist${sep}repository`)],
];

async function check() {
  const failed = [];
  for (const [name, work] of CHECKS) {
    say(`checking ${name}`);
    if ((await work()) !== 0) failed.push(name);
  }
  if (failed.length > 0) throw new Failed(`not in order: ${failed.join(', ')}; the messages are above`);
  say('all checks passed');
}

async function test(args) {
  const code = await tool('vitest/vitest.mjs', 'run', ...args);
  if (code !== 0) throw new Failed('tests failed; the messages are above', code);
}

const COMMANDS = {
  demo: (args) => twinwatch(['demo', ...args]),
  run: (args) => {
    toCallersFolder();
    return twinwatch(args);
  },
  build: () => {},
  check,
  test,
  'test-acquisition': (args) => {
    process.env.TWINWATCH_ACQUISITION = '1';
    if (args.includes('--long')) process.env.TWINWATCH_LONG = '1';
    const rest = args.filter((argument) => argument !== '--long');
    const folders = ['sources', 'store', 'isolation', 'reload', 'unattended', 'alarm-outputs'];
    return test([...folders.map((name) => join('edge-agent', 'dist', name)), join('core', 'dist', 'scada'), ...rest]);
  },
  'test-federation': (args) => {
    process.env.TWINWATCH_FEDERATION = '1';
    if (args.includes('--long')) process.env.TWINWATCH_LONG = '1';
    const rest = args.filter((argument) => argument !== '--long');
    return test([join('scripts', 'dist', 'federation-test'), '--passWithNoTests', ...rest]);
  },
  'test-security': (args) => {
    process.env.TWINWATCH_SECURITY = '1';
    if (args.includes('--long')) process.env.TWINWATCH_LONG = '1';
    const rest = args.filter((argument) => argument !== '--long');
    return test([
      join('scripts', 'dist', 'security-test'),
      join('core', 'dist', 'security'),
      join('broker', 'dist', 'tls.test.js'),
      join('broker', 'dist', 'rights.test.js'),
      join('broker', 'dist', 'authentication.test.js'),
      join('twin-server', 'dist', 'api'),
      join('scripts', 'dist', 'experiments', 'adversary.test.js'),
      ...rest,
    ]);
  },
  'test-long': (args) => {
    process.env.TWINWATCH_LONG = '1';
    return test(['--passWithNoTests', ...args]);
  },
};

async function main([name = '', ...args]) {
  requireNode();
  const command = COMMANDS[name];
  if (command === undefined) throw new Failed(`'${name}' is not a command; use ${Object.keys(COMMANDS).join(', ')}`, 2);
  await alone(async () => {
    await install();
    await build();
  });
  await command(args);
}

main(process.argv.slice(2)).catch((error) => {
  say(error instanceof Failed ? error.message : (error.stack ?? String(error)));
  process.exitCode = error.exitCode ?? 1;
});
