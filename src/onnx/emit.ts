// The walk over a network: every node becomes a few nodes of ONNX, values of the network values of the graph.
import { BitnibbleError } from '../errors.js';
import { arrange } from '../export/arrange.js';
import { namingNode, refuse } from '../export/refusal.js';
import type { CodedSource } from '../export/stored.js';
import { type Network, type NetworkNode, operationOf, requireRunnable } from '../network/index.js';
import { type Wires, wiresOf } from '../network/passes/wires.js';
import { ACTIVATIONS, type Activation, activationOf } from './activations.js';
import { axisOf, type Context, ELEMENTS, type Emit, each, floatOf, type Tail } from './context.js';
import { GraphBuilder } from './graph.js';
import { ATTENTION } from './layers-attention.js';
import { IMAGES } from './layers-images.js';
import { affineOf, NORMALIZATIONS } from './layers-normalizations.js';
import { PRODUCTS } from './layers-products.js';
import { RECURRENT } from './layers-recurrent.js';
import { SHAPES } from './layers-shapes.js';
import { TENSORS } from './layers-tensors.js';
import { plainOrder, Tensor } from './tensor.js';
import type { Dim, Graph, Val } from './types.js';
import { type WeightStorage, WeightWriter } from './weights.js';

const EMITS: Readonly<Record<string, Emit>> = {
  ...PRODUCTS,
  ...IMAGES,
  ...NORMALIZATIONS,
  ...SHAPES,
  ...TENSORS,
  ...RECURRENT,
  ...ATTENTION,
};

/** Operations into whose weights a normalization behind them is folded. */
const FOLDING = /^(Conv[123]D|Conv[123]DTranspose|Dense|DepthwiseConv[12]D|SeparableConv[12]D)$/;
/** Operations that put zeros around their input themselves. */
const BORDERED = /^(Conv[123]D|DepthwiseConv[12]D)$/;
/** Operations on the last axis alone, which need not know of steps. */
const ROWWISE = /^(Dense|Embedding)$/;

export interface Emitted {
  readonly graph: Graph;
  readonly builder: GraphBuilder;
  readonly weights: WeightWriter;
}

/**
 * Turns a network into a graph of ONNX.
 * @throws BitnibbleError `unsupported-layer` naming layers and reasons, `missing-weight`
 */
export function emitNetwork(network: Network, source: CodedSource, storage: WeightStorage): Emitted {
  requireRunnable(network, source.file, 'ONNX', unknownOf(network));
  const emitter = new Emitter(network, source, storage);
  return emitter.run();
}

const isIdentity = ({ operation }: NetworkNode) => operationOf(operation)?.isIdentity === true;

/** Whether ONNX has an operation with some attributes. */
export const isEmitted = (operation: string): boolean =>
  Object.hasOwn(EMITS, operation) ||
  operationOf(operation)?.isIdentity === true ||
  activationOf(operation, {}) !== undefined;

function unknownOf({ nodes }: Network): Network['problems'] {
  return nodes.flatMap(({ operation, attributes, layer, className }) => {
    const names = ['activation', 'recurrent_activation'].flatMap((key) =>
      typeof attributes[key] === 'string' && !Object.hasOwn(ACTIVATIONS, attributes[key] as string)
        ? [`${key} ${String(attributes[key])}`]
        : [],
    );
    if (names.length === 0 && isEmitted(operation)) return [];
    const reason = names[0] ?? `${operation} is not among its operations`;
    return [{ layer, className, reason, code: 'unsupported-layer' as const }];
  });
}

class Emitter {
  readonly graph = new GraphBuilder();
  readonly weights: WeightWriter;
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
    readonly source: CodedSource,
    storage: WeightStorage,
  ) {
    this.weights = new WeightWriter(this.graph, source, storage);
    this.#wires = wiresOf(network);
    for (const node of network.nodes)
      for (const id of Object.values(node.weights)) this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1);
  }

  run(): Emitted {
    const { network, graph, weights } = this;
    const inputs = network.inputs.map(({ name, value }): Val => {
      const { shape, dtype } = network.values[value] ?? {};
      const type = ELEMENTS[dtype ?? 'float32'];
      if (!type || !shape) {
        const what = type ? 'unknown rank' : `type ${dtype}`;
        const message = `${this.source.file}: ONNX cannot take the input ${name} of ${what}`;
        throw new BitnibbleError('unsupported-layer', message);
      }
      const dims = shape.map((n, axis): Dim => n ?? (axis === 0 ? 'batch' : `${name}_${axis}`));
      const val = graph.input(name, type, dims);
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
    return { graph: graph.graph(network.name || 'model', inputs, outputs), builder: graph, weights };
  }

  #add(node: NetworkNode): void {
    namingNode(this.source.file, 'ONNX cannot hold', node, () => {
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

  #emit(c: Context): readonly Tensor[] {
    const { operation, attributes } = c.node;
    const activation: Activation | undefined = activationOf(operation, attributes);
    if (activation) {
      const x = floatOf(c.inputs[0] as Tensor);
      return [each(x, (val) => activation(c.graph, val, x.order))];
    }
    return (EMITS[operation] as Emit)(c);
  }

  /** Zeros that the only layer behind will add itself. */
  #leavesBorder(node: NetworkNode): boolean {
    if (!/^ZeroPadding[123]D$/.test(node.operation)) return false;
    const [value] = node.outputs as [number];
    const next = this.#wires.takers(value);
    const [only] = next;
    const isAlone = next.length === 1 && only && !this.#wires.isOutput(value) && only.steps === node.steps;
    if (!isAlone || !BORDERED.test(only.operation) || only.attributes.padding !== 'valid') return false;
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
    const shape: Dim[] = [x.own.shape[0] as Dim, count];
    return Tensor.of(this.graph, this.graph.add('Flatten', [x.own], { shape }, { axis: 1 }));
  }

  #context(node: NetworkNode, inputs: readonly Tensor[], steps: number): Context {
    const values = (role: string): Float32Array | undefined => {
      const id = node.weights[role];
      return id === undefined ? undefined : this.source.read(id);
    };
    const results = node.outputs.map((value) => {
      const own = this.network.values[value] ?? { shape: undefined, dtype: 'float32' as const };
      return steps === 0 ? own : { ...own, shape: own.shape && [null, ...own.shape.slice(steps + 1)] };
    });
    return {
      ...{
        graph: this.graph,
        weights: this.weights,
        node,
        attributes: node.attributes,
        inputs,
        results,
        values,
      },
      rowOrder: this.#rowOrders.get(node.inputs[0] as number),
      border: this.#borders.get(node.inputs[0] as number),
      id: (role) => node.weights[role],
      tail: (kernel) => this.#tail(node, kernel, values),
    };
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
          only.weights[role] === undefined ? undefined : this.source.read(only.weights[role] as string);
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
