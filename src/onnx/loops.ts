// Recurrent layers as a Scan over time: those with masks, whose ends ONNX's own operations only take as lengths, those with
// activations that ONNX's lack, and convolutional ones.
import { activationNamed } from '../export/activations.js';
import { type Cell, type Direction, type Ends, lstm, plainCell, type Step } from '../export/cells.js';
import { floatOf, isFirst, known, numbersOf } from '../export/context.js';
import { refuse } from '../export/refusal.js';
import { channelsFirst, plainOrder, Tensor } from '../export/tensor.js';
import type { Dim, Val } from '../export/values.js';
import { cellOf } from '../network/operations/sequences.js';
import type { Context } from './context.js';
import type { GraphBuilder } from './graph.js';
import { windowAttributes } from './windows.js';

/** Adds one way of a recurrent layer. */
export function addLoop(c: Context, way: Direction): Ends {
  const { graph, attributes: a, node } = c;
  const operation = cellOf(node);
  const isConv = operation.startsWith('Conv');
  const mask = c.inputs[node.roles.indexOf('mask')];
  if (isConv && mask) refuse('a mask');
  const cell = isConv ? convolutional(c, way, operation) : plainCell(c, way, operation);
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
  // Outputs are written from the end where each stands where its input stands, and on a way forward where they are turned.
  const isFromEnd = way.isBackward !== way.isTurned;
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
      scan_input_directions: way.isBackward ? scanned.map(() => 1) : undefined,
      scan_output_directions: isFromEnd ? [1] : undefined,
    },
  );
  const plainState = (val: Val) => Tensor.of(graph, val, cell.order).plain;
  const sequenceOrder = [0, 1, ...cell.order.slice(1).map((axis) => axis + 1)];
  const all = ends.at(-1) as Val;
  // The last output is the last of a sequence: with a mask it may be one that was kept, or zeros.
  const last = mask ? lastOf(graph, all, isFromEnd) : (ends[0] as Val);
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
