// Recurrent layers as a Scan over time: those with masks, whose ends ONNX's own operations only take as lengths, those with
// activations that ONNX's lack, and convolutional ones.
import { refuse } from '../export/refusal.js';
import { cellOf, gatesOf } from '../network/operations/sequences.js';
import { type Activation, activationNamed } from './activations.js';
import { type Context, floatOf, known, numbersOf } from './context.js';
import type { GraphBuilder } from './graph.js';
import { addRows } from './rows.js';
import { channelsFirst, plainOrder, Tensor } from './tensor.js';
import type { Dim, Val } from './types.js';
import { isFirst, windowAttributes } from './windows.js';

/** One way over time. */
export interface Direction {
  /** What roles of its weights begin with. */
  readonly prefix: string;
  readonly isBackward: boolean;
  /** Outputs stand in the order in which they were made, not where their inputs stand, on a way back. */
  readonly isTurned: boolean;
  readonly initial: readonly Tensor[];
}

/** What a recurrent layer gives: all steps where they are wanted, the last one, and the states behind it. */
export interface Ends {
  /** `[batch, time, ...]` */
  readonly sequence: Tensor | undefined;
  readonly last: Val;
  readonly states: readonly Val[];
}

/** One step: sums of the input and the states before it to the new states, output first. */
type Step = (x: Val, states: readonly Val[]) => Val[];

interface Cell {
  /** Sums of the inputs with the kernel, `[batch, time, ...]`. */
  readonly input: Val;
  /** Shape of a state without the batch. */
  readonly state: readonly number[];
  readonly count: 1 | 2;
  readonly step: Step;
  /** The axis that channels are in a state. */
  readonly order: readonly number[];
}

/** Adds one way of a recurrent layer. */
export function addLoop(c: Context, way: Direction): Ends {
  const { graph, attributes: a, node } = c;
  const operation = cellOf(node);
  const isConv = operation.startsWith('Conv');
  const mask = c.inputs[node.roles.indexOf('mask')];
  if (isConv && mask) refuse('a mask');
  const cell = isConv ? convolutional(c, way, operation) : plain(c, way, operation);
  const { input, state, count } = cell;
  const [batch, time] = input.shape as [Dim, Dim];
  const shape: Dim[] = [batch, ...state];
  const zeros = way.initial.length < count || mask ? graph.filled(input, state) : undefined;
  const first = Array.from({ length: count }, (_, i) => way.initial[i]?.in(cell.order) ?? (zeros as Val));
  // Where a step is left out the output is that of the step before it, of which there is none at first.
  const before = mask ? [...first, zeros as Val] : first;
  const scope = `${node.layer}/step`;
  const names = ['h', 'c'].slice(0, count).concat(mask ? ['output'] : []);
  const carried = names.map((name) => graph.input(`${scope}/${name}`, 'float', shape));
  const now = graph.input(`${scope}/x`, 'float', [batch, ...input.shape.slice(2)]);
  const there = mask && graph.input(`${scope}/mask`, 'bool', [batch]);
  const isZeroed = a.zero_output_for_mask === true;
  const outer = graph.scope;
  graph.scope = scope;
  const body = graph.body(`${node.layer} step`, [...carried, now, ...(there ? [there] : [])], () => {
    const states = carried.slice(0, count);
    const next = cell.step(now, states);
    if (!there) return copied(graph, [...next, next[0] as Val]);
    const keep = graph.unsqueeze(
      there,
      state.map((_, i) => i + 1),
    );
    const kept = next.map((val, i) => graph.where(keep, val, states[i] as Val));
    const output = graph.where(keep, next[0] as Val, carried[count] as Val);
    const shown = isZeroed ? graph.where(keep, output, graph.scalar(0)) : output;
    return copied(graph, [...kept, output, shown]);
  });
  graph.scope = outer;
  const scanned = [input, ...(mask ? [graph.cast(mask.plain, 'bool')] : [])];
  const isBack = way.isBackward;
  const ends = graph.addMany(
    'Scan',
    [...before, ...scanned],
    [
      ...before.map(() => ({ shape, type: 'float' as const })),
      { shape: [batch, time, ...state], type: 'float' as const },
    ],
    {
      body: { graph: body },
      num_scan_inputs: scanned.length,
      scan_input_axes: scanned.map(() => 1),
      scan_output_axes: [1],
      scan_input_directions: isBack ? scanned.map(() => 1) : undefined,
      // Written from the end where each output stands where its input stands.
      scan_output_directions: isBack && !way.isTurned ? [1] : undefined,
    },
  );
  const plainState = (val: Val) => Tensor.of(graph, val, cell.order).plain;
  const sequenceOrder = [0, 1, ...cell.order.slice(1).map((axis) => axis + 1)];
  const all = ends.at(-1) as Val;
  // The last output is the last of a sequence: with a mask it may be one that was kept, or zeros.
  const last = mask ? lastOf(graph, all, isBack && !way.isTurned) : (ends[0] as Val);
  return {
    sequence: Tensor.of(graph, all, sequenceOrder),
    last: plainState(last),
    states: ends.slice(0, count).map(plainState),
  };
}

