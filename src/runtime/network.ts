import { expected } from '../errors.js';
import { sizeOf } from '../shape.js';
import type { Threads } from './crew.js';
import type { Plan } from './plan.js';
import type { Program } from './program.js';

/** Values of an input: any numbers; pixels of 0 to 255 go in as they are. */
export type NetworkArray =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Int32Array;

/** An input or output. */
export interface NetworkPort {
  readonly name: string;
  /** Without the batch. */
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** Sizes of a loaded network, in bytes. */
export interface NetworkSummary {
  readonly name: string;
  readonly backend: 'simd' | 'reference';
  /** Threads that run it; where they are fewer than was asked, or none has started, why. */
  readonly threads: {
    readonly count: number;
    readonly reason?: string;
    /** Parts of layers that threads other than the caller's computed so far. */
    readonly helped?: number;
  };
  readonly inputs: readonly NetworkPort[];
  readonly outputs: readonly NetworkPort[];
  /** Of weights with their tables, of room that layers share, and of the tensors between them. */
  readonly bytes: { readonly weights: number; readonly rooms: number; readonly tensors: number };
  /** Steps of a run. */
  readonly steps: number;
  /** Multiply-adds of one sample, as the layers are defined. */
  readonly macs: number;
  /** Of one sample, the median of {@link RunnableNetwork.measure}; absent before. */
  readonly milliseconds?: number;
  /** Layers that take steps, in their order. */
  readonly layers: readonly LayerSummary[];
}

/** What a layer takes. */
export interface LayerSummary {
  /** Path of the layer, models that hold it before: `encoder/dense`. */
  readonly layer: string;
  readonly className: string;
  /** Layers behind it that are computed with it: normalizations, activations. */
  readonly fused: readonly string[];
  /** How its products are computed: `winograd`, `direct`, `float`, `depthwise`; none for layers without. */
  readonly kernels: readonly string[];
  readonly macs: number;
  /** Bytes of its weights in memory, with their tables. */
  readonly bytes: number;
  /** Of one sample, the median of {@link RunnableNetwork.measure}; absent before. */
  readonly milliseconds?: number;
}

/** Arrays by name, or one for a network of one input. */
export type NetworkInputs = NetworkArray | Readonly<Record<string, NetworkArray>>;
type Inputs = NetworkInputs;
/** Values of each output by its name. */
export type Outputs = Record<string, Float32Array>;
type Times = { readonly all: readonly number[]; readonly layers: readonly (readonly number[])[] };

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] as number;

/** A network in memory of its own, ready to run. Samples of a batch do not know of each other: each gives what it gives alone. */
export class RunnableNetwork {
  #program: Program | undefined;
  #times: Times | undefined;

  /** @internal */
  constructor(
    /** Of the model. */
    readonly name: string,
    program: Program,
    private readonly plan: Plan,
    /** In the model's order. */
    readonly inputs: readonly NetworkPort[],
    /** In the model's order. */
    readonly outputs: readonly NetworkPort[],
    private readonly threads: Threads,
  ) {
    this.#program = program;
  }

  /**
   * Runs samples, as many as the arrays hold.
   *
   * @param inputs `[batch, ...shape]` in C order: an array for a network of one input, else arrays by name
   * @returns `[batch, ...shape]`: an array where there is one output
   * @throws TypeError for arrays missing or of another kind, RangeError for lengths that are no whole number of samples, and values
   *   that are not finite
   */
  run(inputs: NetworkArray): Float32Array;
  run(inputs: Inputs): Float32Array | Outputs;
  run(inputs: Inputs): Float32Array | Outputs {
    const { arrays, batch } = this.#arrays(inputs);
    const results = this.outputs.map((port) => new Float32Array(batch * sizeOf(port.shape)));
    this.#run(arrays, batch, results);
    return this.#isSingle ? (results[0] as Float32Array) : this.#named(results);
  }

  /** {@link run} into memory of the caller, which must be as long as the outputs are. Allocates nothing of a size. */
  runInto(inputs: Inputs, outputs: Float32Array | Readonly<Outputs>): void {
    const { arrays, batch } = this.#arrays(inputs);
    const results = this.outputs.map((port) => {
      const own = outputs instanceof Float32Array ? outputs : outputs[port.name];
      if (!(own instanceof Float32Array))
        throw new TypeError(expected(port.name, 'a Float32Array', typeof own));
      const length = batch * sizeOf(port.shape);
      if (own.length !== length) throw new RangeError(expected(port.name, `${length} values`, own.length));
      return own;
    });
    this.#run(arrays, batch, results);
  }

  /** What the network takes; with milliseconds once it was {@link measure}d. */
  summary(): NetworkSummary {
    const program = this.#open();
    const { name, inputs, outputs } = this;
    const { backend } = program.kernels;
    const { entries } = program.ledger;
    const { count, reason } = this.threads;
    const helped = program.crew?.helped;
    const threads = { count, ...(reason ? { reason } : {}), ...(helped === undefined ? {} : { helped }) };
    const times = this.#times;
    const layers = entries.flatMap(({ steps, kernels, fused, ...entry }, i) =>
      steps === 0
        ? []
        : {
            ...{ layer: entry.layer, className: entry.className, fused: [...fused], kernels: [...kernels] },
            ...{ macs: entry.macs, bytes: entry.bytes },
            ...(times ? { milliseconds: median(times.layers[i] as readonly number[]) } : {}),
          },
    );
    return {
      threads,
      ...{ name, backend, inputs, outputs, bytes: { ...program.sizes }, steps: program.length },
      macs: entries.reduce((sum, { macs }) => sum + macs, 0),
      ...(times ? { milliseconds: median(times.all) } : {}),
      layers,
    };
  }

