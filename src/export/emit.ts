// The walk over a network: every node becomes a few operations of a format, values of the network values of the graph.
import { BitnibbleError } from '../errors.js';
import { type Network, type NetworkNode, operationOf, requireRunnable } from '../network/index.js';
import { type Wires, wiresOf } from '../network/passes/wires.js';
import { ACTIVATIONS, activationOf } from './activations.js';
import { arrange } from './arrange.js';
import type { Builder } from './builder.js';
import { axisOf, type Context, ELEMENTS, type Emit, each, floatOf, type Rows, type Tail } from './context.js';
import { ATTENTION } from './layers-attention.js';
import { IMAGES } from './layers-images.js';
import { affineOf, NORMALIZATIONS } from './layers-normalizations.js';
import { PRODUCTS } from './layers-products.js';
import { SHAPES } from './layers-shapes.js';
import { TENSORS } from './layers-tensors.js';
import { namingNode, refuse } from './refusal.js';
import { plainOrder, Tensor } from './tensor.js';
import type { Dim, Shape, Val } from './values.js';
import type { Weights } from './weights.js';

/** What every format computes by elementary operations. */
const SHARED: Readonly<Record<string, Emit>> = {
  ...PRODUCTS,
  ...IMAGES,
  ...NORMALIZATIONS,
  ...SHAPES,
  ...TENSORS,
  ...ATTENTION,
};

/** A format of another runtime. */
export interface Format<G extends Builder, W extends Weights> {
  readonly name: string;
  readonly graph: G;
  readonly weights: W;
  /** What it computes in a way of its own. */
  readonly emits: Readonly<Record<string, Emit<Context<G, W>>>>;
  /** Operations that put zeros around their input themselves. */
  readonly bordered: RegExp | undefined;
  /** The shape of an input, lengths in it that are not known. */
  shapeOf(input: string, shape: readonly (number | null)[]): Shape;
  product(c: Context<G, W>, x: Val, rows: Rows): Val;
  rowsOf(c: Context<G, W>, id: string, indices: Val): Val;
}

/** Operations into whose weights a normalization behind them is folded. */
const FOLDING = /^(Conv[123]D|Conv[123]DTranspose|Dense|DepthwiseConv[12]D|SeparableConv[12]D)$/;
/** Operations on the last axis alone, which need not know of steps. */
const ROWWISE = /^(Dense|Embedding)$/;

/** What goes into the graph and what comes out of it. */
export interface Emitted {
  readonly inputs: readonly Val[];
  readonly outputs: readonly Val[];
  /** Values of the network, by their numbers. */
  readonly tensors: ReadonlyMap<number, Tensor>;
}

/**
 * Adds a network to the graph of a format.
 * @throws BitnibbleError `unsupported-layer` naming layers and reasons, `missing-weight`
 */
export function emitNetwork<G extends Builder, W extends Weights>(
  network: Network,
  format: Format<G, W>,
): Emitted {
  const { file } = format.weights.source;
  requireRunnable(network, file, format.name, unknownOf(network, format.emits));
  return new Emitter(network, format).run();
}

const isIdentity = ({ operation }: NetworkNode) => operationOf(operation)?.isIdentity === true;

/** Whether a format that has some operations of its own has an operation with some attributes. */
export const isEmitted = (operation: string, own: Readonly<Record<string, unknown>>): boolean =>
  Object.hasOwn(own, operation) ||
  Object.hasOwn(SHARED, operation) ||
  operationOf(operation)?.isIdentity === true ||
  activationOf(operation, {}) !== undefined;

function unknownOf({ nodes }: Network, own: Readonly<Record<string, unknown>>): Network['problems'] {
  return nodes.flatMap(({ operation, attributes, layer, className }) => {
    const names = ['activation', 'recurrent_activation'].flatMap((key) =>
      typeof attributes[key] === 'string' && !Object.hasOwn(ACTIVATIONS, attributes[key] as string)
        ? [`${key} ${String(attributes[key])}`]
        : [],
    );
    if (names.length === 0 && isEmitted(operation, own)) return [];
    const reason = names[0] ?? `${operation} is not among its operations`;
    return [{ layer, className, reason, code: 'unsupported-layer' as const }];
  });
}

class Emitter<G extends Builder, W extends Weights> {
  readonly graph: G;
  readonly weights: W;
  readonly tensors = new Map<number, Tensor>();
  readonly #wires: Wires;
  readonly #done = new Set<NetworkNode>();
  readonly #borders = new Map<number, Context['border']>();
  readonly #rowOrders = new Map<number, readonly number[]>();
  readonly #uses = new Map<string, number>();
  /** Values that a node's own results stand for, where nodes behind it are part of it. */
  readonly #ends = new Map<NetworkNode, number>();

