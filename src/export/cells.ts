// What one step of a recurrent layer computes.
import { gatesOf } from '../network/operations/sequences.js';
import { type Activation, activationNamed } from './activations.js';
import type { Builder } from './builder.js';
import { type Context, floatOf } from './context.js';
import { plainOrder, type Tensor } from './tensor.js';
import type { Val } from './values.js';

/** One way over time. */
export interface Direction {
  /** What roles of its weights begin with. */
  readonly prefix: string;
  readonly isBackward: boolean;
  /** Outputs do not stand where their inputs stand, but from the other end: on a way back in the order in which they were made. */
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
export type Step = (x: Val, states: readonly Val[]) => Val[];

/** A recurrent layer: its input as one product, and a step. */
export interface Cell {
  /** Sums of the inputs with the kernel, `[batch, time, ...]`. */
  readonly input: Val;
  /** Shape of a state without the batch. */
  readonly state: readonly number[];
  readonly count: 1 | 2;
  readonly step: Step;
  /** The axis that channels are in a state. */
  readonly order: readonly number[];
}

/** Gates of an LSTM in Keras's order i f c o: `c' = f c + i act(c~)`, `h' = o act(c')`. */
export function lstm(
  g: Builder,
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
export function plainCell(c: Context, way: Direction, operation: string): Cell {
  const { graph: g, attributes: a, node } = c;
  const units = Number(a.units);
  const width = units * gatesOf(operation);
  const bias = c.values(`${way.prefix}bias`);
  const isDouble = bias?.length === 2 * width;
  const x = floatOf(c.inputs[0] as Tensor).plain;
  const id = (role: string) => c.id(way.prefix + role) as string;
  const name = `${node.layer}/${way.prefix}input`;
  const own = isDouble ? bias?.subarray(0, width) : bias;
  const input = c.product(x, { id: id('kernel'), name, rows: [0], columns: [1], bias: own });
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