  /**
   * Runs one sample again and again with a clock between layers; its outputs are not kept.
   *
   * @param runs of which the medians are taken; one more before them is not counted
   * @returns the {@link summary} with milliseconds, which hosts that stop their clocks while code runs give as 0
   * @throws as {@link run}; RangeError for `runs` below 1 and for inputs that are not one sample
   */
  measure(inputs: Inputs, runs = 20): NetworkSummary {
    const program = this.#open();
    if (!(Number.isSafeInteger(runs) && runs > 0 && runs <= 1e6))
      throw new RangeError(expected('runs', 'an integer from 1 to 1,000,000', runs));
    const { arrays, batch } = this.#arrays(inputs);
    if (batch !== 1) throw new RangeError(expected('inputs', 'one sample', batch));
    const layers = program.ledger.entries.map(() => [] as number[]);
    const all: number[] = [];
    for (let run = 0; run <= runs; run++) {
      this.#fill(program, arrays, 0, 1);
      const times = new Float64Array(layers.length);
      const start = performance.now();
      program.runTimed(times);
      if (run === 0) continue;
      all.push(performance.now() - start);
      for (const [i, own] of layers.entries()) own.push(times[i] as number);
    }
    this.#times = { all, layers };
    return this.summary();
  }

  /**
   * Runs samples and gives the largest magnitude of each tensor of which integers are made, or of all with `measures: 'all'`, by the
   * name of the layer or input that it comes from: what `ranges: 'stored'` of {@link loadNetwork} uses.
   * @throws as {@link run}
   */
  largest(inputs: Inputs): Map<string, number> {
    const program = this.#open();
    const { arrays, batch } = this.#arrays(inputs);
    const found = new Map<string, number>();
    for (let sample = 0; sample < batch; sample++) {
      this.#fill(program, arrays, sample, batch);
      program.run();
      for (const [name, most] of program.largest()) found.set(name, Math.max(found.get(name) ?? 0, most));
    }
    return found;
  }

  /** Lets go of the network's memory: whoever runs it afterwards gets an error. */
  dispose(): void {
    this.#program?.crew?.stop();
    this.#program = undefined;
  }

  get #isSingle(): boolean {
    return this.outputs.length === 1;
  }

  #open(): Program {
    if (!this.#program) throw new TypeError(`"${this.name}" expected a network that is not disposed of`);
    return this.#program;
  }

  #named(results: readonly Float32Array[]): Outputs {
    return Object.fromEntries(this.outputs.map(({ name }, i) => [name, results[i] as Float32Array]));
  }

  /** Arrays in the order of the inputs, and how many samples they hold. */
  #arrays(inputs: Inputs): { readonly arrays: readonly NetworkArray[]; readonly batch: number } {
    const arrays = this.inputs.map(({ name }) => {
      const own = ArrayBuffer.isView(inputs) && this.inputs.length === 1 ? inputs : Reflect.get(inputs, name);
      if (!ArrayBuffer.isView(own) || own instanceof DataView)
        throw new TypeError(expected(name, 'a typed array', typeof own));
      return own as NetworkArray;
    });
    const [first] = this.inputs as [NetworkPort];
    const batch = (arrays[0]?.length ?? 0) / sizeOf(first.shape);
    this.inputs.forEach((port, i) => {
      const { length } = arrays[i] as NetworkArray;
      if (!Number.isInteger(batch) || length !== batch * sizeOf(port.shape)) {
        const samples = `[${Number.isInteger(batch) ? batch : 'batch'}, ${port.shape.join(', ')}]`;
        throw new RangeError(expected(port.name, `values of shape ${samples}`, length));
      }
    });
    return { arrays, batch };
  }

  /** Puts one sample where the program reads it. */
  #fill({ floats }: Program, arrays: readonly NetworkArray[], sample: number, batch: number): void {
    for (let i = 0; i < arrays.length; i++) {
      const { size, storage } = this.plan.inputs[i] as Plan['inputs'][number];
      const array = arrays[i] as NetworkArray;
      const part = batch === 1 ? array : array.subarray(sample * size, (sample + 1) * size);
      floats.set(part, storage.at >> 2);
    }
  }

  #run(arrays: readonly NetworkArray[], batch: number, results: readonly Float32Array[]): void {
    const program = this.#open();
    const { floats } = program;
    const { outputs } = this.plan;
    for (let sample = 0; sample < batch; sample++) {
      this.#fill(program, arrays, sample, batch);
      program.run();
      for (let i = 0; i < results.length; i++) {
        const { size, storage } = outputs[i] as Plan['outputs'][number];
        const from = storage.at >> 2;
        results[i]?.set(floats.subarray(from, from + size), sample * size);
      }
    }
  }
}
