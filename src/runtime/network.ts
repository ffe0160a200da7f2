import { expected } from '../errors.js';
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
  readonly inputs: readonly NetworkPort[];
  readonly outputs: readonly NetworkPort[];
  /** Of weights with their tables, of room that layers share, and of the tensors between them. */
  readonly bytes: { readonly weights: number; readonly rooms: number; readonly tensors: number };
  /** Steps of a run. */
  readonly steps: number;
}

type Inputs = NetworkArray | Readonly<Record<string, NetworkArray>>;
type Outputs = Record<string, Float32Array>;

const sizeOf = ({ shape }: NetworkPort) => shape.reduce((n, d) => n * d, 1);

/** A network in memory of its own, ready to run. Samples of a batch do not know of each other: each gives what it gives alone. */
export class RunnableNetwork {
  #program: Program | undefined;

  constructor(
    readonly name: string,
    program: Program,
    private readonly plan: Plan,
    readonly inputs: readonly NetworkPort[],
    readonly outputs: readonly NetworkPort[],
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
    const results = this.outputs.map((port) => new Float32Array(batch * sizeOf(port)));
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
      const length = batch * sizeOf(port);
      if (own.length !== length) throw new RangeError(expected(port.name, `${length} values`, own.length));
      return own;
    });
    this.#run(arrays, batch, results);
  }

  summary(): NetworkSummary {
    const program = this.#open();
    const { name, inputs, outputs } = this;
    const { backend } = program.kernels;
    return { name, backend, inputs, outputs, bytes: { ...program.sizes }, steps: program.length };
  }

  /** Lets go of the network's memory: whoever runs it afterwards gets an error. */
  dispose(): void {
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
    const batch = (arrays[0]?.length ?? 0) / sizeOf(first);
    this.inputs.forEach((port, i) => {
      const { length } = arrays[i] as NetworkArray;
      if (!Number.isInteger(batch) || length !== batch * sizeOf(port)) {
        const samples = `[${Number.isInteger(batch) ? batch : 'batch'}, ${port.shape.join(', ')}]`;
        throw new RangeError(expected(port.name, `values of shape ${samples}`, length));
      }
    });
    return { arrays, batch };
  }

  #run(arrays: readonly NetworkArray[], batch: number, results: readonly Float32Array[]): void {
    const program = this.#open();
    const { floats } = program;
    const { inputs, outputs } = this.plan;
    for (let sample = 0; sample < batch; sample++) {
      for (let i = 0; i < arrays.length; i++) {
        const { size, storage } = inputs[i] as Plan['inputs'][number];
        const array = arrays[i] as NetworkArray;
        const part = batch === 1 ? array : array.subarray(sample * size, (sample + 1) * size);
        floats.set(part, storage.at >> 2);
      }
      program.run();
      for (let i = 0; i < results.length; i++) {
        const { size, storage } = outputs[i] as Plan['outputs'][number];
        const from = storage.at >> 2;
        results[i]?.set(floats.subarray(from, from + size), sample * size);
      }
    }
  }
}
