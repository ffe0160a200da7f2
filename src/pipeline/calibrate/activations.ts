import {
  type Bare,
  type Layer,
  lastUses,
  type RunnableNetwork as Network,
  runBare,
  runCall,
} from '../../tfjs/run.js';
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
  readonly #held: Twin<Map<number, Tensor>>[] = [];
  /** Values that are the same in both networks. */
  readonly #same: Set<number>;
  /** Of each batch held, what {@link targets} gave of the next call. */
  #bare: readonly Bare[] = [];

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
    if (!this.#held[0]?.quantized.has(value)) return undefined;
    const valuesOf = (own: ReadonlyMap<number, Tensor>) => own.get(value) ?? [];
    return {
      float: this.#held.flatMap(({ float }) => valuesOf(float)),
      quantized: this.#held.flatMap(({ quantized }) => valuesOf(quantized)),
    };
  }

  /** Values that call `index` and those after it take, of one batch held. */
  live(batch: number): Twin<ReadonlyMap<number, Tensor>> {
    return this.#held[batch] as Twin<ReadonlyMap<number, Tensor>>;
  }

  /** Holds as many batches as the calls from `index` to before `until` leave room for. */
  hold(index: number, until: number): void {
    let room = this.#inputs.length;
    const batchSize = this.#inputs[0]?.[0]?.shape[0] ?? 1;
    for (let call = index; call < until; call++) {
      const bytes = this.#bytesAround(call) * batchSize;
      room = Math.min(room, Math.max(1, Math.floor(this.#options.bytes / bytes)));
    }
    while (this.count > room) disposeOf(this.#held.pop() as Twin<Map<number, Tensor>>, this.#float);
    const isWorth = room === this.#inputs.length || room >= 2 * this.count;
    while (isWorth && this.count < room) {
      const values = this.#begin(this.#inputs[this.count] as readonly Tensor[]);
      for (let call = 0; call < index; call++) this.#step(call, values);
      this.#held.push(values);
    }
  }

  /**
   * Runs the float half of the call that is next, and lets go of what only that takes: of this, {@link of} has no float values then.
   *
   * @returns what the layer gives before its activation, batch by batch, there until the call is run; undefined where TensorFlow.js's
   *   layer does not tell
   */
  targets(index: number): readonly Bare[] | undefined {
    const { layer, inputs } = this.#float.calls[index] as Network['calls'][number];
    const [value, more] = inputs as [number, number?];
    if (more !== undefined) return undefined;
    const isLast = (this.#lastUses.get(value) ?? -1) <= index && !this.#float.inputs.includes(value);
    this.#bare = this.#held.flatMap(({ float }) => {
      const bare = runBare(this.#tf, layer, float.get(value) as Tensor);
      if (!bare) return [];
      if (isLast) letGo(float, value);
      return [bare];
    });
    return this.#bare.length > 0 ? this.#bare : undefined;
  }

  /** Runs a call on what is held and lets go of what no later call takes. */
  run(index: number): void {
    const { layer, inputs, outputs } = this.#float.calls[index] as Network['calls'][number];
    const isSame = inputs.every((value) => this.#same.has(value)) && !this.#options.isChanged(layer);
    if (isSame) for (const value of outputs) this.#same.add(value);
    for (const [batch, values] of this.#held.entries()) this.#step(index, values, this.#bare[batch]);
    this.#bare = [];
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
  #runAhead(held: Twin<ReadonlyMap<number, Tensor>>, index: number, later: readonly number[]) {
    const [floats, quantized] = [new Map(held.float), new Map(held.quantized)];
    const taken: Tensor[] = [];
    const last = later.at(-1) as number;
    for (let at = index; at <= last; at++) {
      const { layer, inputs, outputs } = this.#float.calls[at] as Network['calls'][number];
      const of = (values: ReadonlyMap<number, Tensor>) => inputs.map((value) => values.get(value) as Tensor);
      if (later.includes(at)) {
        const own = of(quantized);
        for (const [i, exact] of of(floats).entries()) taken.push(exact.clone(), (own[i] as Tensor).clone());
      }
      if (at === last) break;
      const twin = (this.#twins.calls[at] as Network['calls'][number]).layer;
      setAll(floats, outputs, runCall(this.#tf, layer, of(floats)));
      setAll(quantized, outputs, runCall(this.#tf, twin, of(quantized)));
    }
    return taken;
  }

  dispose(): void {
    this.#tf.dispose(this.#bare.map(({ output }) => output));
    for (const values of this.#held.splice(0)) disposeOf(values, this.#float);
  }

  #begin(inputs: readonly Tensor[]): Twin<Map<number, Tensor>> {
    const values = this.#float.inputs.map((value, i) => [value, inputs[i] as Tensor] as const);
    return { float: new Map(values), quantized: new Map(values) };
  }

  #step(index: number, { float, quantized }: Twin<Map<number, Tensor>>, bare?: Bare): void {
    const { layer, inputs, outputs } = this.#float.calls[index] as Network['calls'][number];
    const taken = (values: ReadonlyMap<number, Tensor>) => inputs.map((value) => values.get(value) as Tensor);
    let exact: Tensor[];
    if (bare) {
      exact = [bare.finish(bare.output)];
      if (exact[0] !== bare.output) bare.output.dispose();
    } else exact = runCall(this.#tf, layer, taken(float));
    setAll(float, outputs, exact);
    const isSame = outputs.every((value) => this.#same.has(value));
    const twin = (this.#twins.calls[index] as Network['calls'][number]).layer;
    const rounded = isSame
      ? exact.map((tensor) => tensor.clone())
      : runCall(this.#tf, twin, taken(quantized));
    setAll(quantized, outputs, rounded);
    for (const value of [...inputs, ...outputs]) {
      if ((this.#lastUses.get(value) ?? -1) > index || this.#float.inputs.includes(value)) continue;
      letGo(float, value);
      letGo(quantized, value);
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

function setAll(values: Map<number, Tensor>, outputs: readonly number[], made: readonly Tensor[]): void {
  outputs.forEach((value, i) => {
    values.set(value, made[i] as Tensor);
  });
}

function letGo(values: Map<number, Tensor>, value: number): void {
  values.get(value)?.dispose();
  values.delete(value);
}

function disposeOf({ float, quantized }: Twin<Map<number, Tensor>>, { inputs }: Network): void {
  for (const own of [float, quantized])
    for (const value of [...own.keys()]) if (!inputs.includes(value)) letGo(own, value);
}
