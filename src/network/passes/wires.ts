// What is next to what in a network, and how nodes are taken out of it.
import { MASKS } from '../operations/layers.js';
import type { Network, NetworkNode, Port, Shape, Value } from '../types.js';

/** Where the values of a network come from and go to. */
export interface Wires {
  /** Nodes by the path of their layer, in the order of the network; a shared layer has several. Masks are no layers. */
  readonly layers: ReadonlyMap<string, readonly NetworkNode[]>;
  /** The node that makes a value; undefined for inputs. */
  maker(value: number): NetworkNode | undefined;
  /** Nodes that take a value, each as often as it does. */
  takers(value: number): readonly NetworkNode[];
  isOutput(value: number): boolean;
}

export function wiresOf({ nodes, outputs }: Network): Wires {
  const layers = new Map<string, NetworkNode[]>();
  const makers = new Map<number, NetworkNode>();
  const takers = new Map<number, NetworkNode[]>();
  const ends = new Set(outputs.map(({ value }) => value));
  const add = <K>(lists: Map<K, NetworkNode[]>, key: K, node: NetworkNode) => {
    const list = lists.get(key);
    if (list) list.push(node);
    else lists.set(key, [node]);
  };
  for (const node of nodes) {
    if (!Object.hasOwn(MASKS, node.operation)) add(layers, node.layer, node);
    for (const value of node.outputs) makers.set(value, node);
    for (const value of node.inputs) add(takers, value, node);
  }
  return {
    layers,
    maker: (value) => makers.get(value),
    takers: (value) => takers.get(value) ?? [],
    isOutput: (value) => ends.has(value),
  };
}

/** What is known of a value by either of two shapes. */
const merged = (shape: Shape | undefined, other: Shape | undefined): Shape | undefined =>
  shape && other?.length === shape.length ? shape.map((n, i) => n ?? other[i] ?? null) : (shape ?? other);

/**
 * The network without some of its nodes: who takes their output takes their first input. Values that nobody makes or
 * takes any more go, and the others are numbered anew in their order. Inputs and outputs keep their names.
 */
export function withoutNodes(network: Network, gone: ReadonlySet<NetworkNode>): Network {
  if (gone.size === 0) return network;
  const values: Value[] = [...network.values];
  const instead = new Map<number, number>();
  for (const { inputs, outputs } of network.nodes.filter((node) => gone.has(node))) {
    const [input] = inputs;
    const [output] = outputs;
    if (input === undefined || output === undefined) continue;
    const own = instead.get(input) ?? input;
    instead.set(output, own);
    const { shape, dtype } = values[own] as Value;
    values[own] = { shape: merged(shape, values[output]?.shape), dtype };
  }
  const nodes = network.nodes.filter((node) => !gone.has(node));
  return numberedAnew({ ...network, values, nodes }, (value) => instead.get(value) ?? value);
}

/** The network without the nodes that no output needs, and without what was wrong with their layers. */
export function neededNodes(network: Network): Network {
  const needed = new Set(network.outputs.map(({ value }) => value));
  const kept: NetworkNode[] = [];
  for (const node of [...network.nodes].reverse()) {
    if (!node.outputs.some((value) => needed.has(value))) continue;
    kept.push(node);
    for (const value of node.inputs) needed.add(value);
  }
  if (kept.length === network.nodes.length) return network;
  const stay = new Set(kept.map(({ layer }) => layer));
  const gone = new Set(network.nodes.map(({ layer }) => layer).filter((layer) => !stay.has(layer)));
  const problems = network.problems.filter(({ layer }) => !gone.has(layer));
  return numberedAnew({ ...network, nodes: kept.reverse(), problems }, (value) => value);
}

/** The network with values numbered in their order, and without those that nobody makes or takes. */
function numberedAnew(network: Network, resolve: (value: number) => number): Network {
  const { values, nodes } = network;
  const used = new Set<number>();
  for (const { value } of [...network.inputs, ...network.outputs]) used.add(resolve(value));
  for (const { inputs, outputs } of nodes)
    for (const value of [...inputs, ...outputs]) used.add(resolve(value));
  const kept = [...used].sort((a, b) => a - b);
  const numbers = new Map(kept.map((value, at) => [value, at]));
  const numbered = (value: number) => numbers.get(resolve(value)) as number;
  const port = ({ name, value }: Port): Port => ({ name, value: numbered(value) });
  return {
    ...network,
    values: kept.map((value) => values[value] as Value),
    nodes: nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(numbered),
      outputs: node.outputs.map(numbered),
    })),
    inputs: network.inputs.map(port),
    outputs: network.outputs.map(port),
  };
}
