import { BitnibbleError, expected } from '../errors.js';
import type { KernelModule } from '../kernels/instance.js';
import type { ModelSource } from '../model.js';
import { openQuick, takeQuick } from '../packed/quick.js';
import type { OpenShard } from '../packed/shards/beside.js';
import type { CrewPlan, Spawn } from './crew.js';
import { plainDecoder } from './decoder.js';
import type { Later } from './later.js';
import { RunnableNetwork } from './network.js';
import { MOST_THREADS } from './options.js';
import { fixedShape, type Host, type Prepared, prepare } from './prepare.js';
import { Program } from './program.js';
import { Refusal } from './refusal.js';

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
  /**
   * Gives a shard by its name, for a model in shards; by default it is fetched from beside its index, which then has to be a
   * response to `fetch`.
   */
  readonly openShard?: OpenShard;
}

const LIMIT = 2 ** 30;
/** Addresses are 32-bit integers. */
const MOST = 2 ** 31;

/** What a network is loaded from: a packed file, or the index of its shards, as bytes, a response or a blob; or an open model. */
export type NetworkSource = Uint8Array | ArrayBuffer | Response | Blob | ModelSource;

/** The same, or what is still on its way. */
export type ComingSource = NetworkSource | PromiseLike<NetworkSource>;

const nothing = () => undefined;

/** A source as a promise. One that is rejected counts as handled: where options are refused first, nobody waits for it. */
export function settled(source: ComingSource): Promise<NetworkSource> {
  const coming = Promise.resolve(source);
  coming.catch(nothing);
  return coming;
}

/** Makes a network ready to run. @param later loads what most networks do without */
export async function loadWith(
  later: Later,
  source: ComingSource,
  options: LoadNetworkOptions,
): Promise<RunnableNetwork> {
  const coming = settled(source);
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
  for (const [option, value, first, second] of [
    ['weights', weights, 'packed', 'decoded'],
    ['ranges', ranges, 'sample', 'stored'],
    ['measures', measures, 'integers', 'all'],
  ] as const)
    if (value !== first && value !== second)
      throw new TypeError(expected(option, `"${first}" or "${second}"`, value));
  if (!(memoryLimit > 0 && memoryLimit < MOST))
    throw new RangeError(expected('memoryLimit', 'bytes, above 0 and below 2 GiB', memoryLimit));
  if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS)
    throw new RangeError(expected('threads', `an integer from 1 to ${MOST_THREADS}`, threads));
  const crews = threads > 1 ? await later.threads() : undefined;
  let crew: CrewPlan = crews?.planCrew(options) ?? { count: 1 };
  const kernelsOf = (kernels: 'plain' | 'all') =>
    later.kernels({
      ...{ backend, isShared: crew.spawn !== undefined, isPlain: kernels === 'plain' },
      ...(module ? { module } : {}),
    });
  // Most networks are plain: their kernels come while the file does.
  const [model, plain] = await Promise.all([
    openSource(later, coming, options, memoryLimit),
    kernelsOf('plain'),
  ]);
  const stored = ranges === 'stored' ? await later.ranges(model) : undefined;
  let place = 0;
  const host: Host = {
    kernelsOf: async (needed) => (needed === 'plain' || plain.hasAll ? plain : kernelsOf('all')),
    programOf(kernels) {
      const program = new Program(kernels, memoryLimit, crew.count, crews?.SHARING);
      if (crews && crew.spawn) place = program.allocate(crews.crewBytes(crew.count));
      return program;
    },
  };
  const { network, program, plan, inputs } = await finished(model.file, () =>
    prepare(later, model, host, { weights, measures, ...(stored ? { ranges: stored } : {}) }, (name, own) =>
      fixedShape(name, own, shapes[name], model.file),
    ),
  );
  const { kernels } = program;
  if (crews && crew.spawn && kernels.shared) {
    program.crew = new crews.Crew(kernels, kernels.shared, crew.count, place, crew.spawn);
    crew = await program.crew.started(crew);
  }
  const outputs = network.outputs.map(({ name }, i) => ({
    ...{ name, shape: plan.outputs[i]?.shape ?? [], dtype: 'float32' as const },
  }));
  return new RunnableNetwork(network.name, program, plan, inputs, outputs, crew);
}

/** A plan whose tensors have their places. What belongs to no layer is refused in the name of the file. */
async function finished(file: string, prepared: () => Promise<Prepared>): Promise<Prepared> {
  try {
    const made = await prepared();
    made.program.finish(made.plan.inputs, made.plan.outputs);
    return made;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new BitnibbleError(error.code, `${file}: the runtime cannot run the network: ${error.reason}`, {
      cause: error,
    });
  }
}

async function openSource(
  later: Later,
  coming: Promise<NetworkSource>,
  { name = 'packed model', openShard }: LoadNetworkOptions,
  limit: number,
): Promise<ModelSource> {
  const source = await coming;
  if (typeof source === 'object' && source !== null && 'weights' in source && 'read' in source) return source;
  const given = source as Exclude<NetworkSource, ModelSource>;
  const isBytes = given instanceof Uint8Array || given instanceof ArrayBuffer;
  if (!isBytes && (typeof given !== 'object' || given === null || !('arrayBuffer' in given)))
    throw new TypeError(expected('source', 'bytes, a Response, a Blob or a model', typeof given));
  const { bytes, plan } = isBytes
    ? { bytes: given instanceof Uint8Array ? given : new Uint8Array(given), plan: undefined }
    : await downloaded(later, given, name, limit, openShard);
  return openQuick(bytes, plainDecoder, name, plan) ?? later.packed(bytes, name, limit, openShard);
}

/** Bytes of a body, and what their header says where that is as usual. */
async function downloaded(
  later: Later,
  source: Response | Blob,
  name: string,
  limit: number,
  openShard?: OpenShard,
) {
  const isResponse = 'ok' in source;
  const body = isResponse ? (source.ok && !source.bodyUsed ? source.body : null) : source.stream();
  const taken = body && (await takeQuick(body, limit));
  if (taken && 'bytes' in taken) return taken;
  const stream = taken ? taken.stream : source;
  return { bytes: await later.body(stream, name, limit, source, openShard), plan: undefined };
}
