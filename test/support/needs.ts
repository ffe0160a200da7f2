import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Callback, Test } from 'uvu';
import {
  bundlersDir,
  bunPath,
  chromiumPath,
  denoPath,
  exportPython,
  type Finished,
  findPython,
  litertJsDir,
  miniflareDir,
  node24Path,
  onnxruntimeDir,
  parallelPath,
  root,
  run,
  tfjsNodeMissing,
  typescript,
  wranglerPath,
} from '../../scripts/lib/project.js';

export { type Finished, root, run, typescript };

/**
 * What some tests need and a machine may lack.
 *
 * | need | it is | made by |
 * |---|---|---|
 * | `python` | a Python with NumPy | `node scripts/python-env.js` |
 * | `keras` | the same Python with Keras and h5py | `node scripts/python-env.js` |
 * | `tfjs-node` | a `@tensorflow/tfjs-node` that loads | `npm run tfjs-node` |
 * | `node20` | the path of a Node.js 20: the one that runs the tests | nothing |
 * | `node24` | the path of a Node.js 24 | `node scripts/node24.js` |
 * | `chromium` | the path of a Chromium | `apt-get install chromium` |
 * | `deno`, `bun` | the path of a Deno, a Bun | `node scripts/runtimes.js deno bun` |
 * | `workerd` | the folder of miniflare | `node scripts/runtimes.js workerd` |
 * | `wrangler` | the path of wrangler | `node scripts/runtimes.js workerd` |
 * | `export` | a Python with ONNX and ONNX Runtime | `node scripts/export-env.js` |
 * | `litert` | the same Python with LiteRT | `node scripts/export-env.js` |
 * | `bundlers` | a folder with Vite, webpack, Rollup and esbuild | `node scripts/runtimes.js bundlers` |
 * | `onnxruntime` | the folder of onnxruntime-node and onnxruntime-web | `node scripts/runtimes.js onnxruntime` |
 * | `parallel` | the path of GNU parallel | `apt-get install parallel` |
 * | `litertjs` | the folder of LiteRT.js | `node scripts/runtimes.js litertjs` |
 * | `shared` | the folder of data sets: `$BITNIBBLE_SHARED`, else `../shared/data` | nothing |
 * | `cases` | the folder of reported models: `$BITNIBBLE_CASES`, else `../shared/cases` | nothing |
 */
export type Need = 'python' | 'keras' | 'litert' | 'tfjs-node' | Folder | Runtime;

/** Folders beside the project, which may be missing in CI as well. */
type Folder = 'shared' | 'cases';

type Runtime =
  | 'node20'
  | 'node24'
  | 'chromium'
  | 'deno'
  | 'bun'
  | 'workerd'
  | 'wrangler'
  | 'bundlers'
  | 'export'
  | 'onnxruntime'
  | 'litertjs'
  | 'parallel';

/** Where each runtime is, and how to get it. */
const RUNTIMES: Readonly<Record<Runtime, readonly [name: string, path: () => string, hint: string]>> = {
  node20: [
    'Node.js 20',
    () => (process.version.startsWith('v20.') ? process.execPath : ''),
    'run the tests with it',
  ],
  node24: ['Node.js 24', node24Path, 'node scripts/node24.js'],
  chromium: ['Chromium', chromiumPath, 'apt-get install chromium, or $BITNIBBLE_CHROMIUM'],
  deno: ['Deno', denoPath, 'node scripts/runtimes.js deno'],
  bun: ['Bun', bunPath, 'node scripts/runtimes.js bun'],
  workerd: ['workerd', miniflareDir, 'node scripts/runtimes.js workerd'],
  wrangler: ['wrangler', wranglerPath, 'node scripts/runtimes.js workerd'],
  onnxruntime: ['onnxruntime-node', onnxruntimeDir, 'node scripts/runtimes.js onnxruntime'],
  litertjs: ['LiteRT.js', litertJsDir, 'node scripts/runtimes.js litertjs'],
  parallel: ['GNU parallel', parallelPath, 'apt-get install parallel, or $BITNIBBLE_PARALLEL'],
  export: ['Python with ONNX Runtime', exportPython, 'node scripts/export-env.js'],
  bundlers: ['set of bundlers', bundlersDir, 'node scripts/runtimes.js bundlers'],
};

/** What is there, for the test to use; `reason` says what is missing. */
type Found = { value: string; reason?: undefined } | { value?: undefined; reason: string };

/** TensorFlow without its remarks about the processor, on any machine the same device. */
const pythonEnv = {
  ...process.env,
  TF_CPP_MIN_LOG_LEVEL: '3',
  CUDA_VISIBLE_DEVICES: '-1',
  KERAS_BACKEND: 'tensorflow',
};

