// A graph while it is put together: names that nobody else has, shapes that follow, constants that are stored once.

import type { Binary, Builder, Edge, Part, Reduction, Unary } from '../export/builder.js';
import { refuse } from '../export/refusal.js';
import { GraphStore } from '../export/store.js';
import {
  type Dim,
  type ElementType,
  type LazyBytes,
  type Shape,
  spread,
  totalOf,
  type Val,
} from '../export/values.js';
import { type Attributes, type Graph, type Initializer, type Node, TYPES } from './types.js';

/** What a node makes. */
export interface Made {
  readonly shape: Shape;
  readonly type?: ElementType;
}

/** Versions of ONNX's operations, and of the file format that came with them. */
const BASE = { opset: 21, ir: 10 } as const;
const WITH_INT2 = { opset: 25, ir: 13 } as const;

/** Puts a graph together. */
export class GraphBuilder extends GraphStore implements Builder {
  #nodes: Node[] = [];
  #values: Val[] = [];
  readonly #initializers: Initializer[] = [];
  readonly #domains = new Set<string>();
  #hasInt2 = false;

  /** Adds a node with one output, which is called as the node is. */
  add(
    op: string,
    inputs: readonly (Val | undefined)[],
    made: Made,
    attributes: Attributes = {},
    domain = '',
  ): Val {
    return this.addMany(op, inputs, [made], attributes, domain)[0] as Val;
  }