function lastOf(graph: GraphBuilder, all: Val, isFirstPlace: boolean): Val {
  return graph.gather(all, graph.constant('int64', [isFirstPlace ? 0 : -1], []), 1);
}

/** Outputs of a body have names of their own: one that stands twice is copied. */
function copied(graph: GraphBuilder, vals: readonly Val[]): Val[] {
  const seen = new Set<string>();
  return vals.map((val) => {
    if (!seen.has(val.name)) {
      seen.add(val.name);
      return val;
    }
    return graph.unary('Identity', val);
  });
}

/** Gates of an LSTM in Keras's order i f c o: `c' = f c + i act(c~)`, `h' = o act(c')`. */
function lstm(
  g: GraphBuilder,
  sums: Val,
  carry: Val,
  units: number,
  axis: number,
  gate: Activation,
  act: Activation,
): Val[] {
  const order = plainOrder(carry.shape.length);
  const [i, f, n, o] = g.split(sums, [units, units, units, units], axis) as [Val, Val, Val, Val];
  const kept = g.binary('Mul', gate(g, f, order), carry);
  const fresh = g.binary('Mul', gate(g, i, order), act(g, n, order));
  const next = g.binary('Add', kept, fresh);
  return [g.binary('Mul', gate(g, o, order), act(g, next, order)), next];
}

/** LSTM, GRU and SimpleRNN. */
function plain(c: Context, way: Direction, operation: string): Cell {
  const { graph: g, attributes: a, node } = c;
  const units = Number(a.units);
  const width = units * gatesOf(operation);
  const bias = c.values(`${way.prefix}bias`);
  const isDouble = bias?.length === 2 * width;
  const x = floatOf(c.inputs[0] as Tensor).plain;
  const id = (role: string) => c.id(way.prefix + role) as string;
  const name = `${node.layer}/${way.prefix}input`;
  const own = isDouble ? bias?.subarray(0, width) : bias;
  const input = addRows(c, x, { id: id('kernel'), name, rows: [0], columns: [1], bias: own });
  const recurrent = c.weights.value(id('recurrent_kernel'));
  const inner = isDouble
    ? g.floats(`${node.layer}/${way.prefix}state/bias`, (bias as Float32Array).slice(width))
    : undefined;
  const order = plainOrder(2);
  const act = activationNamed(a.activation);
  const common = { input, state: [units], order };
  if (operation === 'SimpleRNN')
    return {
      ...common,
      count: 1,
      step: (now, [h]) => [act(g, g.binary('Add', now, g.matmul(h as Val, recurrent)), order)],
    };
  const gate = activationNamed(a.recurrent_activation);
  if (operation === 'LSTM') {
    const step: Step = (now, [h, carry]) => {
      const sums = g.binary('Add', now, g.matmul(h as Val, recurrent));
      return lstm(g, sums, carry as Val, units, 1, gate, act);
    };
    return { ...common, count: 2, step };
  }
  const three = [units, units, units];
  // `h' = z h + (1 - z) g`
  const blend = (z: Val, h: Val, fresh: Val) =>
    g.binary('Add', fresh, g.binary('Mul', z, g.binary('Sub', h, fresh)));
  if (a.reset_after === true) {
    const step: Step = (now, [h]) => {
      const product = g.matmul(h as Val, recurrent);
      const sums = inner ? g.binary('Add', product, inner) : product;
      const [xz, xr, xh] = g.split(now, three, 1) as [Val, Val, Val];
      const [hz, hr, hh] = g.split(sums, three, 1) as [Val, Val, Val];
      const z = gate(g, g.binary('Add', xz, hz), order);
      const r = gate(g, g.binary('Add', xr, hr), order);
      const fresh = act(g, g.binary('Add', xh, g.binary('Mul', r, hh)), order);
      return [blend(z, h as Val, fresh)];
    };
    return { ...common, count: 1, step };
  }
  const [gates, own2] = g.split(recurrent, [2 * units, units], 1) as [Val, Val];
  const step: Step = (now, [h]) => {
    const [xz, xr, xh] = g.split(now, three, 1) as [Val, Val, Val];
    const [hz, hr] = g.split(g.matmul(h as Val, gates), [units, units], 1) as [Val, Val];
    const z = gate(g, g.binary('Add', xz, hz), order);
    const r = gate(g, g.binary('Add', xr, hr), order);
    const fresh = act(g, g.binary('Add', xh, g.matmul(g.binary('Mul', r, h as Val), own2)), order);
    return [blend(z, h as Val, fresh)];
  };
  return { ...common, count: 1, step };
}

