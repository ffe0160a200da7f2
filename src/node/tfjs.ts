import util from 'node:util';
import { BitnibbleError } from '../errors.js';
import type { LoadedModule } from '../tensorflow.js';
import type { TensorFlow } from '../tfjs/types.js';

const nativePackage = '@tensorflow/tfjs-node';
const union = '@tensorflow/tfjs';
const wasm = '@tensorflow/tfjs-backend-wasm';

/** The packages of TensorFlow.js that install anywhere. */
export const TENSORFLOW_PACKAGES = `${union} ${wasm}`;

/** What to type where TensorFlow.js is missing: it is an optional peer, so that nobody gets its 286 MB unasked. */
export const INSTALL_TENSORFLOW = `run "npm install ${TENSORFLOW_PACKAGES}", or "npm install ${nativePackage}", which computes faster`;

/** TensorFlow.js, ready to compute. */
export interface LoadedTensorFlow {
  /** The module, typed once `bitnibble/tfjs` or `bitnibble/pipeline` is imported anywhere in the program; until then unknown. */
  tf: LoadedModule;
  /** `tensorflow` (native) or `wasm`. */
  backend: string;
  /** Why it is not the faster backend; absent when it is, or when WebAssembly was asked for. */
  note?: string;
}

/** Which package of TensorFlow.js is taken. */
export interface LoadTensorFlowOptions {
  /** `'node'` (default) tries `@tensorflow/tfjs-node` first; `'wasm'` takes the WebAssembly backend. */
  readonly prefer?: 'node' | 'wasm';
}

/**
 * Loads TensorFlow.js in Node.js: `@tensorflow/tfjs-node` where it works, else `@tensorflow/tfjs` on its WebAssembly
 * backend, which evaluates and cannot train. With `prefer: 'wasm'` tfjs-node is not tried.
 *
 * The two cannot be used in one process: both work on one engine, and the last one loaded sets its backend.
 *
 * @throws BitnibbleError `no-tfjs` when neither is installed.
 */
export async function loadTensorFlow(options: LoadTensorFlowOptions = {}): Promise<LoadedTensorFlow> {
  const { prefer = 'node' } = options;
  const native = prefer === 'node' ? await loadNativeTensorFlow() : '';
  if (typeof native !== 'string') return native;
  let tf: TensorFlow;
  try {
    tf = await loadWasm();
  } catch (error) {
    const reasons = [native, reasonOf(error)].filter(Boolean).join('; ');
    throw new BitnibbleError('no-tfjs', `TensorFlow.js did not load (${reasons}): ${INSTALL_TENSORFLOW}`, {
      cause: error,
    });
  }
  if (prefer === 'wasm') return { tf, backend: 'wasm' };
  const note = `tfjs-node is not available (${native}); evaluating on the slower WebAssembly backend`;
  return { tf, backend: 'wasm', note };
}

/**
 * Whether a package of TensorFlow.js can be found. Nothing is loaded: a package that is there may still fail to load.
 *
 * @param prefer as in {@link LoadTensorFlowOptions}
 */
export function hasTensorFlow(prefer: 'node' | 'wasm' = 'node'): boolean {
  return (prefer === 'node' && isInstalled(nativePackage)) || [union, wasm].every(isInstalled);
}

/** Whether `@tensorflow/tfjs-node` can be found. */
export const hasNativeTensorFlow = (): boolean => isInstalled(nativePackage);

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** `@tensorflow/tfjs-node`, or why it does not work. */
export async function loadNativeTensorFlow(): Promise<LoadedTensorFlow | string> {
  try {
    return { tf: await loadNative(), backend: 'tensorflow' };
  } catch (error) {
    return reasonOf(error);
  }
}

async function loadNative(): Promise<TensorFlow> {
  restoreUtil();
  // libtensorflow reads this once, when it is loaded; 1 leaves out its remarks about the processor.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '1';
  const tf = await importPackage(nativePackage);
  await tf.ready();
  return tf;
}

async function loadWasm(): Promise<TensorFlow> {
  const tf = await importPackage(union);
  await importPackage(wasm);
  const restore = keepErrorHandlers();
  try {
    if (!(await tf.setBackend('wasm'))) throw new Error('the WebAssembly backend does not start');
  } finally {
    restore();
  }
  return tf;
}

/**
 * The WebAssembly backend installs process-wide handlers that rethrow every uncaught error from a line of
 * minified code, 40 kB of which Node.js then prints. The function returned takes them out again.
 */
function keepErrorHandlers(): () => void {
  const events = ['uncaughtException', 'unhandledRejection'];
  const before = events.map((event) => new Set(process.listeners(event as 'exit')));
  return () => {
    for (const [index, event] of events.entries()) {
      for (const listener of process.listeners(event as 'exit')) {
        const rethrows = /\bthrow \w+[;}\s]+$/.test(String(listener));
        if (rethrows && !before[index]?.has(listener)) process.removeListener(event, listener);
      }
    }
  };
}

/** tfjs-node 4.22 calls functions that Node.js 23 removed from `util` (tensorflow/tfjs #8425). */
function restoreUtil(): void {
  const target = util as unknown as Record<string, unknown>;
  target.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  target.isArray ??= Array.isArray;
}

/** Each package is an optional peer, so its name is data: neither a compiler nor a bundler may insist on finding it. */
async function importPackage(name: string): Promise<TensorFlow> {
  const module: TensorFlow & { readonly default?: TensorFlow } = await import(name);
  // A CommonJS module's exports are its default export; not all of them are found by name.
  return module.default ?? module;
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const line =
    message
      .trim()
      .split('\n', 1)[0]
      ?.replace(/\.?\s*$/, '') ?? '';
  const missing = code === 'ERR_MODULE_NOT_FOUND' ? /^Cannot find package '([^']+)'/.exec(line) : null;
  return missing ? `${missing[1]} is not installed` : line;
}
