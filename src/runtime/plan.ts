import { BitnibbleError } from '../errors.js';
import { namingNode } from '../export/refusal.js';
import { BITS, type CodedSource, codedWeight } from '../export/stored.js';
import { requireRunnable } from '../network/runnable.js';
import type { Network, NetworkNode } from '../network/types.js';
import { addActivation, isLinear } from './activations.js';
import { type Border, type Build, type Context, refuse, type Tail } from './context.js';
import { affineOf } from './layers-affine.js';
import { borderOf } from './layers-shapes.js';
import type { ProductOptions } from './options.js';
import type { Program, Tensor } from './program.js';
import { isPlanned, ownActivation, type Rows } from './rows.js';
import type { Weight } from './weights.js';

/** In magnitude, in scales: -8 of int4. */
const LARGEST_LEVEL = 8;

/** Operations into whose weights a normalization behind them is folded. */
const FOLDING = /^(Conv[12]D|Dense|DepthwiseConv[12]D|SeparableConv[12]D)$/;

/** Operations that put zeros around their input themselves. */
const BORDERED = /^(Conv[12]D|DepthwiseConv[12]D)$/;

export interface Plan {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/**
 * Refuses a network with operations that are not known here.
 * @throws BitnibbleError `unsupported-layer` naming all of them
 */
export function requireOperations(network: Network, file: string, rows: Rows): void {
  requireRunnable(network, file, 'the runtime', unknownOf(network, rows));
}

/**
 * Turns a network into steps of a program: normalizations and activations behind products become part of them, padding before
 * convolutions too.
 *
 * @param shapes of the inputs, without the batch, all lengths fixed
 * @throws BitnibbleError `unsupported-layer` naming what cannot be run and why, `too-large`, `missing-weight`
 */
export function planNetwork(
  program: Program,
  network: Network,
  source: CodedSource,
  shapes: readonly (readonly number[])[],
  options: ProductOptions,
  rows: Rows,
): Plan {
  const inputs = shapes.map((shape) => program.tensor(shape));
  const planner = new Planner(program, network, source, options, rows);
  network.inputs.forEach(({ value }, i) => {
    planner.tensors.set(value, inputs[i] as Tensor);
    program.name(inputs[i] as Tensor, network.inputs[i]?.name as string);
  });
  for (const node of network.nodes) planner.add(node);
  return { inputs, outputs: network.outputs.map(({ value }) => planner.tensors.get(value) as Tensor) };
}

function unknownOf({ nodes }: Network, rows: Rows): Network['problems'] {
  return nodes.flatMap((node) => {
    if (isPlanned(rows, node)) return [];
    const { operation, attributes, layer, className } = node;
    const reason =
      operation === 'Activation'
        ? `activation ${String(attributes.activation)}`
        : `${operation} is not among its operations`;
    return [{ layer, className, reason, code: 'unsupported-layer' as const }];
  });
}

class Planner {
  readonly tensors = new Map<number, Tensor>();
  readonly #borders = new Map<number, Border>();
  readonly #consumers = new Map<number, NetworkNode[]>();
  readonly #done = new Set<NetworkNode>();
  readonly #outputs: ReadonlySet<number>;
  /** How many nodes use a weight, and what was read of those that several use. */
  readonly #uses = new Map<string, number>();
  readonly #weights = new Map<string, Weight>();
  readonly #values = new Map<string, Float32Array>();

  constructor(
    readonly program: Program,
    readonly network: Network,
    readonly source: CodedSource,
    readonly options: ProductOptions,
    readonly rows: Rows,
  ) {
    this.#outputs = new Set(network.outputs.map(({ value }) => value));
    for (const node of network.nodes) {
      for (const id of Object.values(node.weights)) this.#uses.set(id, (this.#uses.get(id) ?? 0) + 1);
      for (const input of new Set(node.inputs))
        this.#consumers.set(input, [...(this.#consumers.get(input) ?? []), node]);
    }
  }