/** An LSTM whose products are convolutions; its states have channels first. */
function convolutional(c: Context, way: Direction, operation: string): Cell {
  const { graph: g, attributes: a, node } = c;
  const rank = Number(operation.slice(-2, -1));
  const filters = Number(a.filters);
  const x = floatOf(c.inputs[0] as Tensor);
  const [batch, time] = x.shape as [Dim, Dim];
  const steps = known(time, 'a sequence');
  const frame = x.flat(1);
  const order = isFirst(c) ? plainOrder(rank + 2) : channelsFirst(rank + 2);
  const images = frame.in(order);
  const id = (role: string) => c.id(way.prefix + role) as string;
  const axes = [[rank + 1], [rank], ...Array.from({ length: rank }, (_, i) => [i])];
  const kernel = c.weights.value(id('kernel'), { axes });
  const bias = c.values(`${way.prefix}bias`);
  const own = bias && g.floats(`${node.layer}/${way.prefix}bias`, bias);
  const attributes = windowAttributes(c, images, rank);
  const sizes = sizesOf(images, attributes, rank);
  const sums = g.add('Conv', [images, kernel, own], { shape: [null, 4 * filters, ...sizes] }, attributes);
  const input = g.reshape(sums, [batch, steps, 4 * filters, ...sizes]);
  const recurrent = c.weights.value(id('recurrent_kernel'), { axes });
  const size = numbersOf(a.kernel_size);
  const gate = activationNamed(a.recurrent_activation);
  const act = activationNamed(a.activation);
  // States are as large as they were: padding is `same`, half of it before.
  const pads = [...size.map((k) => (k - 1) >> 1), ...size.map((k) => k - 1 - ((k - 1) >> 1))];
  const step: Step = (now, [h, carry]) => {
    const shape = [(h as Val).shape[0] as Dim, 4 * filters, ...sizes];
    const seen = g.add('Conv', [h as Val, recurrent], { shape }, { kernel_shape: size, pads });
    return lstm(g, g.binary('Add', now, seen), carry as Val, filters, 1, gate, act);
  };
  return { input, state: [filters, ...sizes], count: 2, step, order };
}

/** Lengths of the axes behind the channels once windows have gone over them. */
function sizesOf(
  x: Val,
  attributes: Readonly<Record<string, readonly number[] | string | undefined>>,
  rank: number,
): number[] {
  const list = (key: string, fallback: number) =>
    (attributes[key] as readonly number[] | undefined) ?? Array<number>(rank).fill(fallback);
  const pads = list('pads', 0);
  const [kernel, strides, dilations] = [list('kernel_shape', 1), list('strides', 1), list('dilations', 1)];
  return Array.from({ length: rank }, (_, i) => {
    const n = known(x.shape[i + 2], 'an image') + (pads[i] as number) + (pads[i + rank] as number);
    const reach = ((kernel[i] as number) - 1) * (dilations[i] as number) + 1;
    return Math.floor((n - reach) / (strides[i] as number)) + 1;
  });
}
