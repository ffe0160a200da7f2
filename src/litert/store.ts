// What a graph of LiteRT is made of while it is put together: names that nobody else has, constants that are stored once.
import { refuse } from '../export/refusal.js';
import type { ElementType, LazyBytes, Shape, Val } from '../export/values.js';
import { bytesOf } from '../formats/dtypes.js';
import { neededOf } from './fuse.js';
import type { Graph, Operation, Options, Quantization, StoredTensor } from './types.js';

/** Lengths of a value, all of which are known: LiteRT's shapes are static. */
export const lengthsOf = ({ shape }: { readonly shape: Shape }): number[] =>
  shape.every((n) => typeof n === 'number')
    ? (shape as number[])
    : refuse('a shape of which a length is not known');

/** Names, tensors and operations of a graph while it is put together. */
export class GraphStore {
  readonly #operations: Operation[] = [];
  readonly #tensors = new Map<string, StoredTensor>();
  readonly #names = new Set<string>(['']);
  readonly #constants = new Map<string, Val>();
  readonly #renamed = new Map<string, string>();
  scope = '';

  unique(wanted: string): string {
    let name = wanted;
    for (let n = 1; this.#names.has(name); n++) name = `${wanted}_${n}`;
    this.#names.add(name);
    return name;
  }

  /** Adds an operation with one output. */
  add(
    op: string,
    inputs: readonly (Val | undefined)[],
    shape: readonly number[],
    options: Options = {},
    type = inputs[0]?.type ?? 'float',
  ): Val {
    return this.addMany(op, inputs, [shape], options, type)[0] as Val;
  }

  addMany(
    op: string,
    inputs: readonly (Val | undefined)[],
    shapes: readonly (readonly number[])[],
    options: Options = {},
    type = inputs[0]?.type ?? 'float',
  ): Val[] {
    const base = this.scope === '' ? op : `${this.scope}/${op}`;
    const outputs = shapes.map((shape) => this.#tensor({ name: this.unique(base), type, shape }));
    this.#operations.push({
      op,
      inputs: inputs.map((input) => input?.name ?? ''),
      outputs: outputs.map(({ name }) => name),
      options,
    });
    return outputs;
  }

  #tensor(tensor: StoredTensor): Val {
    this.#tensors.set(tensor.name, tensor);
    const { name, type, shape } = tensor;
    return { name, type, shape };
  }

  /** Stores a tensor. */
  stored(
    name: string,
    type: ElementType,
    shape: readonly number[],
    data: Uint8Array | LazyBytes,
    quantization?: Quantization,
  ): Val {
    return this.#tensor({
      ...{ name: this.unique(name), type, shape, data },
      ...(quantization ? { quantization } : {}),
    });
  }

  floats(name: string, values: Float32Array, shape: readonly number[] = [values.length]): Val {
    return this.stored(name, 'float', shape, bytesOf(values));
  }

  constant(
    type: 'float' | 'int32' | 'bool',
    values: readonly number[],
    shape: readonly number[] = [values.length],
  ): Val {
    const key = `${type}/${shape}/${values.map((v) => (Object.is(v, -0) ? '-0' : v))}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const data =
      type === 'float'
        ? bytesOf(Float32Array.from(values))
        : type === 'int32'
          ? new Uint8Array(Int32Array.from(values).buffer)
          : Uint8Array.from(values);
    const name = `constant/${values.length < 5 ? values.join('_') || 'none' : `of_${values.length}`}`;
    const made = this.stored(name, type, shape, data);
    this.#constants.set(key, made);
    return made;
  }

  ints(values: readonly number[], shape?: readonly number[]): Val {
    return this.constant('int32', values, shape);
  }

  scalar(value: number, type: ElementType = 'float'): Val {
    return this.constant(type === 'int32' || type === 'bool' ? type : 'float', [value], []);
  }

  input(name: string, type: ElementType, shape: Shape): Val {
    return this.#tensor({ name: this.unique(name), type, shape: lengthsOf({ shape }) });
  }

  rename(val: Val, name: string): Val {
    this.#renamed.set(val.name, name);
    return { ...val, name };
  }

  /** What a value is called in the end. */
  nameOf(name: string): string {
    return this.#renamed.get(name) ?? name;
  }

  /** The whole graph; operations and tensors that no output needs are left out. */
  graph(name: string, inputs: readonly Val[], outputs: readonly Val[]): Graph {
    const nameOf = (own: string) => this.nameOf(own);
    return neededOf({
      name,
      operations: this.#operations.map((own) => ({
        ...own,
        inputs: own.inputs.map(nameOf),
        outputs: own.outputs.map(nameOf),
      })),
      tensors: [...this.#tensors.values()].map((own) => ({ ...own, name: nameOf(own.name) })),
      inputs: inputs.map((own) => own.name),
      outputs: outputs.map((own) => own.name),
    });
  }
}