function findModules(python: string, script: string, ...modules: string[]): Found {
  const code = 'import sys, importlib.util as u; print([m for m in sys.argv[1:] if not u.find_spec(m)])';
  const { status, stdout } = spawnSync(python, ['-c', code, ...modules], { encoding: 'utf8' });
  if (status !== 0) return { reason: `${python} does not run (node scripts/${script} makes one)` };
  if (stdout.trim() === '[]') return { value: python };
  return { reason: `${python} lacks ${stdout.trim()} (node scripts/${script} installs them)` };
}

function findFolder(given: string | undefined, usual: string, what: string): Found {
  const folder = path.resolve(root, given || usual);
  return existsSync(folder) ? { value: folder } : { reason: `${what}, ${folder}, is not there` };
}

function find(need: Need): Found {
  switch (need) {
    case 'python':
      return findModules(findPython(), 'python-env.js', 'numpy');
    case 'keras':
      return findModules(findPython(), 'python-env.js', 'numpy', 'keras', 'h5py', 'tensorflow');
    case 'litert':
      return findModules(exportPython(), 'export-env.js', 'numpy', 'ai_edge_litert');
    case 'tfjs-node': {
      const missing = tfjsNodeMissing();
      return missing ? { reason: `${missing} (npm run tfjs-node builds it)` } : { value: 'tfjs-node' };
    }
    case 'shared':
      return findFolder(process.env.BITNIBBLE_SHARED, '../shared/data', 'the folder of data sets');
    case 'cases':
      return findFolder(process.env.BITNIBBLE_CASES, '../shared/cases', 'the folder of reported models');
    default: {
      const [name, where, hint] = RUNTIMES[need];
      return existsSync(where()) ? { value: where() } : { reason: `there is no ${name} (${hint})` };
    }
  }
}

const found = new Map<Need, Found>();

function look(need: Need): Found {
  const known = found.get(need) ?? find(need);
  found.set(need, known);
  return known;
}

/** Whether a test may be skipped in CI for the lack of something. */
const mayLack = (what: Need) =>
  what === 'shared' || what === 'cases' || (process.env.BITNIBBLE_MAY_LACK ?? '').split(',').includes(what);

/**
 * A function that registers tests which need something; the test gets the paths that were found:
 *
 *     const keras = need(test, 'keras', 'shared');
 *     keras('agrees with Keras', async ({ shared }) => ...);
 *
 * Where something is missing the test is skipped, and says so. With `CI=true` it fails instead: there, only the
 * data sets and the reported models may be missing, and what `$BITNIBBLE_MAY_LACK` lists with commas between.
 */
export function need<T, N extends Need>(test: Test<T>, ...needs: N[]) {
  const missing = needs.filter((name) => look(name).reason !== undefined);
  const reasons = missing.map((name) => look(name).reason).join(', and ');
  const paths = Object.fromEntries(needs.map((name) => [name, look(name).value])) as Record<N, string>;
  return (
    name: string,
    body: (found: Record<N, string>, context: Context<T>) => Promise<void> | void,
  ): void => {
    if (missing.length === 0) {
      test(name, (context) => body(paths, context));
    } else if (process.env.CI === 'true' && missing.some((what) => !mayLack(what))) {
      test(name, () => {
        throw new Error(`CI has to run this test, but ${reasons}`);
      });
    } else {
      process.stderr.write(`SKIPPED: "${name}" because ${reasons}\n`);
      test.skip(name, () => {});
    }
  };
}

type Context<T> = Parameters<Callback<T>>[0];

const made: string[] = [];

/** A new folder that is removed when the process ends. */
export function tempDir(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-test-'));
  if (made.length === 0)
    process.on('exit', () => {
      for (const own of made) rmSync(own, { recursive: true, force: true });
    });
  made.push(folder);
  return folder;
}

/** How to start the command line: from its source, or with `BITNIBBLE_DIST=1` as it is published. */
export function cliArguments(): string[] {
  if (process.env.BITNIBBLE_DIST === '1') return [path.join(root, 'dist', 'cli', 'main.js')];
  return ['--import', typescript, path.join(root, 'src', 'cli', 'main.ts')];
}

/** Runs the command line. It never rejects: look at `status`. Colours are off unless `env` says otherwise. */
export function runCli(
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: string; timeout?: number } = {},
): Promise<Finished> {
  const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, ...options.env };
  return run(process.execPath, [...cliArguments(), ...args], { timeout: 300_000, ...options, env });
}

/** Runs Python code, with `args` as `sys.argv[1:]`, and returns what it printed; an exception there is thrown here. */
export async function runPython(code: string, args: string[] = []): Promise<string> {
  const options = { env: pythonEnv, timeout: 600_000 };
  const { status, stdout, stderr } = await run(findPython(), ['-c', code, ...args], options);
  if (status !== 0) throw new Error(`Python ended with status ${status}:\n${stderr.trimEnd()}`);
  return stdout;
}
