// Recurrent layers, step by step: shapes are static, so each step is written out.
import { activationNamed } from '../export/activations.js';
import { type Cell, type Direction, type Ends, lstm, plainCell, type Step } from '../export/cells.js';
import { floatOf, numbersOf } from '../export/context.js';
import { recurrent } from '../export/layers-recurrent.js';
import { refuse } from '../export/refusal.js';
import { Tensor } from '../export/tensor.js';
import type { Val } from '../export/values.js';
import { cellOf, everyRecurrent } from '../network/operations/sequences.js';
import type { Context, Emit } from './context.js';
import { convolve, kernelAxes, noBias } from './layers-products.js';
import { lengthsOf } from './store.js';
import { lastOrder, SAME, windowsOf } from './windows.js';

/** Steps that are written out at most: each is a dozen operations. */
const MOST_STEPS = 2048;

/** Adds one way of a recurrent layer. */
function addSteps(c: Context, way: Direction): Ends {
  const { graph, attributes: a, node } = c;
  const operation = cellOf(node);
  const isConv = operation.startsWith('Conv');
  const mask = c.inputs[node.roles.indexOf('mask')];
  if (isConv && mask) refuse('a mask');
  const { input, state, count, step, order } = isConv
    ? convolutional(c, way, operation)
    : plainCell(c, way, operation);
  const [, time] = lengthsOf(input) as [number, number];
  if (time > MOST_STEPS) refuse(`a sequence of ${time} steps, of which ${MOST_STEPS} can be written out`);
  const zeros = () => graph.filled(input, state);
  let states = Array.from({ length: count }, (_, i) => way.initial[i]?.in(order) ?? zeros());
  const steps = graph.unpack(input, 1);
  const masks = mask && graph.unpack(graph.cast(mask.plain, 'bool'), 1);
  const outputs: Val[] = Array.from({ length: time });
  // Where a step is left out the output is that of the step before it, of which there is none at first.
  let output = mask ? zeros() : undefined;
  // The first output is the last where each stands where its input stands, and on a way forward where they are turned.
  const isFromEnd = way.isBackward !== way.isTurned;
  const places = Array.from({ length: time }, (_, i) => (way.isBackward ? time - 1 - i : i));
  places.forEach((place, i) => {
    const next = step(steps[place] as Val, states);
    const there = masks?.[place];
    const to = isFromEnd ? time - 1 - i : i;
    if (!there) {
      states = next;
      output = next[0];
      outputs[to] = output as Val;
      return;
    }
    const keep = graph.unsqueeze(
      there,
      state.map((_, axis) => axis + 1),
    );
    states = next.map((val, at) => graph.where(keep, val, states[at] as Val));
    output = graph.where(keep, next[0] as Val, output as Val);
    outputs[to] = a.zero_output_for_mask === true ? graph.where(keep, output, zeros()) : output;
  });
  const last = outputs[isFromEnd ? 0 : time - 1] as Val;
  const plainState = (val: Val) => Tensor.of(graph, val, order).plain;
  const sequenceOrder = [0, 1, ...order.slice(1).map((axis) => axis + 1)];
  return {
    sequence:
      a.return_sequences === true ? Tensor.of(graph, graph.pack(outputs, 1), sequenceOrder) : undefined,
    last: plainState(last),
    states: states.map(plainState),
  };
}

/** An LSTM whose products are convolutions; its states have channels last. */
function convolutional(c: Context, way: Direction, operation: string): Cell {
  const { graph, attributes: a } = c;
  const rank = Number(operation.slice(-2, -1));
  const filters = Number(a.filters);
  const x = floatOf(c.inputs[0] as Tensor);
  const order = lastOrder(c, rank + 2);
  const images = x.flat(1).in(order);
  const { wanted } = kernelAxes(rank);
  const weight = (role: string) => c.weights.value(c.id(way.prefix + role) as string, wanted);
  const given = c.values(`${way.prefix}bias`);
  const none = noBias(c, 4 * filters);
  const bias = given ? graph.floats(`${c.node.layer}/${way.prefix}bias`, given) : none;
  const w = windowsOf(c);
  const sums = convolve(c, images, rank, w, weight('kernel'), bias);
  const lengths = lengthsOf(sums).slice(1, -1);
  const [batch, time] = lengthsOf(x) as [number, number];
  const input = graph.reshape(sums, [batch, time, ...lengths, 4 * filters]);
  const gate = activationNamed(a.recurrent_activation);
  const act = activationNamed(a.activation);
  const size = numbersOf(a.kernel_size);
  const ones = size.map(() => 1);
  const inner = { size, strides: ones, dilations: ones, padding: SAME };
  const step: Step = (now, [h, carry]) => {
    const seen = convolve(c, h as Val, rank, inner, weight('recurrent_kernel'), none);
    return lstm(graph, graph.binary('Add', now, seen), carry as Val, filters, rank + 1, gate, act);
  };
  return { input, state: [...lengths, filters], count: 2, step, order };
}

/** Recurrent layers, in both directions too. */
export const RECURRENT: Readonly<Record<string, Emit>> = everyRecurrent(
  recurrent<Context>((c, ways) => ways.map((way) => addSteps(c, way))),
);
