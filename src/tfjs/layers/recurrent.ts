import { mergedWays } from '../../network/operations/sequences.js';
import type { Tensor, Tensor2D, TensorFlow } from '../types.js';
import { activate } from './activations.js';
import { type LayerSpec, type Shape, spec, type WeightSpec } from './define.js';

export type CellName = 'LSTM' | 'GRU' | 'SimpleRNN';

export interface RnnConfig {
  readonly cell: CellName;
  readonly units: number;
  readonly activation?: string | null;
  readonly recurrentActivation?: string | null;
  readonly useBias?: boolean;
  readonly resetAfter?: boolean;
  readonly goBackwards?: boolean;
  readonly returnSequences?: boolean;
  readonly returnState?: boolean;
  readonly zeroOutputForMask?: boolean;
  /** Whether the last input is a mask `[batch, time]` of ones and zeros. */
  readonly masked?: boolean;
}

const GATES: Readonly<Record<CellName, number>> = { LSTM: 4, GRU: 3, SimpleRNN: 1 };
const STATES: Readonly<Record<CellName, number>> = { LSTM: 2, GRU: 1, SimpleRNN: 1 };

function rnnWeights(config: RnnConfig, features: number | null, prefix = ''): WeightSpec[] {
  const width = GATES[config.cell] * config.units;
  const bias = config.cell === 'GRU' && config.resetAfter ? [2, width] : [width];
  return [
    [`${prefix}kernel`, [features, width]],
    [`${prefix}recurrent_kernel`, [config.units, width]],
    ...(config.useBias === false ? [] : [[`${prefix}bias`, bias] as const]),
  ];
}

type Values = (name: 'kernel' | 'recurrent_kernel' | 'bias') => Tensor | undefined;

/**
 * One time step: `x` is `input W + b` of the step, `[batch, gates * units]`; the new states, output first.
 *
 * - SimpleRNN: `h' = act(x + h U)`
 * - LSTM, gates i f c o: `c' = f c + i act(c~)`, `h' = o act(c')`
 * - GRU, gates z r h: `h' = z h + (1 - z) act(x_h + (r h) U_h)`; with `reset_after` the last term is `r (h U_h + b_h)`
 */
function step(
  tf: TensorFlow,
  config: RnnConfig,
  x: Tensor,
  states: readonly Tensor[],
  values: Values,
): Tensor[] {
  const act = (v: Tensor) => activate(tf, config.activation, v);
  const gate = (v: Tensor) => activate(tf, config.recurrentActivation, v);
  const recurrent = values('recurrent_kernel') as Tensor2D;
  const h = states[0] as Tensor2D;
  if (config.cell === 'SimpleRNN') return [act(tf.add(x, tf.matMul(h, recurrent)))];
  if (config.cell === 'LSTM') {
    const [i, f, c, o] = tf.split(tf.add(x, tf.matMul(h, recurrent)), 4, 1) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const carry = tf.add(tf.mul(gate(f), states[1] as Tensor), tf.mul(gate(i), act(c)));
    return [tf.mul(gate(o), act(carry)), carry];
  }
  const { units } = config;
  const [xz, xr, xh] = tf.split(x, 3, 1) as [Tensor, Tensor, Tensor];
  let z: Tensor;
  let candidate: Tensor;
  if (config.resetAfter) {
    const bias = values('bias');
    const product = tf.matMul(h, recurrent);
    const inner = bias ? tf.add(product, tf.slice(bias, [1, 0], [1, 3 * units])) : product;
    const [hz, hr, hh] = tf.split(inner, 3, 1) as [Tensor, Tensor, Tensor];
    z = gate(tf.add(xz, hz));
    candidate = act(tf.add(xh, tf.mul(gate(tf.add(xr, hr)), hh)));
  } else {
    const gates = tf.matMul(h, tf.slice(recurrent, [0, 0], [units, 2 * units]));
    const [hz, hr] = tf.split(gates, 2, 1) as [Tensor, Tensor];
    z = gate(tf.add(xz, hz));
    const reset = tf.mul(gate(tf.add(xr, hr)), h) as Tensor2D;
    candidate = act(
      tf.add(xh, tf.matMul(reset, tf.slice(recurrent, [0, 2 * units], [units, units]) as Tensor2D)),
    );
  }
  return [tf.add(tf.mul(z, h), tf.mul(tf.sub(1, z), candidate))];
}

/** Runs over time, `sequence` in the order of the steps made. A masked step repeats the output before it and leaves the states. */
export function runRnn(
  tf: TensorFlow,
  config: RnnConfig,
  x: Tensor,
  values: Values,
  given: readonly Tensor[],
  mask?: Tensor,
) {
  const [batch, time, features] = x.shape as [number, number, number];
  const bias = values('bias');
  const first = bias && bias.rank === 2 ? tf.slice(bias, [0, 0], [1, bias.shape[1] as number]) : bias;
  const flat = tf.matMul(tf.reshape(x, [batch * time, features]) as Tensor2D, values('kernel') as Tensor2D);
  const projected = tf.reshape(first ? tf.add(flat, first) : flat, [batch, time, flat.shape[1] as number]);
  const steps = tf.unstack(projected, 1);
  const masks = mask ? tf.unstack(mask, 1) : undefined;
  const order = Array.from({ length: time }, (_, t) => (config.goBackwards ? time - 1 - t : t));
  const zeros = tf.zeros([batch, config.units]);
  let states =
    given.length > 0 ? [...given] : Array.from({ length: STATES[config.cell] }, () => zeros as Tensor);
  let output: Tensor = zeros;
  const outputs: Tensor[] = [];
  for (const t of order) {
    const next = step(tf, config, steps[t] as Tensor, states, values);
    const keep = masks ? tf.reshape(masks[t] as Tensor, [batch, 1]) : undefined;
    if (keep) {
      const blend = (now: Tensor, before: Tensor) =>
        tf.add(tf.mul(now, keep), tf.mul(before, tf.sub(1, keep)));
      output = blend(next[0] as Tensor, output);
      states = next.map((state, i) => blend(state, states[i] as Tensor));
      outputs.push(config.zeroOutputForMask ? tf.mul(output, keep) : output);
    } else {
      states = next;
      output = next[0] as Tensor;
      outputs.push(output);
    }
  }
  return {
    sequence: config.returnSequences ? tf.stack(outputs, 1) : undefined,
    last: outputs.at(-1) ?? output,
    states,
  };
}

