// Values of the network as values of the graph. Formats want the channels of an image in another place than Keras has
// them: each value is kept in the orders in which somebody made or wanted it, and turned once for each.
import type { Builder } from './builder.js';
import type { Dim, ElementType, Shape, Val } from './values.js';

/** An order of axes: axis i of a form is axis `order[i]` of the tensor. */
export type Order = readonly number[];

export const plainOrder = (rank: number): Order => Array.from({ length: rank }, (_, i) => i);

/** `[batch, channels, ...]` of `[batch, ..., channels]` */
export const channelsFirst = (rank: number): Order =>
  rank < 3 ? plainOrder(rank) : [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];

/** `[batch, ..., channels]` of `[batch, channels, ...]` */
export const channelsLast = (rank: number): Order =>
  rank < 3 ? plainOrder(rank) : [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];

/** `[time, batch, ...]` of `[batch, time, ...]` */
export const timeFirst = (rank: number): Order => [1, 0, ...plainOrder(rank).slice(2)];

const isPlain = (order: Order) => order.every((axis, i) => axis === i);

/** A value of the network in one or more orders of its axes. */
export class Tensor {
  readonly #forms = new Map<string, { readonly order: Order; readonly val: Val }>();
  #flat: { readonly steps: number; readonly tensor: Tensor } | undefined;

  private constructor(
    readonly graph: Builder,
    /** In Keras's order. */
    readonly shape: Shape,
    readonly type: ElementType,
  ) {}

  /** A tensor that is there in an order. */
  static of(graph: Builder, val: Val, order: Order = plainOrder(val.shape.length)): Tensor {
    const shape: Dim[] = [];
    order.forEach((axis, i) => {
      shape[axis] = val.shape[i] as Dim;
    });
    const made = new Tensor(graph, shape, val.type);
    made.#forms.set(order.join(), { order, val });
    return made;
  }

  /** A tensor `[batch, steps..., rest]` that is there as `[batch * steps, rest]`. */
  static ofFlat(graph: Builder, flat: Tensor, steps: number, shape: Shape): Tensor {
    const made = new Tensor(graph, shape, flat.type);
    made.#flat = { steps, tensor: flat };
    return made;
  }

  get rank(): number {
    return this.shape.length;
  }

  /** In Keras's order. */
  get plain(): Val {
    return this.in(plainOrder(this.rank));
  }

  /** The order in which it was made. */
  get order(): Order {
    const [first] = this.#forms.values();
    return first?.order ?? plainOrder(this.rank);
  }

  /** In the order in which it was made. */
  get own(): Val {
    return this.in(this.order);
  }

  has(order: Order): boolean {
    return this.#forms.has(order.join());
  }

  /** In any order. */
  in(order: Order): Val {
    const known = this.#forms.get(order.join());
    if (known) return known.val;
    if (this.#forms.size === 0 && this.#flat)
      this.#add(plainOrder(this.rank), this.graph.reshape(this.#flat.tensor.plain, this.shape));
    const from =
      [...this.#forms.values()].find((form) => isPlain(form.order)) ?? [...this.#forms.values()][0];
    if (!from) throw new Error('a tensor in no order');
    const perm = order.map((axis) => from.order.indexOf(axis));
    const val = this.graph.transpose(from.val, perm);
    this.#add(order, val);
    return val;
  }

  /** The axes behind the batch that steps run over as a part of the batch. */
  flat(steps: number): Tensor {
    if (this.#flat?.steps === steps) return this.#flat.tensor;
    const rest = this.shape.slice(steps + 1);
    const tensor = Tensor.of(this.graph, this.graph.reshape(this.plain, [null, ...rest]));
    this.#flat = { steps, tensor };
    return tensor;
  }

  #add(order: Order, val: Val): void {
    this.#forms.set(order.join(), { order, val });
  }
}
