// @ts-check
// What the scripts and the test helpers share: where things are, and how to run a command.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The project's own folder. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** What is expensive to make and does not depend on the clone: the Python environment, Node 24, the tfjs-node add-on. */
export const cacheDir = process.env.BITNIBBLE_CACHE || path.join(homedir(), '.cache', 'bitnibble');

/** For `node --import`: what lets a process import TypeScript. */
export const typescript = new URL('./typescript.js', import.meta.url).href;

const windows = process.platform === 'win32';

/** @param {string} venv */
export const pythonOf = (venv) => path.join(venv, windows ? 'Scripts/python.exe' : 'bin/python');

export const venvDir = path.join(cacheDir, 'venv');

/** The Python environment that exported models are run in. */
export const exportDir = path.join(cacheDir, 'export');

/** The Python environment of other converters and quantizers, which benches measure beside ours. */
export const peersDir = path.join(cacheDir, 'peers');

/** The Python that exported models are checked and run with: $BITNIBBLE_EXPORT_PYTHON, else the project's, there or not. */
export const exportPython = () => process.env.BITNIBBLE_EXPORT_PYTHON || pythonOf(exportDir);

/** The Python to use: $BITNIBBLE_PYTHON, else the project's environment, else whatever is on the PATH. */
export function findPython() {
  if (process.env.BITNIBBLE_PYTHON) return process.env.BITNIBBLE_PYTHON;
  const own = pythonOf(venvDir);
  return existsSync(own) ? own : windows ? 'python' : 'python3';
}

export const node24Version = '24.21.0';

/** The Node.js 24 to test with, whether it is there or not. */
export function node24Path() {
  if (process.env.BITNIBBLE_NODE24) return process.env.BITNIBBLE_NODE24;
  if (process.versions.node.startsWith('24.')) return process.execPath;
  const os = windows ? 'win' : process.platform;
  const folder = path.join(cacheDir, 'node24', 'node_modules', `node-${os}-${process.arch}`, 'bin');
  return path.join(folder, windows ? 'node.exe' : 'node');
}

/** @param {string} name */
const runtimeDir = (name) => path.join(cacheDir, 'runtimes', name);

/** @param {string} name of a package's own file @param {string} file */
const inRuntime = (name, file) => path.join(runtimeDir(name), 'node_modules', ...file.split('/'));

const denoPackage = `@deno/${process.platform}-${process.arch}${process.platform === 'linux' ? '-glibc' : ''}`;
const bunPackage = `@oven/bun-${windows ? 'windows' : process.platform}-${process.arch === 'arm64' ? 'aarch64' : 'x64'}`;

/** The runtimes to test with, whether they are there or not. */
export const denoPath = () =>
  process.env.BITNIBBLE_DENO || inRuntime('deno', `${denoPackage}/${windows ? 'deno.exe' : 'deno'}`);
export const bunPath = () =>
  process.env.BITNIBBLE_BUN || inRuntime('bun', `${bunPackage}/bin/${windows ? 'bun.exe' : 'bun'}`);
export const miniflareDir = () => inRuntime('workerd', 'miniflare');
/** Runs on Node.js 22 or later. */
export const wranglerPath = () => inRuntime('workerd', 'wrangler/bin/wrangler.js');
export const bundlersDir = () => runtimeDir('bundlers');
/** The folder that onnxruntime-node and onnxruntime-web are in. */
export const onnxruntimeDir = () => path.join(runtimeDir('onnxruntime'), 'node_modules');

/** The folder that LiteRT.js is in. */
export const litertJsDir = () => path.join(runtimeDir('litertjs'), 'node_modules', '@litertjs');

export function chromiumPath() {
  const known = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  return process.env.BITNIBBLE_CHROMIUM || (known.find((file) => existsSync(file)) ?? '/usr/bin/chromium');
}

/** Where GNU parallel is; moreutils has another program of that name. */
export function parallelPath() {
  const file = process.env.BITNIBBLE_PARALLEL || '/usr/bin/parallel';
  const { stdout } = spawnSync(file, ['--version'], { encoding: 'utf8' });
  return stdout?.startsWith('GNU parallel') ? file : '';
}

/**
 * What scripts/runtimes.js fetches: packages with their versions, where to, and commands that end with status 0 where they work.
 * @type {Readonly<Record<string, { folder: string, packages: string[], versionOf: string[][] }>>}
 */
export const runtimes = {
  deno: {
    folder: runtimeDir('deno'),
    packages: [`${denoPackage}@2.9.6`],
    versionOf: [[denoPath(), '--version']],
  },
  bun: {
    folder: runtimeDir('bun'),
    packages: [`${bunPackage}@1.4.5`],
    versionOf: [[bunPath(), '--version']],
  },
  workerd: {
    folder: runtimeDir('workerd'),
    packages: ['miniflare@4.20260730.0', 'wrangler@4.116.0'],
    versionOf: [[process.execPath, inRuntime('workerd', 'workerd/bin/workerd'), '--version']],
  },
  onnxruntime: {
    folder: runtimeDir('onnxruntime'),
    packages: ['onnxruntime-node@1.30.0', 'onnxruntime-web@1.30.0'],
    versionOf: [
      [process.execPath, '-e', `require(${JSON.stringify(path.join(onnxruntimeDir(), 'onnxruntime-node'))})`],
    ],
  },
  litertjs: {
    folder: runtimeDir('litertjs'),
    packages: ['@litertjs/core@2.5.3'],
    versionOf: [
      [
        process.execPath,
        '--input-type=module',
        '-e',
        `await import(${JSON.stringify(pathToFileURL(path.join(litertJsDir(), 'core/dist/index.js')).href)})`,
      ],
    ],
  },
  bundlers: {
    folder: runtimeDir('bundlers'),
    packages: [
      ...['vite@8.3.8', 'webpack@5.112.2', 'webpack-cli@7.3.1', 'esbuild@0.28.2'],
      ...['rollup@4.68.8', '@rollup/plugin-node-resolve@16.0.3'],
    ],
    versionOf: [
      'vite/bin/vite.js',
      'webpack-cli/bin/cli.js',
      'rollup/dist/bin/rollup',
      'esbuild/bin/esbuild',
    ].map((file) => [process.execPath, inRuntime('bundlers', file), '--version']),
  },
};

