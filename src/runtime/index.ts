/**
 * Runs a network from packed integers: no TensorFlow.js, one small WebAssembly module, one block of memory.
 * @module bitnibble/runtime
 */
import { BitnibbleError, expected } from '../errors.js';
import type { ModelSource } from '../model.js';
import { readRanges } from '../packed/ranges.js';
import { openPacked } from '../packed/read.js';
import { bodyOf } from '../packed/source.js';
import { takeWhole } from '../packed/whole.js';
import { Crew, crewBytes, MOST_THREADS, PATIENCE, planCrew, type Spawn } from './crew.js';
import { plainDecoder } from './decoder.js';
import { type KernelModule, loadRuntimeKernels } from './kernels.js';
import { RunnableNetwork } from './network.js';
import { fixedShape, type Prepared, prepare } from './prepare.js';
import { Program } from './program.js';
import { Refusal } from './refusal.js';

export { BitnibbleError, type ErrorCode } from '../errors.js';
export type { ModelSource } from '../model.js';
export { whyNotRunnable } from './check.js';
export type { Spawn } from './crew.js';
export type { KernelModule } from './kernels.js';
export {
  type LayerSummary,
  type NetworkArray,
  type NetworkInputs,
  type NetworkPort,
  type NetworkSummary,
  type Outputs,
  RunnableNetwork,
} from './network.js';
export { NotFiniteError } from './product.js';
export type { ThreadStart } from './thread.js';

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
  /**
   * `'sample'` (default): the scale of each tensor of 16-bit integers follows from the values of the sample at hand. `'stored'`: from
   * the largest magnitudes that the packed file holds; what is larger becomes the largest. Tensors that it does not name are measured.
   */
  readonly ranges?: 'sample' | 'stored';
  /**
   * Which tensors {@link RunnableNetwork.largest} tells of: `'integers'` (default), those of which integers are made; `'all'`, those
   * that any layer makes, each of which costs a pass over it where its layer does not look at its values.
   */
  readonly measures?: 'integers' | 'all';
  /** Shapes of inputs by name, without the batch, for inputs some of whose lengths are not fixed. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /**
   * Most bytes of memory that the network may take, and of a file that is downloaded; 1 GiB unless stated, less than 2 GiB. A
   * small file can ask for large images, so set it lower for files that you do not trust.
   */
  readonly memoryLimit?: number;
  /**
   * Threads that run it, this one included: 1 (default) to 64. The results are the same bits. Where memory cannot be shared, in a page
   * that is not isolated for instance, one thread runs it and {@link NetworkSummary.threads} says why.
   */
  readonly threads?: number;
  /** Starts a thread where the host's own door does not know how: see {@link Spawn}. */
  readonly spawn?: Spawn;
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
  const {
    weights = 'decoded',
    backend = 'simd',
    ranges = 'sample',
    measures = 'integers',
    module,
    shapes = {},
    threads = 1,
    memoryLimit = LIMIT,
  } = options;
  if (weights !== 'packed' && weights !== 'decoded')
    throw new TypeError(expected('weights', '"packed" or "decoded"', weights));
  if (ranges !== 'sample' && ranges !== 'stored')
    throw new TypeError(expected('ranges', '"sample" or "stored"', ranges));
  if (measures !== 'integers' && measures !== 'all')
    throw new TypeError(expected('measures', '"integers" or "all"', measures));
  if (!(memoryLimit > 0 && memoryLimit < MOST))
    throw new RangeError(expected('memoryLimit', 'bytes, above 0 and below 2 GiB', memoryLimit));
  if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS)
    throw new RangeError(expected('threads', `an integer from 1 to ${MOST_THREADS}`, threads));
  const crew = planCrew(options);
  const [model, kernels] = await Promise.all([
    openSource(source, options.name ?? 'packed model', memoryLimit),
    loadRuntimeKernels({ backend, ...(module ? { module } : {}), isShared: crew.spawn !== undefined }),
  ]);
  const program = new Program(kernels, memoryLimit, crew.count);
  const place = crew.spawn ? program.allocate(crewBytes(crew.count)) : 0;
  const { network, plan, inputs } = finished(program, model.file, () =>
    prepare(
      model,
      program,
      { weights, measures, ...(ranges === 'stored' ? { ranges: readRanges(model) } : {}) },
      (name, own) => fixedShape(name, own, shapes[name], model.file),
    ),
  );
  if (crew.spawn && kernels.shared)
    program.crew = new Crew(kernels, kernels.shared, crew.count, place, crew.spawn);
  await program.crew?.ready(PATIENCE);
  const outputs = network.outputs.map(({ name }, i) => ({
    ...{ name, shape: plan.outputs[i]?.shape ?? [], dtype: 'float32' as const },
  }));
  return new RunnableNetwork(network.name, program, plan, inputs, outputs, crew);
}

/** A plan whose tensors have their places. What belongs to no layer is refused in the name of the file. */
function finished(program: Program, file: string, prepared: () => Prepared): Prepared {
  try {
    const made = prepared();
    program.finish(made.plan.inputs, made.plan.outputs);
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
