import { type Layer, lastUses, type RunnableNetwork as Network, runCall } from '../../tfjs/run.js';
import type { Tensor, TensorFlow } from '../../tfjs/types.js';

/** A value in the float network and in the quantized one. */
export interface Twin<T> {
  readonly float: T;
  readonly quantized: T;
}

/** Values of all samples held, batch by batch. */
export type Batches = Twin<readonly Tensor[]>;

export interface ActivationOptions {
  /** Whether a layer's weights differ between the networks. */
  readonly isChanged: (layer: Layer) => boolean;
  /** Bytes of activations held at most, but for one batch at least. */
  readonly bytes: number;
}

/**
 * Runs two networks of one graph call by call on batches of samples, and holds what later calls still take.
 *
 * Where the values of all samples are more than `bytes`, fewer batches are held; where later values are smaller, the
 * batches that were left out catch up from the input on, through both networks as they are by then:
 *
 *     call         0    1    2    3    4        values: 256 KiB a sample up to call 2, then 64 KiB
 *     batches 0-3  x -> x -> x -> x -> x
 *     batches 4-15           0 -> ... 3 -> x    run when call 4 asks for them
 */
export class Activations {
  readonly #tf: TensorFlow;
  readonly #float: Network;
  readonly #twins: Network;
  readonly #inputs: readonly (readonly Tensor[])[];
  readonly #options: ActivationOptions;
  readonly #lastUses: ReadonlyMap<number, number>;
  /** Elements of each value for one sample. */
  readonly #sizes = new Map<number, number>();
  readonly #held: Map<number, Twin<Tensor>>[] = [];
  /** Values that are the same in both networks. */
  readonly #same: Set<number>;

  /** @param inputs batches, each with the network's inputs in their order; they stay the caller's */
  constructor(
    tf: TensorFlow,
    float: Network,
    twins: Network,
    inputs: readonly (readonly Tensor[])[],
    options: ActivationOptions,
  ) {
    this.#tf = tf;
    this.#float = float;
    this.#twins = twins;
    this.#inputs = inputs;
    this.#options = options;
    this.#lastUses = lastUses(float);
    this.#same = new Set(float.inputs);
    this.#measure();
  }

  /** Batches held. */
  get count(): number {
    return this.#held.length;
  }

  /** Samples held. */
  get samples(): number {
    return this.#inputs
      .slice(0, this.count)
      .reduce((sum, [x]) => sum + ((x as Tensor).shape[0] as number), 0);
  }

  /** Elements of a value for one sample. */
  sizeOf(value: number): number {
    return this.#sizes.get(value) ?? 0;
  }