  add(node: NetworkNode): void {
    if (this.#done.has(node)) return;
    namingNode(this.source.file, 'the runtime cannot run', node, () => this.#add(node));
  }

  #add(node: NetworkNode): void {
    const inputs = node.inputs.map((value) => this.tensors.get(value) as Tensor);
    const [first] = inputs as [Tensor];
    if (this.rows.isIdentity(node.operation)) {
      this.tensors.set(node.outputs[0] as number, first);
      return;
    }
    this.program.ledger.begin(node.layer, node.className);
    const context = this.#context(node, inputs);
    if (this.#leavesBorder(node, context)) return;
    this.rows.bounds?.inputs(this.program, node, inputs, this.network);
    const spec = this.rows.activationOf(node.operation, node.attributes);
    const build = this.rows.builds[node.operation];
    let results: readonly Tensor[];
    if (spec) results = [addActivation(this.program, first, spec)];
    else if (node.steps > 0)
      results = (this.rows.overSteps as NonNullable<Rows['overSteps']>)(context, build as Build);
    else results = (build as Build)(context);
    this.rows.bounds?.results(this.program, node, results, this.network);
    const outputs = this.#ends.get(node) ?? node.outputs;
    const call = this.#calls.get(node.layer) ?? 0;
    this.#calls.set(node.layer, call + 1);
    outputs.forEach((value, i) => {
      this.tensors.set(value, results[i] as Tensor);
      const name = `${node.layer}${call > 0 ? `#${call}` : ''}${i > 0 ? `:${i}` : ''}`;
      this.program.name(results[i] as Tensor, name);
      if (this.options.measures === 'all') this.program.rangeOf(results[i] as Tensor);
    });
  }

  /** How often a shared layer was seen. */
  readonly #calls = new Map<string, number>();

  /** Values that a node's own results stand for, where nodes behind it are part of it. */
  readonly #ends = new Map<NetworkNode, readonly number[]>();

  /** Zeros that the only layer behind will add itself. */
  #leavesBorder(node: NetworkNode, context: Context): boolean {
    if (!/^ZeroPadding[12]D$/.test(node.operation) || node.steps > 0) return false;
    const [value] = node.outputs as [number];
    const next = this.#consumers.get(value) ?? [];
    const [only] = next;
    const isAlone = next.length === 1 && only && !this.#outputs.has(value) && only.steps === 0;
    if (!isAlone || !BORDERED.test(only.operation) || only.attributes.data_format === 'channels_first')
      return false;
    if (node.attributes.data_format === 'channels_first' || only.attributes.padding !== 'valid') return false;
    this.#borders.set(value, borderOf(context));
    this.tensors.set(value, context.inputs[0] as Tensor);
    return true;
  }

  #context(node: NetworkNode, inputs: readonly Tensor[]): Context {
    const values = (role: string): Float32Array | undefined => {
      const id = node.weights[role];
      return id === undefined ? undefined : this.#once(this.#values, id, () => this.source.read(id));
    };
    return {
      ...{ program: this.program, options: this.options, node, attributes: node.attributes, inputs, values },
      border: this.#borders.get(node.inputs[0] as number),
      weight: (role) => this.#weight(node, role),
      tail: (channels) => this.#tail(node, channels, values),
    };
  }

  #weight(node: NetworkNode, role: string): Weight {
    const id = node.weights[role];
    if (id === undefined)
      throw new BitnibbleError('missing-weight', `${this.source.file}: ${node.layer} has no ${role}`);
    return this.#once(this.#weights, id, () => {
      const own = codedWeight(this.source, id);
      if (!own) return this.#once(this.#values, id, () => this.source.read(id));
      const { coding, codes, scales, layout } = own;
      // Where float32 ends before the largest level does, reading says whether a code goes that far.
      if (scales.some((scale) => !Number.isFinite(Math.fround(LARGEST_LEVEL * scale)))) this.source.read(id);
      return { bits: BITS[coding.scheme], codes, scales, layout };
    });
  }

  /** A weight that several nodes use is one object, so that what is made of it is made once. */
  #once<T>(known: Map<string, T>, id: string, make: () => T): T {
    const value = known.get(id) ?? make();
    if ((this.#uses.get(id) ?? 0) > 1) known.set(id, value);
    return value;
  }

  /** Takes the nodes that a product computes as well: its own activation, then normalizations, then an activation. */
  #tail(node: NetworkNode, channels: number, values: Context['values']): Tail {
    let bias = values('bias');
    let factors: Float32Array | undefined;
    let activation =
      ownActivation(this.rows, node.attributes) ?? refuse(`activation ${String(node.attributes.activation)}`);
    let [end] = node.outputs as [number];
    for (;;) {
      const next = this.#consumers.get(end) ?? [];
      const [only] = next;
      if (next.length !== 1 || !only || this.#outputs.has(end) || only.steps !== node.steps) break;
      if (only.inputs.length !== 1) break;
      const spec = this.rows.activationOf(only.operation, only.attributes);
      if (this.rows.isIdentity(only.operation)) {
        // Nothing to do.
      } else if (
        only.operation === 'BatchNormalization' &&
        FOLDING.test(node.operation) &&
        isLinear(activation)
      ) {
        const rank = this.network.values[end]?.shape?.length ?? 0;
        const isFirst = node.attributes.data_format === 'channels_first';
        const axis = Number(only.attributes.axis);
        if ((axis < 0 ? axis + rank : axis + only.steps) !== (isFirst ? 1 : rank - 1)) break;
        const read = (role: string) =>
          only.weights[role] === undefined ? undefined : this.source.read(only.weights[role] as string);
        const { scale, shift } = affineOf(read, Number(only.attributes.epsilon));
        bias = Float32Array.from(shift, (s, i) => (bias?.[i] ?? 0) * (scale[i] as number) + s);
        factors = Float32Array.from(scale, (s, i) => s * (factors?.[i] ?? 1));
      } else if (spec && isLinear(activation)) activation = spec;
      else break;
      this.#done.add(only);
      if (!this.rows.isIdentity(only.operation)) this.program.ledger.fuse(only.layer);
      [end] = only.outputs as [number];
    }
    if (factors && factors.length !== channels) refuse('a normalization of another length');
    this.#ends.set(node, [end, ...node.outputs.slice(1)]);
    return { factors, bias, activation };
  }
}
