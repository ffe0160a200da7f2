import { refuse } from '../export/refusal.js';
import { GraphStore } from '../export/store.js';
import type { ElementType, LazyBytes, Shape, Val } from '../export/values.js';
import { neededOf } from './fuse.js';
import type { Graph, Operation, Options, Quantization, StoredTensor } from './types.js';

/** Lengths of a value, all of which are known: LiteRT's shapes are static. */
export const lengthsOf = ({ shape }: { readonly shape: Shape }): number[] =>
  shape.every((n) => typeof n === 'number')
    ? (shape as number[])
    : refuse('a shape of which a length is not known');

/** Tensors and operations of a graph of LiteRT while it is put together. */
export class OperationStore extends GraphStore {
  readonly #operations: Operation[] = [];
  readonly #tensors = new Map<string, StoredTensor>();

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
    const outputs = shapes.map((shape) => this.#tensor({ name: this.named(op), type, shape }));
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

  ints(values: readonly number[], shape?: readonly number[]): Val {
    return this.constant('int32', values, shape);
  }

  scalar(value: number, type: ElementType = 'float'): Val {
    return this.constant(type === 'int32' || type === 'bool' ? type : 'float', [value], []);
  }

  override input(name: string, type: ElementType, shape: Shape): Val {
    return this.#tensor({ ...super.input(name, type, shape), shape: lengthsOf({ shape }) });
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
