// What is next to what in a network, and how nodes are taken out of it.
import { MASKS } from '../operations/layers.js';
import type { Network, NetworkNode, Shape, Value } from '../types.js';
import { numberedAnew } from './needed.js';

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
    const value = values[own] as Value;
    values[own] = { ...value, shape: merged(value.shape, values[output]?.shape) };
  }
  const nodes = network.nodes.filter((node) => !gone.has(node));
  return numberedAnew({ ...network, values, nodes }, (value) => instead.get(value) ?? value);
}