  /** What is known of a value; undefined before the call that makes it. */
  of(value: number): Batches | undefined {
    if (!this.#held[0]?.has(value)) return undefined;
    const pairs = this.#held.map((values) => values.get(value) as Twin<Tensor>);
    return { float: pairs.map((pair) => pair.float), quantized: pairs.map((pair) => pair.quantized) };
  }

  /** Values that call `index` and those after it take, of one batch held. */
  live(batch: number): ReadonlyMap<number, Twin<Tensor>> {
    return this.#held[batch] as ReadonlyMap<number, Twin<Tensor>>;
  }

  /** Holds as many batches as the calls from `index` to before `until` leave room for. */
  hold(index: number, until: number): void {
    let room = this.#inputs.length;
    const batchSize = this.#inputs[0]?.[0]?.shape[0] ?? 1;
    for (let call = index; call < until; call++) {
      const bytes = this.#bytesAround(call) * batchSize;
      room = Math.min(room, Math.max(1, Math.floor(this.#options.bytes / bytes)));
    }
    while (this.count > room) disposeOf(this.#tf, this.#held.pop() as Map<number, Twin<Tensor>>, this.#float);
    const isWorth = room === this.#inputs.length || room >= 2 * this.count;
    while (isWorth && this.count < room) {
      const values = this.#begin(this.#inputs[this.count] as readonly Tensor[]);
      for (let call = 0; call < index; call++) this.#step(call, values);
      this.#held.push(values);
    }
  }

  /** Runs a call on what is held and lets go of what no later call takes. */
  run(index: number): void {
    const { layer, inputs, outputs } = this.#float.calls[index] as Network['calls'][number];
    const isSame = inputs.every((value) => this.#same.has(value)) && !this.#options.isChanged(layer);
    if (isSame) for (const value of outputs) this.#same.add(value);
    for (const values of this.#held) this.#step(index, values);
  }

  /**
   * What calls of a layer from `index` on take whose inputs are not known yet, as both networks are by now: they are run ahead to
   * these calls, through layers that are still rounded without data, and through the layer itself where it is called on what it made.
   * The tensors are the caller's. Fewer batches where these would be more than a quarter of the bytes.
   */
  ahead(index: number, layer: Layer): Batches[][] {
    const { calls } = this.#float;
    const later = calls.flatMap((call, at) => {
      const isOpen = at > index && call.layer === layer && call.inputs.some((value) => !this.of(value));
      return isOpen ? [at] : [];
    });
    const last = later.at(-1);
    if (last === undefined) return [];
    const found: Tensor[][] = [];
    let room = this.#options.bytes / 4;
    for (const held of this.#held) {
      const taken = this.#tf.tidy(() => this.#runAhead(held, index, later));
      found.push(taken);
      const bytes = Float32Array.BYTES_PER_ELEMENT * taken.reduce((sum, { size }) => sum + size, 0);
      room -= bytes;
      if (room < bytes) break;
    }
    let next = 0;
    return later.map((at) =>
      (calls[at] as Network['calls'][number]).inputs.map(() => {
        const place = next;
        next += 2;
        return {
          float: found.map((batch) => batch[place] as Tensor),
          quantized: found.map((batch) => batch[place + 1] as Tensor),
        };
      }),
    );
  }

  /** The inputs of the calls `later` of one batch, each in the float network and in the quantized one. */
  #runAhead(held: ReadonlyMap<number, Twin<Tensor>>, index: number, later: readonly number[]) {
    const values = new Map(held);
    const taken: Tensor[] = [];
    const last = later.at(-1) as number;
    for (let at = index; at <= last; at++) {
      const { layer, inputs, outputs } = this.#float.calls[at] as Network['calls'][number];
      const own = inputs.map((value) => values.get(value) as Twin<Tensor>);
      if (later.includes(at))
        for (const { float, quantized } of own) taken.push(float.clone(), quantized.clone());
      if (at === last) break;
      const twin = (this.#twins.calls[at] as Network['calls'][number]).layer;
      const exact = runCall(
        this.#tf,
        layer,
        own.map(({ float }) => float),
      );
      const rounded = runCall(
        this.#tf,
        twin,
        own.map(({ quantized }) => quantized),
      );
      outputs.forEach((value, i) => {
        values.set(value, { float: exact[i] as Tensor, quantized: rounded[i] as Tensor });
      });
    }
    return taken;
  }

  dispose(): void {
    for (const values of this.#held.splice(0)) disposeOf(this.#tf, values, this.#float);
  }

  #begin(inputs: readonly Tensor[]): Map<number, Twin<Tensor>> {
    return new Map(
      this.#float.inputs.map((value, i) => {
        const input = inputs[i] as Tensor;
        return [value, { float: input, quantized: input }];
      }),
    );
  }

  #step(index: number, values: Map<number, Twin<Tensor>>): void {
    const { layer, inputs, outputs } = this.#float.calls[index] as Network['calls'][number];
    const taken = inputs.map((value) => values.get(value) as Twin<Tensor>);
    const exact = runCall(
      this.#tf,
      layer,
      taken.map(({ float }) => float),
    );
    const isSame = outputs.every((value) => this.#same.has(value));
    const twin = (this.#twins.calls[index] as Network['calls'][number]).layer;
    const rounded = isSame
      ? exact.map((tensor) => tensor.clone())
      : runCall(
          this.#tf,
          twin,
          taken.map(({ quantized }) => quantized),
        );
    outputs.forEach((value, i) => {
      values.set(value, { float: exact[i] as Tensor, quantized: rounded[i] as Tensor });
    });
    for (const value of [...inputs, ...outputs]) {
      if ((this.#lastUses.get(value) ?? -1) > index || this.#float.inputs.includes(value)) continue;
      const pair = values.get(value);
      if (pair) this.#tf.dispose([pair.float, pair.quantized]);
      values.delete(value);
    }
  }

  /** Runs one sample through the float network for the sizes of its values. */
  #measure(): void {
    const [first] = this.#inputs;
    if (!first) return;
    const samples = first.map((x) => this.#tf.slice(x, 0, [1, ...x.shape.slice(1)]));
    const values = new Map<number, Tensor>(
      this.#float.inputs.map((value, i) => [value, samples[i] as Tensor]),
    );
    for (const [index, { layer, inputs, outputs }] of this.#float.calls.entries()) {
      const made = runCall(
        this.#tf,
        layer,
        inputs.map((value) => values.get(value) as Tensor),
      );
      outputs.forEach((value, i) => {
        values.set(value, made[i] as Tensor);
        this.#sizes.set(value, (made[i] as Tensor).size);
      });
      for (const [value, tensor] of values) {
        if ((this.#lastUses.get(value) ?? -1) > index || samples.includes(tensor)) continue;
        tensor.dispose();
        values.delete(value);
      }
    }
    this.#tf.dispose([...values.values()].filter((tensor) => !samples.includes(tensor)));
    this.#tf.dispose(samples);
  }

  /** Bytes for one sample before or after a call, whichever is more; batches are let go one by one between. */
  #bytesAround(index: number): number {
    let before = 0;
    let after = 0;
    for (const [call, { outputs }] of this.#float.calls.entries()) {
      if (call > index) break;
      for (const value of outputs) {
        const last = this.#lastUses.get(value) ?? -1;
        const bytes = 2 * Float32Array.BYTES_PER_ELEMENT * (this.#sizes.get(value) as number);
        if (call < index && last >= index) before += bytes;
        if (last > index) after += bytes;
      }
    }
    return Math.max(before, after, 1);
  }
}

function disposeOf(tf: TensorFlow, values: Map<number, Twin<Tensor>>, { inputs }: Network): void {
  for (const [value, pair] of values) if (!inputs.includes(value)) tf.dispose([pair.float, pair.quantized]);
}
