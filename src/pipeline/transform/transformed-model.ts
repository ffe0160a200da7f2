import { BitnibbleError } from '../../errors.js';
import { fromNumbers, toFloat32 } from '../../formats/dtypes.js';
import type { JsonObject, ModelSource, QuantizableModel, WeightInfo } from '../../model.js';
import { DTYPE_BYTES } from '../../model.js';
import { sizeOf } from '../../shape.js';

/** Multiplies values of a weight in place; the first of them is element `from` in C order. */
export type Scaling = (values: Float32Array, from: number) => void;

/** What a transform does to a model. */
export interface Changes {
  /** Default: as it was. */
  readonly architecture?: JsonObject | undefined;
  /** All weights, in order; with the same id, the base's of another number type perhaps. Default: as they were. */
  readonly weights?: readonly WeightInfo[];
  /** By id: weights of the base that are scaled when they are read. */
  readonly scaled?: ReadonlyMap<string, Scaling>;
  /** By id: weights with values of their own. */
  readonly values?: ReadonlyMap<string, ArrayLike<number>>;
}

/**
 * A model with some of its weights changed, added or left out. Changed tensors are computed when they are read, in
 * pieces where pieces are asked for; all others come from the base, which must stay open.
 */
export class TransformedModel implements QuantizableModel {
  readonly file: string;
  readonly architecture: JsonObject | undefined;
  readonly kerasVersion: string;
  readonly backend: string;
  readonly trainingConfig: JsonObject | undefined;
  readonly weights: readonly WeightInfo[];
  readonly parameters: number;
  readonly changed: ReadonlySet<string>;
  readonly #base: ModelSource & Partial<QuantizableModel>;
  readonly #scaled: ReadonlyMap<string, Scaling>;
  readonly #values: ReadonlyMap<string, ArrayLike<number>>;
  readonly #own: ReadonlyMap<string, WeightInfo>;
  readonly #original: ReadonlyMap<string, WeightInfo>;

  constructor(base: ModelSource, changes: Changes) {
    this.#base = base;
    this.file = base.file;
    this.architecture = changes.architecture ?? base.architecture;
    this.kerasVersion = base.kerasVersion;
    this.backend = base.backend;
    this.trainingConfig = base.trainingConfig;
    this.weights = changes.weights ?? base.weights;
    this.parameters = this.weights.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    this.#scaled = changes.scaled ?? new Map();
    this.#values = changes.values ?? new Map();
    this.#own = new Map(this.weights.map((weight) => [weight.id, weight]));
    this.#original = new Map(base.weights.map((weight) => [weight.id, weight]));
    const ids = [...(this.#base.changed ?? []), ...this.#scaled.keys(), ...this.#values.keys()];
    this.changed = new Set(ids.filter((id) => this.#own.has(id)));
  }

  /** The values of one weight as float32, C order; changed ones rounded to the weight's number type. */
  read(id: string): Float32Array {
    return this.#isChanged(id) ? toFloat32(this.readBytes(id), this.#weight(id).dtype) : this.#base.read(id);
  }

  readBytes(id: string, range?: readonly [from: number, to: number], out?: Uint8Array): Uint8Array {
    const { dtype, shape } = this.#weight(id);
    const [from, to] = range ?? [0, sizeOf(shape)];
    if (!this.#isChanged(id)) return this.#baseBytes(id, [from, to], out);
    const bytes = fromNumbers(this.#computed(id, from, to), dtype);
    if (!out) return bytes;
    out.set(bytes);
    return out.subarray(0, bytes.length);
  }

  #isChanged(id: string): boolean {
    return (
      this.#scaled.has(id) || this.#values.has(id) || this.#weight(id).dtype !== this.#original.get(id)?.dtype
    );
  }

  #computed(id: string, from: number, to: number): ArrayLike<number> {
    const given = this.#values.get(id);
    if (given) return Array.from({ length: to - from }, (_, i) => given[from + i] as number);
    const { dtype } = this.#original.get(id) ?? this.#weight(id);
    const floats = toFloat32(this.#baseBytes(id, [from, to]), dtype);
    this.#scaled.get(id)?.(floats, from);
    return floats;
  }

  /** The base's bytes; what a base without `readBytes` reads is encoded again. */
  #baseBytes(id: string, [from, to]: readonly [number, number], out?: Uint8Array): Uint8Array {
    if (this.#base.readBytes) return this.#base.readBytes(id, [from, to], out);
    const { dtype } = this.#original.get(id) ?? this.#weight(id);
    const bytes = fromNumbers(this.#base.read(id).slice(from, to), dtype);
    const target = out?.subarray(0, (to - from) * DTYPE_BYTES[dtype]) ?? bytes;
    if (out) target.set(bytes);
    return target;
  }

  #weight(id: string): WeightInfo {
    const weight = this.#own.get(id);
    if (!weight) throw new BitnibbleError('missing-weight', `${this.file}: no weight named ${id}`);
    return weight;
  }
}
