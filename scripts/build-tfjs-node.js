#!/usr/bin/env node
// @ts-check
// Makes @tensorflow/tfjs-node work where its own installation cannot.
//
//   node scripts/build-tfjs-node.js [--force]
//   npm run tfjs-node
//
// Installing @tensorflow/tfjs-node downloads libtensorflow and a prebuilt add-on from a storage bucket. Where the
// bucket is out of reach npm drops the package without a word, since it is optional, and evaluation falls back to
// the slower WebAssembly backend. On Linux this script takes libtensorflow from the TensorFlow wheel of a Python
// environment instead and compiles the add-on against it:
//
//   1. nothing, when tfjs-node already loads and multiplies two matrices (--force does the rest all the same);
//   2. the package's files go into node_modules, as package-lock.json pins them, without running its installer;
//      package.json and package-lock.json stay as they are;
//   3. deps/include and deps/lib in the package become links into the wheel of $BITNIBBLE_PYTHON, else of
//      ~/.cache/bitnibble/venv, which scripts/python-env.js makes when it is not there;
//   4. the add-on is compiled (needs g++, make and Python 3) or taken from ~/.cache/bitnibble/tfjs-node;
//   5. it is loaded and multiplies two matrices. Only then is it kept for the next clone.
//
// It uses Node-API 8, so what one version of Node.js compiled loads in all later ones.
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import {
  addonPath,
  cacheDir,
  fail,
  findPython,
  hashOf,
  npm,
  root,
  run,
  tfjsNodeDir,
  tfjsNodeMissing,
  timed,
} from './lib/project.js';

/** Whether tfjs-node loads and computes; `output` tells why not. Node.js 23 removed functions that it calls. */
async function works() {
  const missing = tfjsNodeMissing();
  if (missing) return { ok: false, output: missing };
  const code = `
    const util = require('node:util');
    util.isNullOrUndefined ??= (value) => value === null || value === undefined;
    util.isArray ??= Array.isArray;
    const tf = require('@tensorflow/tfjs-node');
    const product = tf.matMul(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor2d([[5, 6], [7, 8]]));
    console.log(tf.getBackend(), [...product.dataSync()].join());`;
  const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' };
  const { stdout, output } = await run(process.execPath, ['-e', code], { env, timeout: 120_000 });
  return { ok: stdout.includes('tensorflow 19,22,43,50'), output };
}

/** The folder and version of TensorFlow in the Python environment, found without importing it. */
async function findTensorFlow() {
  const code = `
import glob, importlib.util, os
folder = importlib.util.find_spec('tensorflow').submodule_search_locations[0]
info = sorted(glob.glob(os.path.join(os.path.dirname(folder), 'tensorflow*-*.dist-info')))
names = [os.path.basename(path)[:-len('.dist-info')].split('-') for path in info]
print(folder)
print(next(version for name, version in names if name in ('tensorflow', 'tensorflow_cpu')))`;
  const { status, stdout } = await run(findPython(), ['-c', code]);
  const [folder = '', version = ''] = stdout.trim().split('\n');
  return status === 0 && existsSync(path.join(folder, 'libtensorflow_cc.so.2'))
    ? { folder, version }
    : undefined;
}

async function makePythonEnvironment() {
  if (process.env.BITNIBBLE_PYTHON) fail(`tfjs-node: ${findPython()} ($BITNIBBLE_PYTHON) has no TensorFlow`);
  const made = await run(process.execPath, [path.join(root, 'scripts', 'python-env.js')]);
  process.stdout.write(made.stdout);
  if (made.status !== 0) fail('tfjs-node: no TensorFlow to build against', made.stderr);
}

async function installPackage() {
  const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const result = await timed('tfjs-node: installing the package without its installer', () =>
    npm(['install', ...flags]),
  );
  if (result.status !== 0 || !existsSync(tfjsNodeDir)) fail('tfjs-node: npm install failed', result.output);
}

/** @param {string} tensorflow */
function stage(tensorflow) {
  const deps = path.join(tfjsNodeDir, 'deps');
  rmSync(deps, { recursive: true, force: true });
  mkdirSync(path.join(deps, 'lib'), { recursive: true });
  symlinkSync(path.join(tensorflow, 'include'), path.join(deps, 'include'));
  // The linker asks for the short names, the add-on for those that the libraries call themselves.
  const names = {
    'libtensorflow_cc.so.2': ['libtensorflow.so', 'libtensorflow.so.2', 'libtensorflow_cc.so.2'],
    'libtensorflow_framework.so.2': ['libtensorflow_framework.so', 'libtensorflow_framework.so.2'],
  };
  for (const [library, links] of Object.entries(names)) {
    for (const link of links) symlinkSync(path.join(tensorflow, library), path.join(deps, 'lib', link));
  }
}

