import type { Network, NetworkNode, Port, Value } from '../types.js';

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
export function numberedAnew(network: Network, resolve: (value: number) => number): Network {
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
