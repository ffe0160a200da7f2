/**
 * Runs a network from packed integers: no TensorFlow.js, one small WebAssembly module, one block of memory.
 * @module
 */
import { BitnibbleError, expected } from '../errors.js';
import type { ModelSource } from '../model.js';
import { openNetwork, type ValueType } from '../network/index.js';
import { openPacked } from '../packed/read.js';
import { bodyOf } from '../packed/source.js';
import { takeWhole } from '../packed/whole.js';
import { plainDecoder } from './decoder.js';
import { type KernelModule, loadRuntimeKernels } from './kernels.js';
import { RunnableNetwork } from './network.js';
import { type Plan, planNetwork } from './plan.js';
import { Program } from './program.js';
import { Refusal } from './refusal.js';

export { BitnibbleError, type ErrorCode } from '../errors.js';
export type { ModelSource } from '../model.js';
export type { KernelModule, Kernels } from './kernels.js';
export { type NetworkArray, type NetworkPort, type NetworkSummary, RunnableNetwork } from './network.js';

/** How a network is made ready to run. */
export interface LoadNetworkOptions {
  /** `bitnibble/runtime.wasm`, compiled elsewhere, for hosts that refuse to compile bytes. */
  readonly module?: KernelModule;
  /** `'simd'` (default) or `'reference'`: the same bits without WebAssembly, many times slower. */
  readonly backend?: 'simd' | 'reference';
  /**
   * `'decoded'` (default): levels of all weights once, 2 bytes each, 3.6 for 3 x 3 kernels. `'packed'`: the bytes of the file are all that is
   * kept, and each call decodes them.
   */
  readonly weights?: 'packed' | 'decoded';
  /** Shapes of inputs by name, without the batch, for inputs some of whose lengths are not fixed. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /**
   * Most bytes of memory that the network may take, and of a file that is downloaded; 1 GiB unless stated, less than 2 GiB. A
   * small file can ask for large images, so set it lower for files that you do not trust.
   */
  readonly memoryLimit?: number;
  /** Names the model in errors. */
  readonly name?: string;
}

const LIMIT = 2 ** 30;
/** Addresses are 32-bit integers. */
const MOST = 2 ** 31;

/** What a network is loaded from: a packed file's bytes, a response, a blob, or an open model. */
export type NetworkSource = Uint8Array | ArrayBuffer | Response | Blob | ModelSource;

/**
 * Makes a network ready to run.
 *
 *     const network = await loadNetwork(await fetch('/model.safetensors'));
 *     const scores = network.run(pixels);
 *
 * @throws BitnibbleError `unsupported-layer` naming what cannot be run and why, what opening a packed file throws,
 *   `missing-weight` and `shape-mismatch` where weights are not those of the architecture, `too-large` beyond `memoryLimit`,
 *   `no-simd`, `no-compile`, `bad-module`; TypeError and RangeError for wrong options
 */
export async function loadNetwork(
  source: NetworkSource,
  options: LoadNetworkOptions = {},
): Promise<RunnableNetwork> {
  const { weights = 'decoded', backend = 'simd', module, shapes = {}, memoryLimit = LIMIT } = options;
  if (weights !== 'packed' && weights !== 'decoded')
    throw new TypeError(expected('weights', '"packed" or "decoded"', weights));
  if (!(memoryLimit > 0 && memoryLimit < MOST))
    throw new RangeError(expected('memoryLimit', 'bytes, above 0 and below 2 GiB', memoryLimit));
  const [model, kernels] = await Promise.all([
    openSource(source, options.name ?? 'packed model', memoryLimit),
    loadRuntimeKernels({ backend, ...(module ? { module } : {}) }),
  ]);
  const { network, source: own } = openNetwork(model);
  const inputs = network.inputs.map(({ name, value }) => {
    const { shape, dtype } = network.values[value] as {
      shape?: readonly (number | null)[];
      dtype: ValueType;
    };
    return { name, dtype, shape: fixedShape(name, shape?.slice(1), shapes[name], model.file) };
  });
  const program = new Program(kernels, memoryLimit);
  const plan = finished(program, model.file, () =>
    planNetwork(
      program,
      network,
      own,
      inputs.map(({ shape }) => shape),
      { weights },
    ),
  );
  const outputs = network.outputs.map(({ name }, i) => ({
    ...{ name, shape: plan.outputs[i]?.shape ?? [], dtype: 'float32' as const },
  }));
  return new RunnableNetwork(network.name, program, plan, inputs, outputs);
}

/** A plan whose tensors have their places. What belongs to no layer is refused in the name of the file. */
function finished(program: Program, file: string, plan: () => Plan): Plan {
  try {
    const made = plan();
    program.finish(made.inputs, made.outputs);
    return made;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new BitnibbleError(error.code, `${file}: the runtime cannot run the network: ${error.reason}`, {
      cause: error,
    });
  }
}

async function openSource(source: NetworkSource, name: string, limit: number): Promise<ModelSource> {
  if (typeof source === 'object' && source !== null && 'weights' in source && 'read' in source) return source;
  const bytes = await bytesOf(source as Exclude<NetworkSource, ModelSource>, name, limit);
  return openPacked(bytes, plainDecoder, name);
}

async function bytesOf(
  source: Uint8Array | ArrayBuffer | Response | Blob,
  name: string,
  limit: number,
): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (typeof source !== 'object' || source === null || !('arrayBuffer' in source))
    throw new TypeError(expected('source', 'bytes, a Response, a Blob or a model', typeof source));
  if (!('ok' in source)) return takeWhole(source.stream(), name, { limit });
  return takeWhole(bodyOf(source, name).stream, name, { limit });
}

function fixedShape(
  name: string,
  own: readonly (number | null)[] | undefined,
  given: readonly number[] | undefined,
  file: string,
): readonly number[] {
  const shape = given ?? own;
  const isFixed = shape?.every((n) => Number.isSafeInteger(n) && Number(n) > 0);
  if (!shape || !isFixed) {
    const what = `a shape with fixed lengths in the option shapes`;
    throw new RangeError(expected(name, what, `[${(shape ?? []).map((n) => n ?? '?')}]`, file));
  }
  const fits =
    own === undefined || (own.length === shape.length && own.every((n, i) => n === null || n === shape[i]));
  if (!fits)
    throw new RangeError(expected(name, `shape [${own?.map((n) => n ?? 'any')}]`, `[${shape}]`, file));
  return shape as readonly number[];
}
