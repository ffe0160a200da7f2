#!/usr/bin/env node
// @ts-check
// Makes a clone ready to use: installs the npm packages, builds the WebAssembly module and compiles src/ to dist/.
// Only what is out of date is done again. It compares contents, not times: a git checkout touches every time.
//
//   node scripts/setup.js [install|wasm|dist]     up to and including that step; all of them without one
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fail, hashOf, npm, root, run, timed } from './lib/project.js';

const steps = ['install', 'wasm', 'dist'];
const asked = process.argv[2];
if (asked !== undefined && !steps.includes(asked)) {
  fail(`usage: node scripts/setup.js [${steps.join('|')}]`);
}
if (Number.parseInt(process.versions.node, 10) < 20) {
  fail(`bitnibble needs Node.js 20 or later; this is ${process.version}`);
}

/** @param {string} file */
const at = (file) => path.join(root, file);
/** @param {string} file */
const readJson = (file) => (existsSync(at(file)) ? JSON.parse(readFileSync(at(file), 'utf8')) : undefined);

/** @param {string} name @param {string} content */
function writeStamp(name, content) {
  mkdirSync(path.dirname(at(name)), { recursive: true });
  writeFileSync(at(name), content);
}

/** @param {string} name */
const readStamp = (name) => (existsSync(at(name)) ? readFileSync(at(name), 'utf8') : undefined);

/** @param {string} name */
const installedVersion = (name) => readJson(`node_modules/${name}/package.json`)?.version ?? 'none';

/**
 * Whether node_modules holds what the lock file lists. Optional packages may be absent: npm drops those
 * for other systems, and tfjs-node where its download fails.
 */
function installedMatchesLock() {
  const installed = readJson('node_modules/.package-lock.json')?.packages;
  const locked = readJson('package-lock.json')?.packages;
  if (!installed || !locked) return false;
  return Object.entries(locked).every(([where, { version, optional, devOptional }]) => {
    if (where === '') return true;
    const present = installed[where];
    return present ? present.version === version : Boolean(optional || devOptional);
  });
}

function wantedPackages() {
  const { dependencies, devDependencies, optionalDependencies } = readJson('package.json');
  return JSON.stringify([hashOf(['package-lock.json']), dependencies, devDependencies, optionalDependencies]);
}

async function install() {
  const stamp = 'node_modules/.bitnibble-setup';
  const wanted = wantedPackages();
  const before = readStamp(stamp);
  if (before === wanted && existsSync(at('node_modules/.package-lock.json'))) return false;
  if (before === undefined && installedMatchesLock()) {
    writeStamp(stamp, wanted);
    return false;
  }
  // `npm ci` would delete what is there, with it an add-on that took a while to build.
  const fresh = !existsSync(at('node_modules')) && existsSync(at('package-lock.json'));
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  if (fresh) {
    const ci = await timed('setup: installing npm packages (npm ci)', () => npm(['ci', ...quiet]));
    if (ci.status === 0) {
      writeStamp(stamp, wanted);
      return true;
    }
    process.stdout.write('setup: npm ci failed, trying npm install\n');
  }
  const result = await timed('setup: installing npm packages (npm install)', () =>
    npm(['install', '--no-save', ...quiet]),
  );
  if (result.status !== 0) fail('setup: the npm packages could not be installed', result.output);
  writeStamp(stamp, wanted);
  return true;
}

async function wasm() {
  const stamp = 'build/.setup-wasm';
  const outputs = [
    ...['build/kernels.wasm', 'build/kernels-bench.wasm', 'build/reader.wasm', 'build/linalg.wasm'],
    ...['build/runtime.wasm', 'src/kernels/embedded-runtime.ts'],
    ...['build/runtime-plain.wasm', 'src/kernels/embedded-runtime-plain.ts'],
    ...['src/kernels/embedded.ts', 'src/kernels/embedded-reader.ts', 'src/kernels/embedded-linalg.ts'],
  ];
  const inputs = ['assembly', 'asconfig.json', 'scripts/build-wasm.js'];
  const state = () => `${hashOf(inputs)} ${installedVersion('assemblyscript')} ${hashOf(outputs)}`;
  if (outputs.every((file) => existsSync(at(file))) && readStamp(stamp) === state()) return false;
  const result = await timed('setup: building the WebAssembly modules', () =>
    run(process.execPath, ['scripts/build-wasm.js']),
  );
  if (result.status !== 0) fail('setup: the WebAssembly modules could not be built', result.output);
  for (const file of outputs) if (!existsSync(at(file))) fail(`setup: ${file} was not built`, result.output);
  writeStamp(stamp, state());
  return true;
}

async function dist() {
  const stamp = 'build/.setup-dist';
  const inputs = ['src', 'tsconfig.json', 'tsconfig.build.json', 'scripts/setup.js'];
  const state = () => `${hashOf(inputs)} ${installedVersion('typescript')} ${hashOf(['dist'])}`;
  if (existsSync(at('dist')) && readStamp(stamp) === state()) return false;
  rmSync(at('dist'), { recursive: true, force: true });
  const tsc = at('node_modules/typescript/bin/tsc');
  const result = await timed('setup: compiling src to dist', () =>
    run(process.execPath, [tsc, '--project', 'tsconfig.build.json']),
  );
  if (result.status !== 0) fail('setup: src does not compile', result.output);
  withoutMaps('dist/kernels', /^embedded.*\.js$/);
  writeStamp(stamp, state());
  return true;
}

/** Bytes in a text have no source that anyone would look at. @param {string} folder @param {RegExp} names */
function withoutMaps(folder, names) {
  for (const name of readdirSync(at(folder)).filter((own) => names.test(own))) {
    const file = path.join(at(folder), name);
    writeFileSync(file, readFileSync(file, 'utf8').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'));
    rmSync(`${file}.map`);
  }
}

let worked = false;
for (const [index, step] of [install, wasm, dist].entries()) {
  if (asked !== undefined && index > steps.indexOf(asked)) break;
  worked = (await step()) || worked;
}
if (!worked && asked === undefined) process.stdout.write('setup: everything is up to date\n');
