import { bytesOf } from '../formats/dtypes.js';
import type { ElementType, LazyBytes, Shape, Val } from './values.js';

/** Number types of small constants. */
export type ConstantType = 'float' | 'int64' | 'int32' | 'uint8' | 'bool';

function constantBytes(type: ConstantType, values: readonly number[]): Uint8Array {
  if (type === 'float') return bytesOf(Float32Array.from(values));
  if (type === 'int64') return new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  if (type === 'int32') return new Uint8Array(Int32Array.from(values).buffer);
  return Uint8Array.from(values);
}

/** Names that nobody else has, and stored tensors of a graph while it is put together; a constant is stored once. */
export abstract class GraphStore {
  readonly #names = new Set<string>(['']);
  readonly #constants = new Map<string, Val>();
  readonly #floats = new Map<string, { readonly values: Float32Array; readonly val: Val }>();
  readonly #renamed = new Map<string, string>();
  /** What names begin with: the path of the Keras layer. */
  scope = '';

  /** Stores a tensor, little-endian, in C order, under a name that is free or that with a number. */
  abstract stored(
    name: string,
    type: ElementType,
    shape: readonly number[],
    data: Uint8Array | LazyBytes,
  ): Val;

  /** A name that is not taken: the wanted one, or that with a number. */
  unique(wanted: string): string {
    let name = wanted;
    for (let n = 1; this.#names.has(name); n++) name = `${wanted}_${n}`;
    this.#names.add(name);
    return name;
  }

  /** A name for what an operation makes. */
  protected named(op: string): string {
    return this.unique(this.scope === '' ? op : `${this.scope}/${op}`);
  }

  /** Floats that are stored under a name: once for all calls of a layer. */
  floats(name: string, values: Float32Array, shape: readonly number[] = [values.length]): Val {
    const known = this.#floats.get(name);
    const isSame =
      known?.val.shape.join() === shape.join() && known.values.every((own, i) => Object.is(own, values[i]));
    if (known && isSame) return known.val;
    const val = this.stored(name, 'float', shape, bytesOf(values));
    this.#floats.set(name, { values, val });
    return val;
  }

  /** A small constant, the same for all who want it. */
  constant(type: ConstantType, values: readonly number[], shape: readonly number[] = [values.length]): Val {
    const key = `${type}/${shape}/${values.map((v) => (Object.is(v, -0) ? '-0' : v))}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const name = `constant/${values.length < 5 ? values.join('_') || 'none' : `of_${values.length}`}`;
    const made = this.stored(name, type, shape, constantBytes(type, values));
    this.#constants.set(key, made);
    return made;
  }

  /** A value that is given from outside. */
  input(name: string, type: ElementType, shape: Shape): Val {
    return { name: this.unique(name), type, shape };
  }

  /** The same value by another name, for the outside. */
  rename(val: Val, name: string): Val {
    this.#renamed.set(val.name, name);
    return { ...val, name };
  }

  /** What a value is called in the end. */
  nameOf(name: string): string {
    return this.#renamed.get(name) ?? name;
  }
}
