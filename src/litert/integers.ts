// Products of integers of 8 bits: kernels as their codes, activations rounded by LiteRT as they come, each sample on its own range.
import { neededOf, takersOf } from './fuse.js';
import type { Graph, Operation, StoredTensor } from './types.js';

/** Products that LiteRT computes from a float input and codes of 8 bits. */
const PRODUCTS: ReadonlySet<string> = new Set(['CONV_2D', 'FULLY_CONNECTED']);
/** What may come between an input and its first convolution: another order, a border, other units. */
const PREPARING: ReadonlySet<string> = new Set([
  'ADD',
  'CAST',
  'DIV',
  'MUL',
  'PAD',
  'PADV2',
  'RESHAPE',
  'SUB',
  'TRANSPOSE',
]);

/** Why weights that are codes of 8 bits become floats. */
export type FloatReason = 'depthwise' | 'first' | 'other';

export interface Integers {
  readonly graph: Graph;
  /** Codes that products take as they are. */
  readonly taken: readonly string[];
  /** Codes that become floats while the model loads, with the reason. */
  readonly decoded: readonly (readonly [name: string, reason: FloatReason])[];
}

/**
 * The graph with codes of 8 bits instead of decoded kernels, wherever LiteRT has a fast product for them. It rounds the
 * input of such a product to 8 bits between the least and the largest value of a sample (of a row in a dense layer), and gives floats.
 *
 * Kernels that become floats as before, as docs/EXPORT.md says: depthwise ones, for which LiteRT's fast kernels have no such
 * product, and convolutions of an input of the network, whose rounding all others would carry on and which
 * have few channels to multiply.
 */
export function withIntegers(graph: Graph): Integers {
  const tensors = new Map(graph.tensors.map((own) => [own.name, own]));
  const codes = new Map<string, StoredTensor>();
  for (const { op, inputs, outputs } of graph.operations) {
    const stored = op === 'DEQUANTIZE' ? tensors.get(inputs[0] as string) : undefined;
    if (stored?.type === 'int8' && stored.data) codes.set(outputs[0] as string, stored);
  }
  const known = inputsOf(graph);
  const isInput = (name: string) => known.has(name);
  const kernelOf = ({ op, inputs: [input = '', kernel = ''] }: Operation): StoredTensor | undefined => {
    const stored = codes.get(kernel);
    if (!stored?.quantization || !PRODUCTS.has(op) || (op === 'CONV_2D' && isInput(input))) return undefined;
    // A scale for each column, which is the first axis, or one for all.
    const { scales, axis } = stored.quantization;
    return scales.length === 1 || axis === 0 ? stored : undefined;
  };
  const kernels = new Set<string>();
  const operations = graph.operations.map((own) => {
    const kernel = kernelOf(own);
    if (!kernel) return own;
    kernels.add(kernel.name);
    const [input = '', , ...others] = own.inputs;
    return { ...own, inputs: [input, kernel.name, ...others] };
  });
  const all = graph.tensors.map((own) => (kernels.has(own.name) ? withColumns(own) : own));
  const result = neededOf({ ...graph, operations, tensors: all });
  const takers = takersOf(result);
  const reasonOf = (decoded: string): FloatReason | undefined => {
    const [first] = takers.get(decoded) ?? [];
    if (!first) return undefined;
    if (first.op === 'DEPTHWISE_CONV_2D') return 'depthwise';
    return first.op === 'CONV_2D' && isInput(first.inputs[0] as string) ? 'first' : 'other';
  };
  const decoded = [...codes].flatMap(([made, { name }]) => {
    const reason = reasonOf(made);
    return reason ? [[name, reason] as const] : [];
  });
  const floats = new Set(decoded.map(([name]) => name));
  const taken = [...codes.values()].map(({ name }) => name).filter((name) => !floats.has(name));
  return { graph: result, taken, decoded };
}

/** The kernel with a scale for each of its columns, which LiteRT's plain kernels want. */
function withColumns(kernel: StoredTensor): StoredTensor {
  const { quantization, shape } = kernel;
  if (quantization?.scales.length !== 1) return kernel;
  const [columns = 1] = shape;
  const scales = new Float32Array(columns).fill(quantization.scales[0] as number);
  return { ...kernel, quantization: { ...quantization, scales } };
}

/** Inputs, and what is made of them and of constants before any product. */
function inputsOf({ inputs, operations, tensors }: Graph): ReadonlySet<string> {
  const given = new Set(inputs);
  const stored = new Set(['', ...tensors.filter(({ data }) => data).map(({ name }) => name)]);
  for (const { op, inputs: taken, outputs } of operations)
    if (
      PREPARING.has(op) &&
      taken.some((name) => given.has(name)) &&
      taken.every((name) => given.has(name) || stored.has(name))
    )
      for (const output of outputs) given.add(output);
  return given;
}