async function compile() {
  // Node.js ships its headers beside itself; without this, node-gyp would download them.
  const prefix = path.dirname(path.dirname(process.execPath));
  const headers = existsSync(path.join(prefix, 'include', 'node', 'node_api.h'));
  const env = headers ? { ...process.env, npm_config_nodedir: prefix } : process.env;
  const result = await timed('tfjs-node: compiling the add-on', () =>
    npm(['run', 'build-addon-from-source'], { cwd: tfjsNodeDir, env }),
  );
  rmSync(path.join(tfjsNodeDir, 'build'), { recursive: true, force: true });
  if (result.status !== 0)
    fail('tfjs-node: the add-on does not compile; it needs g++, make and Python 3', result.output);

  // What TensorFlow prints while it loads can only be held back by what loads it.
  renameSync(addonPath(), nativePath());
  const source = path.join(root, 'scripts', 'lib', 'quiet-addon.c');
  const front = await run('cc', ['-shared', '-fPIC', '-O2', '-o', addonPath(), source, '-ldl']);
  if (front.status !== 0) fail('tfjs-node: scripts/lib/quiet-addon.c does not compile', front.output);
}

const nativePath = () => path.join(path.dirname(addonPath()), 'tfjs_binding_native.node');

/** Copies so that an interrupted run leaves the old file or none. @param {string} from @param {string} to */
function copy(from, to) {
  mkdirSync(path.dirname(to), { recursive: true });
  copyFileSync(from, `${to}.${process.pid}`);
  renameSync(`${to}.${process.pid}`, to);
}

async function main() {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    const lines = readFileSync(new URL(import.meta.url), 'utf8')
      .split('\n')
      .slice(2);
    const end = lines.findIndex((line) => !line.startsWith('//'));
    process.stdout.write(
      `${lines
        .slice(0, end)
        .map((line) => line.slice(3))
        .join('\n')}\n`,
    );
    return;
  }
  const force = args.includes('--force');
  if (!force && (await works()).ok) {
    process.stdout.write('tfjs-node: it is installed and works, nothing to do\n');
    return;
  }
  if (process.platform !== 'linux') {
    fail(
      'tfjs-node: this script is for Linux; elsewhere `npm install @tensorflow/tfjs-node` brings a prebuilt add-on',
    );
  }
  if (!existsSync(path.join(root, 'node_modules'))) {
    fail('tfjs-node: run `npm run setup` first');
  }
  if (!(await findTensorFlow())) await makePythonEnvironment();
  const tensorflow = await findTensorFlow();
  if (!tensorflow) fail(`tfjs-node: ${findPython()} has no TensorFlow with libtensorflow_cc.so.2`);
  if (!existsSync(path.join(tfjsNodeDir, 'package.json'))) await installPackage();
  stage(tensorflow.folder);

  const { version } = JSON.parse(readFileSync(path.join(tfjsNodeDir, 'package.json'), 'utf8'));
  const source = hashOf(['scripts/lib/quiet-addon.c']).slice(0, 8);
  const kind = `${version}-tensorflow${tensorflow.version}-${process.platform}-${process.arch}-${source}`;
  const kept = path.join(cacheDir, 'tfjs-node', kind);
  const files = [nativePath(), addonPath()];
  const keptFiles = files.map((file) => path.join(kept, path.basename(file)));
  if (!force && keptFiles.every((file) => existsSync(file))) {
    for (const [index, file] of files.entries()) copy(String(keptFiles[index]), file);
    if ((await works()).ok) {
      process.stdout.write(`tfjs-node: ready, with the add-on of ${kept}\n`);
      return;
    }
  }
  await compile();
  const result = await works();
  if (!result.ok) fail('tfjs-node: the add-on compiled and does not work', result.output);
  for (const [index, file] of files.entries()) copy(file, String(keptFiles[index]));
  process.stdout.write(`tfjs-node: ready, and kept for the next clone in ${kept}\n`);
}

await main();