  /** Adds a node with several outputs; undefined: one that is left out. */
  addMany(
    op: string,
    inputs: readonly (Val | undefined)[],
    made: readonly (Made | undefined)[],
    attributes: Attributes = {},
    domain = '',
  ): Val[] {
    const name = this.named(op);
    const outputs = made.map((one, i): Val => {
      if (!one) return { name: '', type: 'float', shape: [] };
      const own = i === 0 ? name : this.unique(`${name}:${i}`);
      return { name: own, type: one.type ?? inputs[0]?.type ?? 'float', shape: one.shape };
    });
    const given = inputs.map((input) => input?.name ?? '');
    while (given.at(-1) === '') given.pop();
    this.#nodes.push({
      name,
      op,
      domain,
      inputs: given,
      outputs: outputs.map((own) => own.name),
      attributes,
    });
    if (domain !== '') this.#domains.add(domain);
    this.#values.push(...outputs.filter((own) => own.name !== ''));
    return outputs;
  }

  stored(name: string, type: ElementType, shape: readonly number[], data: Uint8Array | LazyBytes): Val {
    const own = this.unique(name);
    if (type === 'int2') this.#hasInt2 = true;
    this.#initializers.push({ name: own, type, shape, data });
    return { name: own, type, shape };
  }

  ints(values: readonly number[], shape?: readonly number[]): Val {
    return this.constant('int64', values, shape);
  }

  /** A number beside values of a type. */
  scalar(value: number, type: ElementType = 'float'): Val {
    return this.constant(type === 'int32' || type === 'int64' ? type : 'float', [value], []);
  }

  /** Element by element, of the same type unless said otherwise. */
  unary(op: Unary, x: Val, numbers: Readonly<Record<string, number>> = {}): Val {
    const attributes = Object.entries(numbers).map(([key, value]) => [key, { float: value }] as const);
    return this.add(op, [x], { shape: x.shape }, Object.fromEntries(attributes));
  }

  clip(x: Val, low: number | undefined, high: number | undefined): Val {
    const bound = (value: number | undefined) =>
      value === undefined ? undefined : this.scalar(value, x.type);
    if (low === undefined && high === undefined) return x;
    return this.add('Clip', [x, bound(low), bound(high)], { shape: x.shape });
  }

  gelu(x: Val, isApproximate: boolean): Val {
    return this.add('Gelu', [x], { shape: x.shape }, isApproximate ? { approximate: 'tanh' } : {});
  }

  softmax(x: Val, axis: number, isLog = false): Val {
    return this.add(isLog ? 'LogSoftmax' : 'Softmax', [x], { shape: x.shape }, { axis });
  }

  prelu(x: Val, slope: Val): Val {
    return this.add('PRelu', [x, slope], { shape: x.shape });
  }

  binary(op: Binary, x: Val, y: Val | number, type?: ElementType): Val {
    const other = typeof y === 'number' ? this.scalar(y, x.type) : y;
    return this.add(op, [x, other], { shape: spread([x.shape, other.shape]), type: type ?? x.type });
  }

  cast(x: Val, type: ElementType): Val {
    if (x.type === type) return x;
    // Truth of numbers is being other than 0; of floats between 0 and 1 a cast would make false.
    if (type === 'bool' && x.type === 'float') return this.unary('Not', this.binary('Equal', x, 0, 'bool'));
    return this.add('Cast', [x], { shape: x.shape, type }, { to: TYPES[type] });
  }

  where(condition: Val, x: Val, y: Val): Val {
    return this.add('Where', [condition, x, y], {
      shape: spread([condition.shape, x.shape, y.shape]),
      type: x.type,
    });
  }

  matmul(x: Val, y: Val): Val {
    const [a, b] = [x.shape, y.shape];
    const batch = spread([a.slice(0, -2), b.slice(0, -2)]);
    const shape = [
      ...batch,
      ...(a.length > 1 ? [a.at(-2) as Dim] : []),
      ...(b.length > 1 ? [b.at(-1) as Dim] : []),
    ];
    return this.add('MatMul', [x, y], { shape });
  }

  einsum(equation: string, x: Val, y: Val, shape: Shape): Val {
    return this.add('Einsum', [x, y], { shape, type: 'float' }, { equation });
  }

  transpose(x: Val, perm: readonly number[]): Val {
    if (perm.every((axis, i) => axis === i)) return x;
    const made = { shape: perm.map((axis) => x.shape[axis] as Dim) };
    return this.add('Transpose', [x], made, { perm });
  }

  /** A shape of the same elements; lengths that are not known have to stand where they stood, but for one. */
  reshape(x: Val, shape: Shape): Val {
    if (shape.length === x.shape.length && shape.every((n, i) => n !== null && n === x.shape[i])) return x;
    const target = shape.map((n, i) => (typeof n === 'number' ? n : x.shape[i] === n && n !== null ? 0 : -1));
    // Where one length is left open and the batch stands first, the batch is copied, else it is what is left.
    const open = target.filter((n) => n === -1).length;
    if (open > 1) refuse('a shape of which more than one length is not known');
    return this.add('Reshape', [x, this.ints(target)], { shape });
  }

  flatten(x: Val): Val {
    const shape = [x.shape[0] as Dim, totalOf(x.shape.slice(1))];
    return this.add('Flatten', [x], { shape }, { axis: 1 });
  }

  repeat(x: Val, times: readonly number[]): Val {
    const shape = x.shape.map((n, i) => (n === 1 ? (times[i] as number) : n));
    return this.add('Expand', [x, this.ints(times)], { shape });
  }

  tile(x: Val, times: readonly number[]): Val {
    const shape = x.shape.map((n, i) =>
      times[i] === 1 ? n : typeof n === 'number' ? n * (times[i] as number) : null,
    );
    return this.add('Tile', [x, this.ints(times)], { shape });
  }

  unsqueeze(x: Val, axes: readonly number[]): Val {
    if (axes.length === 0) return x;
    const rank = x.shape.length + axes.length;
    let next = 0;
    const shape = Array.from({ length: rank }, (_, i) => (axes.includes(i) ? 1 : (x.shape[next++] as Dim)));
    return this.add('Unsqueeze', [x, this.ints(axes)], { shape });
  }

  squeeze(x: Val, axes: readonly number[]): Val {
    if (axes.length === 0) return x;
    return this.add('Squeeze', [x, this.ints(axes)], { shape: x.shape.filter((_, i) => !axes.includes(i)) });
  }

  concat(xs: readonly Val[], axis: number): Val {
    const [first] = xs as [Val];
    if (xs.length === 1) return first;
    const lengths = xs.map(({ shape }) => shape[axis]);
    const sum = lengths.every((n) => typeof n === 'number')
      ? (lengths as number[]).reduce((a, b) => a + b, 0)
      : null;
    const known = (i: number) =>
      xs.map(({ shape }) => shape[i]).find((n) => typeof n === 'number') ?? (first.shape[i] as Dim);
    const shape = first.shape.map((_, i) => (i === axis ? sum : known(i)));
    return this.add('Concat', xs, { shape }, { axis });
  }

  split(x: Val, lengths: readonly number[], axis: number): Val[] {
    const made = lengths.map((n) => ({ shape: x.shape.map((own, i) => (i === axis ? n : own)) }));
    const equal = lengths.every((n) => n === lengths[0]);
    return equal
      ? this.addMany('Split', [x], made, { axis, num_outputs: lengths.length })
      : this.addMany('Split', [x, this.ints(lengths)], made, { axis });
  }

  /** Parts of some axes: as `x[start:end:step]`, with the lengths that come out. */
  slice(x: Val, parts: readonly Part[]): Val {
    if (parts.length === 0) return x;
    const shape = x.shape.map((n, i) => {
      const own = parts.find(({ axis }) => axis === i);
      return own ? own.length : n;
    });
    const list = (of: (part: Part) => number) => this.ints(parts.map(of));
    const steps = parts.some(({ step = 1 }) => step !== 1) ? list(({ step = 1 }) => step) : undefined;
    const inputs = [x, list((p) => p.start), list((p) => p.end), list((p) => p.axis), steps];
    return this.add('Slice', inputs, { shape });
  }

  pad(x: Val, ends: readonly Edge[], value = 0): Val {
    const padded = ends.filter(({ pair }) => pair[0] + pair[1] > 0);
    if (padded.length === 0) return x;
    const shape = [...x.shape];
    for (const { axis, pair } of padded) {
      const n = shape[axis];
      shape[axis] = typeof n === 'number' ? n + pair[0] + pair[1] : null;
    }
    const pads = [...padded.map(({ pair }) => pair[0]), ...padded.map(({ pair }) => pair[1])];
    // Without its axes ONNX Runtime 1.30 makes the padding a part of a pooling behind it, where it may be too wide for one.
    const axes = this.ints(padded.map(({ axis }) => axis));
    return this.add('Pad', [x, this.ints(pads), this.scalar(value, x.type), axes], { shape });
  }

  reduce(op: Reduction, x: Val, axes: readonly number[], keep: boolean): Val {
    const shape = x.shape.flatMap((n, i): Dim[] => (axes.includes(i) ? (keep ? [1] : []) : [n]));
    return this.add(op, [x, this.ints(axes)], { shape }, { keepdims: keep ? 1 : 0 });
  }

  place(op: 'ArgMax' | 'ArgMin', x: Val, axis: number, keep: boolean): Val {
    const shape = x.shape.flatMap((n, i): Dim[] => (i === axis ? (keep ? [1] : []) : [n]));
    const found = this.add(op, [x], { shape, type: 'int64' }, { axis, keepdims: keep ? 1 : 0 });
    return this.cast(found, 'int32');
  }

  gather(x: Val, indices: Val, axis: number): Val {
    const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
    return this.add('Gather', [x, indices], { shape, type: x.type }, { axis });
  }

  /** Zeros (or another number) of a shape whose first length is that of a value. */
  filled(like: Val, rest: readonly number[], value = 0): Val {
    const batch = this.add('Shape', [like], { shape: [1], type: 'int64' }, { start: 0, end: 1 });
    const shape = this.concat([batch, this.ints(rest)], 0);
    return this.add('Expand', [this.constant('float', [value], []), shape], {
      shape: [like.shape[0] as Dim, ...rest],
    });
  }

  /** Nodes that the work adds become the body of a loop. */
  body(name: string, inputs: readonly Val[], work: () => readonly Val[]): Graph {
    const [nodes, values] = [this.#nodes, this.#values];
    this.#nodes = [];
    this.#values = [];
    try {
      const outputs = work();
      const ends = new Set(outputs.map((own) => own.name));
      const own = this.#values.filter((value) => !ends.has(value.name));
      return { name, nodes: this.#nodes, initializers: [], inputs, outputs, values: own };
    } finally {
      this.#nodes = nodes;
      this.#values = values;
    }
  }

  /** The whole graph; nodes and tensors that no output needs are left out. */
  graph(name: string, inputs: readonly Val[], outputs: readonly Val[]): Graph {
    const isRenamed = (own: string) => this.nameOf(own);
    const ends = new Set([...inputs, ...outputs].map((own) => own.name));
    const needed = new Set(outputs.map((own) => own.name));
    const nodes: Node[] = [];
    for (const node of [...this.#nodes].reverse()) {
      const own = renamed(node, isRenamed);
      if (!own.outputs.some((output) => needed.has(output))) continue;
      for (const input of namesIn(own)) needed.add(input);
      nodes.push(own);
    }
    nodes.reverse();
    const values = this.#values.map((own) => ({ ...own, name: isRenamed(own.name) }));
    // What follows from stored tensors alone is computed while a model loads, and its shape with it.
    const fixed = new Set(this.#initializers.map((one) => one.name));
    for (const node of nodes)
      if (namesIn(node).every((input) => fixed.has(input))) for (const own of node.outputs) fixed.add(own);
    return {
      ...{ name, nodes, inputs, outputs },
      initializers: this.#initializers.filter((one) => needed.has(one.name)),
      values: values.filter((own) => needed.has(own.name) && !ends.has(own.name) && !fixed.has(own.name)),
    };
  }

  /** Versions that the graph needs. */
  versions(): { readonly irVersion: number; readonly opsets: Readonly<Record<string, number>> } {
    const { opset, ir } = this.#hasInt2 ? WITH_INT2 : BASE;
    const more = [...this.#domains].map((domain) => [domain, 1] as const);
    return { irVersion: ir, opsets: { '': opset, ...Object.fromEntries(more) } };
  }
}

/** A node with other names, those in its bodies too. */
function renamed(node: Node, nameOf: (name: string) => string): Node {
  const attributes = Object.entries(node.attributes).map(([key, value]) => {
    if (typeof value !== 'object' || !('graph' in value)) return [key, value] as const;
    const { graph } = value;
    return [key, { graph: { ...graph, nodes: graph.nodes.map((own) => renamed(own, nameOf)) } }] as const;
  });
  return {
    ...node,
    inputs: node.inputs.map(nameOf),
    outputs: node.outputs.map(nameOf),
    attributes: Object.fromEntries(attributes),
  };
}

/** Names that a node takes, those of its bodies too. */
function namesIn({ inputs, attributes }: Node): string[] {
  const bodies = Object.values(attributes).flatMap((value) =>
    typeof value === 'object' && 'graph' in value ? [value.graph] : [],
  );
  return [
    ...inputs,
    ...bodies.flatMap(({ nodes, outputs }) => [...nodes.flatMap(namesIn), ...outputs.map((own) => own.name)]),
  ];
}
