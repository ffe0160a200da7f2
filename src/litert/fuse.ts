// What follows from a graph as a whole: operations that compute another's activation, and what nobody needs.
import type { Graph, Operation } from './types.js';

/** `ActivationFunctionType` of operations that are one. */
const ACTIVATIONS: Readonly<Record<string, number>> = { RELU: 1, RELU_N1_TO_1: 2, RELU6: 3 };
/** Operations that compute an activation as well. */
const FUSING = new Set([
  'CONV_2D',
  'CONV_3D',
  'DEPTHWISE_CONV_2D',
  'FULLY_CONNECTED',
  'ADD',
  'SUB',
  'MUL',
  'DIV',
]);

/** Operations by what they take. */
export function takersOf({ operations }: Graph): ReadonlyMap<string, readonly Operation[]> {
  const takers = new Map<string, Operation[]>();
  for (const operation of operations)
    for (const input of operation.inputs) takers.set(input, [...(takers.get(input) ?? []), operation]);
  return takers;
}

/** The graph with clipped outputs as a part of the operation that makes them. */
export function withFusedActivations(graph: Graph): Graph {
  const takers = takersOf(graph);
  const types = new Map(graph.tensors.map(({ name, type }) => [name, type]));
  const gone = new Set<Operation>();
  const operations = graph.operations.map((own) => {
    const [output] = own.outputs as [string];
    const [next, ...others] = takers.get(output) ?? [];
    const code = next && ACTIVATIONS[next.op];
    const isAlone = others.length === 0 && !graph.outputs.includes(output);
    if (!code || !isAlone || !FUSING.has(own.op) || types.get(output) !== 'float') return own;
    gone.add(next);
    return { ...own, outputs: next.outputs, options: { ...own.options, fused_activation_function: code } };
  });
  return neededOf({
    ...graph,
    operations: operations.filter((_, i) => !gone.has(graph.operations[i] as Operation)),
  });
}

/** The graph without operations and tensors that no output needs. */
export function neededOf(graph: Graph): Graph {
  const needed = new Set([...graph.outputs]);
  const operations: Operation[] = [];
  for (const own of [...graph.operations].reverse()) {
    if (!own.outputs.some((output) => needed.has(output))) continue;
    for (const name of [...own.inputs, ...own.outputs]) needed.add(name);
    operations.push(own);
  }
  for (const input of graph.inputs) needed.add(input);
  return {
    ...graph,
    operations: operations.reverse(),
    tensors: graph.tensors.filter(({ name }) => needed.has(name)),
  };
}