/** The native half of tfjs-node inside a project's node_modules. */
export const tfjsNodeDir = path.join(root, 'node_modules', '@tensorflow', 'tfjs-node');

/** Why the installed tfjs-node cannot load, or undefined when all of its parts are there. */
export function tfjsNodeMissing() {
  if (!existsSync(path.join(tfjsNodeDir, 'package.json'))) return '@tensorflow/tfjs-node is not installed';
  if (!existsSync(addonPath())) return 'the native add-on of @tensorflow/tfjs-node is not built';
  const library = { win32: 'tensorflow.dll', darwin: 'libtensorflow.2.dylib' }[String(process.platform)];
  const wanted = windows ? path.dirname(addonPath()) : path.join(tfjsNodeDir, 'deps', 'lib');
  if (!existsSync(path.join(wanted, library ?? 'libtensorflow.so.2'))) return 'libtensorflow is not there';
  return undefined;
}

/** tfjs-node is built for Node-API 8, which every Node.js from 20 on loads. */
export const addonPath = () => path.join(tfjsNodeDir, 'lib', 'napi-v8', 'tfjs_binding.node');

/** Every file below a folder, sorted, as paths relative to it. @param {string} dir @returns {string[]} */
export function walk(dir) {
  if (!existsSync(dir)) return [];
  const found = [];
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) found.push(...walk(path.join(dir, entry.name)).map((f) => `${entry.name}/${f}`));
    else found.push(entry.name);
  }
  return found.sort();
}

/** One hash over the names and bytes of files and folders; what is absent counts as absent. @param {string[]} paths */
export function hashOf(paths) {
  const hash = createHash('sha256');
  for (const given of paths) {
    const full = path.resolve(root, given);
    const isFolder = existsSync(full) && statSync(full).isDirectory();
    for (const file of isFolder ? walk(full).map((f) => path.join(full, f)) : [full]) {
      const bytes = existsSync(file) ? readFileSync(file) : undefined;
      hash.update(`${path.relative(root, file)}\0${bytes ? bytes.length : 'absent'}\0`);
      if (bytes) hash.update(bytes);
    }
  }
  return hash.digest('hex');
}

/**
 * @typedef {{ status: number, stdout: string, stderr: string, output: string }} Finished
 * @typedef {{ cwd?: string, env?: NodeJS.ProcessEnv, timeout?: number, input?: string }} RunOptions
 */

/**
 * Runs a command to its end; `output` is stdout and stderr as they came. It never rejects: a command that
 * cannot start has status 127, one that was killed 128 or more.
 * @param {string} command @param {string[]} args @param {RunOptions} [options] @returns {Promise<Finished>}
 */
export function run(command, args, { cwd = root, env = process.env, timeout, input } = {}) {
  return new Promise((resolve) => {
    let stdout = '';
    let stderr = '';
    let output = '';
    let late = false;
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const timer = timeout === undefined ? undefined : setTimeout(stop, timeout);
    function stop() {
      late = true;
      child.kill('SIGKILL');
    }
    child.stdout?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      stdout += text;
      output += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      stderr += text;
      output += text;
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({
        status: 127,
        stdout,
        stderr: `${stderr}${error.message}\n`,
        output: `${output}${error.message}\n`,
      });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (late) output += `\nstopped after ${(timeout ?? 0) / 1000} s\n`;
      resolve({ status: code ?? 128, stdout, stderr, output });
    });
    if (input !== undefined) child.stdin?.on('error', () => {}).end(input);
  });
}

/** Runs npm, the one that started this script where there is one. @param {string[]} args @param {RunOptions} [options] */
export function npm(args, options) {
  const own = process.env.npm_execpath;
  if (own?.endsWith('npm-cli.js')) return run(process.execPath, [own, ...args], options);
  return windows ? run('cmd.exe', ['/d', '/c', 'npm', ...args], options) : run('npm', args, options);
}

/** Prints what is wrong and ends with status 1. @param {string} message @param {string} [output] @returns {never} */
export function fail(message, output) {
  if (output) process.stderr.write(`${output.trimEnd()}\n`);
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

/** Runs `work` and prints one line with the time that it took. @template T @param {string} title @param {() => Promise<T>} work */
export async function timed(title, work) {
  const start = performance.now();
  if (process.stdout.isTTY) process.stdout.write(`${title} ...`);
  const result = await work();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`${process.stdout.isTTY ? '\r' : ''}${title} ... ${seconds} s\n`);
  return result;
}

/**
 * Runs `work` while no other process of this project runs under the same name; what a dead process held is free.
 * @template T @param {string} name @param {() => Promise<T>} work @returns {Promise<T>}
 */
export async function alone(name, work) {
  const file = path.join(root, 'build', `.lock-${name}`);
  mkdirSync(path.dirname(file), { recursive: true });
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    }
    const holder = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (holder !== '' && !isAlive(Number(holder))) rmSync(file, { force: true });
    else await new Promise((resolve) => setTimeout(resolve, 100));
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