/** What a recurrent layer is called with: the input, states to begin with, and a mask behind all where there is one. */
export function splitInputs(config: RnnConfig, inputs: readonly Tensor[]) {
  const mask = config.masked ? inputs.at(-1) : undefined;
  return { x: inputs[0] as Tensor, mask, states: inputs.slice(1, config.masked ? -1 : undefined) };
}

function outputShapes(config: RnnConfig, shape: Shape, width: number, states: number): Shape | Shape[] {
  const batch = shape[0] ?? null;
  const output: Shape = config.returnSequences ? [batch, shape[1] ?? null, width] : [batch, width];
  if (!config.returnState) return output;
  return [output, ...Array.from({ length: states }, (): Shape => [batch, config.units])];
}

/** GRU with `reset_after`, and any of the three with a mask or an initial state, which TensorFlow.js mixes up. */
const recurrent = (cell: CellName): LayerSpec<RnnConfig> => ({
  className: cell,
  weights: (config, [shape]) => rnnWeights({ ...config, cell }, shape?.at(-1) ?? null),
  outputShape: (config, [shape = []]) => outputShapes(config, shape, config.units, STATES[cell]),
  call(context) {
    const { tf, has, weight } = context;
    const config = { ...context.config, cell };
    const { x, mask, states } = splitInputs(config, context.inputs);
    const result = runRnn(tf, config, x, (name) => (has(name) ? weight(name) : undefined), states, mask);
    const output = result.sequence ?? result.last;
    return config.returnState ? [output, ...result.states] : output;
  },
});

/** How the outputs of two directions are joined; null: they are not. */
export type MergeMode = 'concat' | 'sum' | 'ave' | 'mul' | null;

/** The outputs of two directions joined, features with features. */
export const mergedBy = (tf: TensorFlow, mode: MergeMode = 'concat', a: Tensor, b: Tensor): Tensor[] =>
  mergedWays(mode, a, b, {
    sum: () => tf.add(a, b),
    ave: () => tf.mul(0.5, tf.add(a, b)),
    mul: () => tf.mul(a, b),
    concat: () => tf.concat([a, b], -1),
  });

interface BidirectionalConfig {
  readonly layer: { readonly className: CellName; readonly config: RnnConfig };
  readonly mergeMode?: MergeMode;
  readonly masked?: boolean;
}

const inner = ({ layer, masked }: BidirectionalConfig): RnnConfig => ({
  ...layer.config,
  cell: layer.className,
  masked,
});

/** Bidirectional around the layers above: forwards, backwards (turned back in time), merged. */
const bidirectional: LayerSpec<BidirectionalConfig> = {
  className: 'Bidirectional',
  weights(config, [shape]) {
    const features = shape?.at(-1) ?? null;
    return ['forward_', 'backward_'].flatMap((prefix) => rnnWeights(inner(config), features, prefix));
  },
  outputShape(config, [shape = []]) {
    const rnn = inner(config);
    const width = config.mergeMode === 'concat' || config.mergeMode === undefined ? 2 * rnn.units : rnn.units;
    const shapes = outputShapes(rnn, shape, width, 2 * STATES[rnn.cell]);
    if (config.mergeMode !== null) return shapes;
    const list = (Array.isArray(shapes[0]) ? shapes : [shapes]) as Shape[];
    return [list[0] as Shape, ...list];
  },
  call(context) {
    const { tf, config, has, weight } = context;
    const rnn = inner(config);
    const { x, mask, states } = splitInputs(rnn, context.inputs);
    const half = states.length / 2;
    const direction = (prefix: string, goBackwards: boolean, given: readonly Tensor[]) =>
      runRnn(
        tf,
        { ...rnn, goBackwards },
        x,
        (name) => (has(prefix + name) ? weight(prefix + name) : undefined),
        given,
        mask,
      );
    const forwards = direction('forward_', rnn.goBackwards === true, states.slice(0, half));
    const backwards = direction('backward_', rnn.goBackwards !== true, states.slice(half));
    const a = forwards.sequence ?? forwards.last;
    const b = backwards.sequence ? tf.reverse(backwards.sequence, 1) : backwards.last;
    const outputs = mergedBy(tf, config.mergeMode, a, b);
    if (rnn.returnState) outputs.push(...forwards.states, ...backwards.states);
    return outputs.length === 1 ? (outputs[0] as Tensor) : outputs;
  },
};

/** Recurrent layers beyond those of TensorFlow.js. */
export const recurrentLayers: readonly LayerSpec[] = [
  ...(['LSTM', 'GRU', 'SimpleRNN'] as const).map((cell) => spec(recurrent(cell))),
  spec(bidirectional),
];
