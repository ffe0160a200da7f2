import type { Direction, Ends } from '../export/cells.js';
import { floatOf } from '../export/context.js';
import { recurrent } from '../export/layers-recurrent.js';
import { Tensor, timeFirst } from '../export/tensor.js';
import type { Dim, Val } from '../export/values.js';
import { cellOf, everyRecurrent, gatesOf } from '../network/operations/sequences.js';
import type { Context, Emit } from './context.js';
import type { GraphBuilder } from './graph.js';
import { addLoop } from './loops.js';

/** Activations of ONNX's recurrent operations, with the two numbers that some of them take. */
const FUNCTIONS: Readonly<Record<string, readonly [name: string, alpha?: number, beta?: number]>> = {
  tanh: ['Tanh'],
  sigmoid: ['Sigmoid'],
  relu: ['Relu'],
  softsign: ['Softsign'],
  softplus: ['Softplus'],
  hard_sigmoid: ['HardSigmoid', 1 / 6, 0.5],
  hard_sigmoid_2: ['HardSigmoid', 0.2, 0.5],
  linear: ['Affine', 1, 0],
};

/** Whether ONNX's own operation computes the layer: known activations, no mask. */
function isNative(c: Context): boolean {
  const { attributes: a } = c;
  const names = [a.activation, ...(a.recurrent_activation === undefined ? [] : [a.recurrent_activation])];
  return (
    !cellOf(c.node).startsWith('Conv') &&
    !c.node.roles.includes('mask') &&
    names.every((name) => Object.hasOwn(FUNCTIONS, String(name)))
  );
}

/** Gates as ONNX has them: i o f c where Keras has i f c o; z r h in both. */
const gateOrder = (cell: string) => (cell === 'LSTM' ? [0, 3, 1, 2] : cell === 'GRU' ? [0, 1, 2] : [0]);

/** Places of the gates' columns in ONNX's order. */
function placesOf(cell: string, units: number): number[] | undefined {
  if (cell !== 'LSTM') return undefined;
  return gateOrder(cell).flatMap((gate) => Array.from({ length: units }, (_, i) => gate * units + i));
}

/** `[1, 8 units]`: what is added to the input's part, then to the state's. */
function biasOf(c: Context, prefix: string, cell: string, units: number): Float32Array {
  const width = gatesOf(cell) * units;
  const out = new Float32Array(2 * width);
  const given = c.values(`${prefix}bias`);
  const places = placesOf(cell, units) ?? Array.from({ length: width }, (_, i) => i);
  if (given)
    places.forEach((from, to) => {
      out[to] = given[from] as number;
      if (given.length === 2 * width) out[width + to] = given[width + from] as number;
    });
  return out;
}

/** ONNX's LSTM, GRU or RNN. */
function addNative(c: Context, ways: readonly Direction[]): readonly Ends[] {
  const { graph, attributes: a, node } = c;
  const cell = cellOf(node);
  const units = Number(a.units);
  const width = gatesOf(cell) * units;
  const x = floatOf(c.inputs[0] as Tensor);
  const val = x.in(timeFirst(3));
  const [time, batch] = val.shape as [Dim, Dim, Dim];
  const places = placesOf(cell, units);
  const pick = places ? { pick: { axis: 1, places } } : {};
  const kernels = (role: string) =>
    graph.concat(
      ways.map(({ prefix }) => {
        const id = c.id(prefix + role) as string;
        const rows = c.weights.infoOf(id).shape[0] as number;
        return c.weights.value(id, { axes: [[], [1], [0]], ...pick, shape: [1, width, rows] });
      }),
      0,
    );
  const biases = ways.map(({ prefix }) => biasOf(c, prefix, cell, units));
  const bias = Float32Array.from(biases.flatMap((own) => [...own]));
  const hasBias = bias.some((v) => v !== 0);
  const initial = (at: number) => {
    const states = ways.map((way) => way.initial[at]);
    if (!states[0]) return undefined;
    return graph.concat(
      states.map((state) => graph.unsqueeze((state as Tensor).plain, [0])),
      0,
    );
  };
  const functions = ways.flatMap(() => {
    const [gate, own] = [a.recurrent_activation, a.activation].map((name) => FUNCTIONS[String(name)]);
    return cell === 'LSTM' ? [gate, own, own] : cell === 'GRU' ? [gate, own] : [own];
  }) as (readonly [string, number?, number?])[];
  const numbers = (at: 1 | 2) => {
    const list = functions.flatMap((f) => (f[at] === undefined ? [] : [f[at] as number]));
    return list.length === 0 ? undefined : { floats: list };
  };
  const isBoth = ways.length === 2;
  const isBackward = ways[0]?.isBackward === true;
  const state = { shape: [ways.length, batch, units] };
  const inputs = [
    ...[val, kernels('kernel'), kernels('recurrent_kernel')],
    hasBias ? graph.floats(`${node.layer}/bias`, bias, [ways.length, 2 * width]) : undefined,
    ...[undefined, initial(0), initial(1)],
  ];
  const [all, last, carry] = graph.addMany(
    cell === 'SimpleRNN' ? 'RNN' : cell,
    inputs,
    [{ shape: [time, ways.length, batch, units] }, state, ...(cell === 'LSTM' ? [state] : [])],
    {
      hidden_size: units,
      direction: isBoth ? 'bidirectional' : isBackward ? 'reverse' : undefined,
      activations: { texts: functions.map(([name]) => name) },
      activation_alpha: numbers(1),
      activation_beta: numbers(2),
      linear_before_reset: cell === 'GRU' && a.reset_after === true ? 1 : undefined,
    },
  ) as [Val, Val, Val?];
  const of = (own: Val, i: number) =>
    isBoth ? graph.gather(own, graph.constant('int64', [i], []), 0) : graph.squeeze(own, [0]);
  return ways.map((way, i): Ends => {
    const sequence = () => {
      const steps = isBoth ? graph.gather(all, graph.constant('int64', [i], []), 1) : graph.squeeze(all, [1]);
      return Tensor.of(graph, way.isTurned ? turned(graph, steps, 0) : steps, timeFirst(3));
    };
    return {
      sequence: a.return_sequences === true ? sequence() : undefined,
      last: of(last, i),
      states: a.return_state === true ? [of(last, i), ...(carry ? [of(carry, i)] : [])] : [],
    };
  });
}

/** Steps in the opposite order. */
function turned(graph: GraphBuilder, x: Val, axis: number): Val {
  const far = Number.MAX_SAFE_INTEGER;
  return graph.slice(x, [{ axis, start: -1, end: -far, step: -1, length: x.shape[axis] as Dim }]);
}

/** Recurrent layers, in both directions too. */
export const RECURRENT: Readonly<Record<string, Emit>> = everyRecurrent(
  recurrent<Context>((c, ways) => (isNative(c) ? addNative(c, ways) : ways.map((way) => addLoop(c, way)))),
);
