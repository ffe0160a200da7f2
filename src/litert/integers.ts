// A graph computed in integers of 8 bits: as much of it as has weights that are codes and ranges that are known.
import { refuse } from '../export/refusal.js';
import { madeBytes } from '../export/values.js';
import { neededOf, takersOf } from './fuse.js';
import type { Graph, Operation, Quantization, StoredTensor } from './types.js';

/** Least and largest value of a tensor; 0 is between them. */
type Span = readonly [low: number, high: number];

/** Products: which input is the kernel, and the axis of its output channels. */
const PRODUCTS: Readonly<Record<string, { readonly axis: number }>> = {
  CONV_2D: { axis: 0 },
  DEPTHWISE_CONV_2D: { axis: 3 },
  FULLY_CONNECTED: { axis: 0 },
};
/** Operations that give integers on the scale of those that they take. */
const MOVING = new Set([
  'MAX_POOL_2D',
  'AVERAGE_POOL_2D',
  'RESHAPE',
  'TRANSPOSE',
  'PAD',
  'SLICE',
  'REDUCE_MAX',
]);
/** Of these, operations whose output is as large as what they take. */
const BACK = new Set(['MAX_POOL_2D', 'RESHAPE', 'TRANSPOSE', 'REDUCE_MAX']);
/** Operations whose integers may have another scale. */
const OTHERS = new Set(['ADD', 'MUL', 'MEAN', 'CONCATENATION', 'RELU', 'ELU', 'HARD_SWISH', 'LEAKY_RELU']);
/** Functions whose values LiteRT wants on one scale. */
const FIXED: Readonly<Record<string, Quantization>> = {
  LOGISTIC: { scales: [1 / 256], zero: -128, axis: 0 },
  TANH: { scales: [1 / 128], zero: 0, axis: 0 },
};
/** Below these an activation is flat to 8 bits: `elu(-6) = -0.9975`. */
const FLAT: Readonly<Record<string, number>> = { ELU: -6, HARD_SWISH: -3, RELU: 0 };
const SATURATED: Readonly<Record<string, Span>> = { LOGISTIC: [-8, 8], TANH: [-4, 4] };

const scaleOf = ([low, high]: Span): Quantization => {
  const scale = Math.max((high - low) / 255, 2 ** -100);
  return { scales: [scale], zero: Math.round(-128 - low / scale), axis: 0 };
};

const isSame = (a: Quantization, b: Quantization) => a.scales[0] === b.scales[0] && a.zero === b.zero;

/** Where the operations of a graph are between its tensors. */
class Wiring {
  readonly makers: ReadonlyMap<string, Operation>;
  readonly takers: ReadonlyMap<string, readonly Operation[]>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;

  constructor(readonly graph: Graph) {
    this.makers = new Map(graph.operations.flatMap((own) => own.outputs.map((name) => [name, own] as const)));
    this.takers = takersOf(graph);
    this.tensors = new Map(graph.tensors.map((own) => [own.name, own]));
  }

  /** Codes of 8 bits behind the kernel of a product, with a scale for each of its columns. */
  kernelOf({ op, inputs }: Operation): StoredTensor | undefined {
    const product = PRODUCTS[op];
    const maker = product && this.makers.get(inputs[1] as string);
    const codes = maker?.op === 'DEQUANTIZE' ? this.tensors.get(maker.inputs[0] as string) : undefined;
    if (!codes?.quantization || codes.type !== 'int8') return undefined;
    const { scales, axis } = codes.quantization;
    return scales.length === 1 || axis === product?.axis ? codes : undefined;
  }

  /** Values that an operation takes, without kernels, lengths and the like. */
  activationsOf(operation: Operation): string[] {
    const own = operation.op === 'ADD' || operation.op === 'MUL' || operation.op === 'CONCATENATION';
    return own ? [...operation.inputs] : [operation.inputs[0] as string];
  }
}