  constructor(
    readonly network: Network,
    readonly format: Format<G, W>,
  ) {
    this.graph = format.graph;
    this.weights = format.weights;
    this.#wires = wiresOf(network);
    for (const node of network.nodes)
      for (const id of Object.values(node.weights)) this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1);
  }

  get #file(): string {
    return this.weights.source.file;
  }

  run(): Emitted {
    const { network, graph, format } = this;
    const inputs = network.inputs.map(({ name, value }): Val => {
      const { shape, dtype } = network.values[value] ?? {};
      const type = ELEMENTS[dtype ?? 'float32'];
      if (!type || !shape) {
        const what = type ? 'unknown rank' : `type ${dtype}`;
        const message = `${this.#file}: ${format.name} cannot take the input ${name} of ${what}`;
        throw new BitnibbleError('unsupported-layer', message);
      }
      const val = graph.input(name, type, format.shapeOf(name, shape));
      this.tensors.set(value, Tensor.of(graph, val));
      return val;
    });
    const names = network.outputs.map(({ name }) => graph.unique(name));
    for (const node of network.nodes) if (!this.#done.has(node)) this.#add(node);
    const taken = new Set(inputs.map(({ name }) => name));
    const outputs = network.outputs.map(({ value }, i) => {
      graph.scope = this.#wires.maker(value)?.layer ?? '';
      const val = (this.tensors.get(value) as Tensor).plain;
      const isOwn = !taken.has(val.name);
      taken.add(val.name);
      return graph.rename(isOwn ? val : graph.unary('Identity', val), names[i] as string);
    });
    return { inputs, outputs, tensors: this.tensors };
  }

  #add(node: NetworkNode): void {
    namingNode(this.#file, `${this.format.name} cannot hold`, node, () => {
      const inputs = node.inputs.map((value) => this.tensors.get(value) as Tensor);
      this.graph.scope = node.layer;
      const outputs = this.#outputs(node, inputs);
      const end = this.#ends.get(node);
      node.outputs.forEach((value, i) => {
        const typed = this.#typed(outputs[i] as Tensor, value);
        this.tensors.set(i === 0 && end !== undefined ? end : value, typed);
      });
    });
  }

  /** An output in the number type that the network says. */
  #typed(x: Tensor, value: number): Tensor {
    const type = ELEMENTS[this.network.values[value]?.dtype ?? 'float32'];
    if (type === undefined || x.type === type) return x;
    return each(x, (val) => this.graph.cast(val, type));
  }

  #outputs(node: NetworkNode, inputs: readonly Tensor[]): readonly Tensor[] {
    const [first] = inputs as [Tensor];
    if (isIdentity(node)) return [first];
    if (this.#leavesBorder(node)) return [first];
    const turned = this.#flattensTurned(node, first);
    if (turned) return [turned];
    const { steps } = node;
    const isOpen = steps > 0 && first.shape.slice(1, steps + 1).some((n) => typeof n !== 'number');
    const isFlat = steps > 0 && !(isOpen && this.#isRowwise(node));
    if (!isFlat) return this.#emit(this.#context(node, inputs, 0));
    if (inputs.some((x) => x.rank <= steps)) refuse('steps of an input without them');
    const made = this.#emit(
      this.#context(
        node,
        inputs.map((x) => x.flat(steps)),
        steps,
      ),
    );
    return made.map((x) => {
      const shape: Dim[] = [...first.shape.slice(0, steps + 1), ...x.shape.slice(1)];
      return Tensor.ofFlat(this.graph, x, steps, shape);
    });
  }

  #isRowwise({ operation, attributes }: NetworkNode): boolean {
    return ROWWISE.test(operation) || activationOf(operation, attributes) !== undefined;
  }

  #emit(c: Context<G, W>): readonly Tensor[] {
    const { operation, attributes } = c.node;
    const activation = activationOf(operation, attributes);
    if (activation) {
      const x = floatOf(c.inputs[0] as Tensor);
      return [each(x, (val) => activation(c.graph, val, x.order))];
    }
    const own = this.format.emits[operation] ?? (SHARED[operation] as Emit);
    return own(c);
  }

  /** Zeros that the only layer behind will add itself. */
  #leavesBorder(node: NetworkNode): boolean {
    if (!/^ZeroPadding[123]D$/.test(node.operation)) return false;
    const [value] = node.outputs as [number];
    const next = this.#wires.takers(value);
    const [only] = next;
    const isAlone = next.length === 1 && only && !this.#wires.isOutput(value) && only.steps === node.steps;
    if (!isAlone || !this.format.bordered?.test(only.operation) || only.attributes.padding !== 'valid')
      return false;
    if (only.attributes.data_format !== node.attributes.data_format) return false;
    this.#borders.set(value, node.attributes.padding as unknown as Context['border']);
    return true;
  }

  /** An image with channels first made flat as it is, where the only layer behind can have its rows in that order. */
  #flattensTurned(node: NetworkNode, x: Tensor): Tensor | undefined {
    const plain = plainOrder(x.rank);
    const isPlain =
      x.has(plain) || x.order.join() === plain.join() || node.attributes.data_format !== 'channels_last';
    if (node.operation !== 'Flatten' || node.steps > 0 || isPlain) return undefined;
    const lengths = x.shape.slice(1);
    const [value] = node.outputs as [number];
    const next = this.#wires.takers(value);
    const [only] = next;
    const isAlone = next.length === 1 && only?.operation === 'Dense' && !this.#wires.isOutput(value);
    const id = only?.weights.kernel;
    if (!isAlone || id === undefined || !this.weights.takesFactors(id)) return undefined;
    if (!lengths.every((n) => typeof n === 'number') || x.order[0] !== 0) return undefined;
    const own = lengths as number[];
    const count = own.reduce((n, d) => n * d, 1);
    const numbers = Float32Array.from({ length: count }, (_, i) => i);
    // What stands where once the axes are turned: 2^24 and more would not be told apart as floats.
    if (count >= 2 ** 24) return undefined;
    const axes = x.order.slice(1).map((axis) => [axis - 1]);
    this.#rowOrders.set(value, [...arrange(numbers, own, { axes })]);
    return Tensor.of(this.graph, this.graph.flatten(x.own));
  }

  #context(node: NetworkNode, inputs: readonly Tensor[], steps: number): Context<G, W> {
    const values = (role: string): Float32Array | undefined => {
      const id = node.weights[role];
      return id === undefined ? undefined : this.weights.source.read(id);
    };
    const results = node.outputs.map((value) => {
      const own = this.network.values[value] ?? { shape: undefined, dtype: 'float32' as const };
      return steps === 0 ? own : { ...own, shape: own.shape && [null, ...own.shape.slice(steps + 1)] };
    });
    const { graph, weights, format } = this;
    const c: Context<G, W> = {
      ...{ graph, weights, node, attributes: node.attributes, inputs, results, values },
      rowOrder: this.#rowOrders.get(node.inputs[0] as number),
      border: this.#borders.get(node.inputs[0] as number),
      id: (role) => node.weights[role],
      tail: (kernel) => this.#tail(node, kernel, values),
      product: (x, rows) => format.product(c, x, rows),
      rowsOf: (id, indices) => format.rowsOf(c, id, indices),
    };
    return c;
  }

  /** Takes normalizations behind a product into its weights. */
  #tail(node: NetworkNode, kernel: string, values: Context['values']): Tail {
    let bias = values('bias');
    let factors: Float64Array | undefined;
    let [end] = node.outputs as [number];
    const id = node.weights[kernel] as string;
    const takes =
      FOLDING.test(node.operation) &&
      node.attributes.activation === 'linear' &&
      this.#uses.get(id) === 1 &&
      this.weights.takesFactors(id);
    while (takes) {
      const next = this.#wires.takers(end);
      const [only] = next;
      if (next.length !== 1 || !only || this.#wires.isOutput(end) || only.steps !== node.steps) break;
      if (isIdentity(only)) {
        // Handed on as it is.
      } else if (only.operation === 'BatchNormalization') {
        const rank = (this.network.values[end]?.shape?.length ?? 0) - only.steps;
        const channels = node.attributes.data_format === 'channels_first' ? 1 : rank - 1;
        if (axisOf(only.attributes.axis, rank) !== channels) break;
        const read = (role: string) =>
          only.weights[role] === undefined
            ? undefined
            : this.weights.source.read(only.weights[role] as string);
        const { scale, shift } = affineOf(read, Number(only.attributes.epsilon));
        const before = factors;
        bias = Float32Array.from(shift, (s, i) => (bias?.[i] ?? 0) * (scale[i] as number) + s);
        factors = scale.map((s, i) => s * (before?.[i] ?? 1));
      } else break;
      this.#done.add(only);
      [end] = only.outputs as [number];
    }
    this.#ends.set(node, end);
    return { factors, bias };
  }
}