/** Spans of tensors, from the largest magnitudes that are known of some. */
function spansOf(wiring: Wiring, known: ReadonlyMap<string, number>): Map<string, Span> {
  const { graph, makers, takers } = wiring;
  const lows = new Map<string, number>();
  const lowOf = (name: string, high: number): number => {
    const before = lows.get(name);
    if (before !== undefined) return Math.max(before, -high);
    const maker = makers.get(name);
    const fused = maker?.options.fused_activation_function;
    let low = -high;
    if (fused === 1 || fused === 3 || maker?.op === 'RELU' || maker?.op === 'RELU6') low = 0;
    else if (maker?.op === 'ELU') low = Math.max(-1, -high);
    else if (maker && (MOVING.has(maker.op) || maker.op === 'MEAN' || maker.op === 'CONCATENATION'))
      low = Math.min(...wiring.activationsOf(maker).map((input) => lowOf(input, high)));
    lows.set(name, low);
    return low;
  };
  const spans = new Map<string, Span>();
  for (const [name, high] of known) if (high > 0) spans.set(name, [lowOf(name, high), high]);
  // What goes into an operation, by what comes out of it.
  for (const { op, inputs, outputs, options } of [...graph.operations].reverse()) {
    const [input] = inputs as [string];
    const [output] = outputs as [string];
    const isAlone = takers.get(input)?.length === 1 && !graph.outputs.includes(input);
    if (spans.has(input) || !isAlone) continue;
    const saturated = SATURATED[op];
    if (saturated) spans.set(input, saturated);
    const span = spans.get(output);
    if (!span) continue;
    const [low, high] = span;
    if (BACK.has(op)) spans.set(input, [lowOf(input, high), high]);
    else if (FLAT[op] !== undefined) spans.set(input, [FLAT[op], high]);
    else if (op === 'LEAKY_RELU') spans.set(input, [low / Number(options.alpha), high]);
  }
  // What comes out, by what goes in.
  for (const operation of graph.operations) {
    const { op, outputs } = operation;
    const [output] = outputs as [string];
    const given = wiring.activationsOf(operation).map((input) => spans.get(input));
    if (spans.has(output) || !given.every((span) => span !== undefined)) continue;
    const all = given as Span[];
    const low = Math.min(...all.map((span) => span[0]));
    const high = Math.max(...all.map((span) => span[1]));
    if (MOVING.has(op) || op === 'MEAN' || op === 'CONCATENATION') spans.set(output, [low, high]);
    else if (op === 'RELU') spans.set(output, [0, high]);
    else if (op === 'ELU') spans.set(output, [Math.max(low, -1), high]);
  }
  return spans;
}

/**
 * The graph with integers wherever products have codes, what goes in and what comes out has a range, and operations
 * between such products know integers. Inputs and outputs stay float32.
 *
 * @param known largest magnitudes by tensor
 * @returns the graph, and how many of its products are made of integers, of those that have codes
 */
export function withIntegers(
  graph: Graph,
  known: ReadonlyMap<string, number>,
): { readonly graph: Graph; readonly products: number; readonly coded: number } {
  const wiring = new Wiring(graph);
  const rewriter = new Rewriter(wiring, spansOf(wiring, known));
  for (const operation of graph.operations) rewriter.add(operation);
  const { products, coded } = rewriter;
  return { graph: rewriter.finish(), products, coded };
}

class Rewriter {
  products = 0;
  coded = 0;
  readonly #operations: Operation[] = [];
  readonly #added: StoredTensor[] = [];
  readonly #names: Set<string>;
  /** Scales of tensors, and the names under which their integers are there. */
  readonly #scales = new Map<string, Quantization>();
  readonly #integers = new Map<string, string>();
  /** Tensors that are there as floats. */
  readonly #floats: Set<string>;

  constructor(
    readonly wiring: Wiring,
    readonly spans: ReadonlyMap<string, Span>,
  ) {
    this.#names = new Set(wiring.tensors.keys());
    const stored = wiring.graph.tensors.filter(({ data }) => data).map(({ name }) => name);
    this.#floats = new Set([...wiring.graph.inputs, ...stored, '']);
  }

  add(operation: Operation): void {
    const kernel = this.wiring.kernelOf(operation);
    if (kernel) this.coded++;
    const isInteger = kernel ? this.#isReady(operation) : this.#isContinued(operation);
    if (!isInteger) {
      for (const input of operation.inputs) this.#float(input);
      for (const output of operation.outputs) this.#floats.add(output);
      this.#operations.push(operation);
      return;
    }
    if (kernel) this.products++;
    const { op, inputs, outputs } = operation;
    const [first] = inputs as [string];
    const [output] = outputs as [string];
    const target = this.#targetOf(operation);
    this.#scales.set(output, target);
    const made = this.#tensor(output, target);
    if (kernel) {
      const scale = this.#scale(first);
      const bias = this.#bias(inputs[2] ?? '', kernel, scale, output);
      const own = [this.#integer(first, scale), kernel.name, bias];
      this.#operations.push({ ...operation, inputs: own, outputs: [made] });
    } else {
      // Integers that are only moved keep their scale; those side by side have one.
      const own = this.wiring.activationsOf(operation);
      const taken = inputs.map((input) =>
        own.includes(input)
          ? this.#integer(input, op === 'CONCATENATION' ? target : this.#scale(input))
          : input,
      );
      this.#operations.push({ ...operation, inputs: taken, outputs: [made] });
    }
    this.#integers.set(output, made);
  }

  finish(): Graph {
    const { graph } = this.wiring;
    for (const output of graph.outputs) this.#float(output);
    return neededOf({ ...graph, operations: this.#operations, tensors: [...graph.tensors, ...this.#added] });
  }

  /** Whether a product with codes has ranges before and behind it. */
  #isReady({ inputs, outputs }: Operation): boolean {
    return this.#hasScale(inputs[0] as string) && this.spans.has(outputs[0] as string);
  }

  /** Whether an operation takes integers that are there, and knows what to do with them. */
  #isContinued(operation: Operation): boolean {
    const { op, outputs } = operation;
    const own = this.wiring.activationsOf(operation);
    if (!own.some((input) => this.#integers.has(input)) || !own.every((input) => this.#hasScale(input)))
      return false;
    const isFloat = this.wiring.tensors.get(outputs[0] as string)?.type === 'float';
    if (!isFloat || outputs.length !== 1 || this.#isOfFloats(operation)) return false;
    return (
      MOVING.has(op) || FIXED[op] !== undefined || (OTHERS.has(op) && this.spans.has(outputs[0] as string))
    );
  }

  /**
   * Whether an operation is a mean that only floats take: that of a normalization, whose rows may be nearer to each other than a
   * step of 8 bits. LiteRT's plain kernel and its delegate also round it in two ways.
   */
  #isOfFloats({ op, outputs }: Operation): boolean {
    const takers = this.wiring.takers.get(outputs[0] as string) ?? [];
    const goesOn = (taker: Operation) =>
      this.wiring.kernelOf(taker) !== undefined ||
      MOVING.has(taker.op) ||
      OTHERS.has(taker.op) ||
      FIXED[taker.op] !== undefined;
    return op === 'MEAN' && !takers.some(goesOn);
  }

  #hasScale(name: string): boolean {
    return (this.#scales.has(name) || this.spans.has(name)) && !this.wiring.tensors.get(name)?.data;
  }

  #scale(name: string): Quantization {
    const known = this.#scales.get(name) ?? scaleOf(this.spans.get(name) as Span);
    this.#scales.set(name, known);
    return known;
  }

  #targetOf({ op, inputs, outputs }: Operation): Quantization {
    const fixed = FIXED[op];
    if (fixed) return fixed;
    if (MOVING.has(op)) return this.#scale(inputs[0] as string);
    return scaleOf(this.spans.get(outputs[0] as string) as Span);
  }

  #unique(wanted: string): string {
    let name = wanted;
    for (let n = 1; this.#names.has(name); n++) name = `${wanted}_${n}`;
    this.#names.add(name);
    return name;
  }

  #tensor(name: string, quantization: Quantization): string {
    const { shape } = this.wiring.tensors.get(name) as StoredTensor;
    const own = this.#unique(`${name}/int8`);
    this.#added.push({ name: own, type: 'int8', shape, quantization });
    return own;
  }

  /** The integers of a tensor on some scale. */
  #integer(name: string, wanted: Quantization): string {
    const there = this.#integers.get(name);
    const scale = this.#scale(name);
    if (there && isSame(scale, wanted)) return there;
    const made = this.#tensor(name, wanted);
    this.#operations.push({ op: 'QUANTIZE', inputs: [there ?? name], outputs: [made], options: {} });
    if (!there && isSame(scale, wanted)) this.#integers.set(name, made);
    return made;
  }

  /** Makes floats of a tensor that is there as integers. */
  #float(name: string): void {
    if (this.#floats.has(name)) return;
    const there = this.#integers.get(name);
    if (!there) return;
    this.#operations.push({ op: 'DEQUANTIZE', inputs: [there], outputs: [name], options: {} });
    this.#floats.add(name);
  }

  /** A bias in the units of the sums: `scale of the input * scale of the column`. */
  #bias(name: string, kernel: StoredTensor, input: Quantization, output: string): string {
    const { scales } = kernel.quantization as Quantization;
    const stored = this.wiring.tensors.get(name);
    if (name === '') return '';
    const data = stored?.data;
    if (!data) return refuse('a bias that is not stored');
    const count = data.length / 4;
    const units = Float32Array.from(
      { length: scales.length },
      (_, i) => (input.scales[0] as number) * (scales[i] as number),
    );
    const bytes = () => {
      const values = madeBytes(data);
      const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
      const most = 2 ** 31 - 1;
      const sums = Int32Array.from({ length: count }, (_, i) => {
        const sum = Math.round(view.getFloat32(4 * i, true) / (units[units.length === 1 ? 0 : i] as number));
        return Number.isNaN(sum) ? 0 : Math.min(Math.max(sum, -most), most);
      });
      return new Uint8Array(sums.buffer);
    };
    const own = this.#unique(`${output}/bias`);
    const quantization = { scales: units, zero: 0, axis: 0 };
    this.#added.push({
      name: own,
      type: 'int32',
      shape: [count],
      data: { length: 4 * count, bytes },
      quantization,
    });
    return own;
  }
}
