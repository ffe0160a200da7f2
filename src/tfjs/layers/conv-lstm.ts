import type { Tensor, TensorFlow } from '../types.js';
import { activate } from './activations.js';
import { type ConvConfig, convolve, convShape, dilated, padOf } from './conv.js';
import {
  channelsBack,
  channelsLast,
  channelsOf,
  type LayerSpec,
  perAxis,
  type Shape,
  spec,
  type WeightSpec,
} from './define.js';
import { type MergeMode, mergedBy } from './recurrent.js';

export interface ConvLstmConfig extends ConvConfig {
  readonly recurrentActivation?: string | null;
  readonly goBackwards?: boolean;
  readonly returnSequences?: boolean;
  readonly returnState?: boolean;
}

/** A shape without its time. */
const frame = (shape: Shape): Shape => [shape[0] ?? null, ...shape.slice(2)];

function weightsOf(config: ConvLstmConfig, rank: number, shape: Shape, prefix = ''): WeightSpec[] {
  const size = perAxis(config.kernelSize, rank, 1);
  const width = 4 * config.filters;
  return [
    [`${prefix}kernel`, [...size, channelsOf(config, frame(shape)), width]],
    [`${prefix}recurrent_kernel`, [...size, config.filters, width]],
    ...(config.useBias === false ? [] : [[`${prefix}bias`, [width]] as const]),
  ];
}

/** Shape of the output, and of a state. */
function shapesOf(config: ConvLstmConfig, rank: number, shape: Shape): [Shape, Shape] {
  const [batch = null, ...rest] = convShape(config, rank, frame(shape), config.filters);
  const last: Shape = [batch, ...rest];
  return [config.returnSequences ? [batch, shape[1] ?? null, ...rest] : last, last];
}

type Values = (name: 'kernel' | 'recurrent_kernel' | 'bias') => Tensor | undefined;

/** An LSTM whose products are convolutions, gates `i f c o`: the output, in the order of the steps made, and the states. */
export function runConvLstm(
  tf: TensorFlow,
  config: ConvLstmConfig,
  rank: number,
  x: Tensor,
  values: Values,
): Tensor[] {
  const kernel = dilated(tf, values('kernel') as Tensor, perAxis(config.dilationRate, rank, 1));
  const recurrent = values('recurrent_kernel') as Tensor;
  const bias = values('bias');
  const strides = perAxis(config.strides, rank, 1);
  const ones = strides.map(() => 1);
  const gate = (v: Tensor) => activate(tf, config.recurrentActivation, v);
  const act = (v: Tensor) => activate(tf, config.activation, v);
  const frames = tf.unstack(x, 1);
  let states: [Tensor, Tensor] | undefined;
  const outputs = (config.goBackwards ? frames.reverse() : frames).map((image) => {
    const seen = convolve(tf, rank, channelsLast(tf, image, config), kernel, strides, padOf(config));
    const biased = bias ? tf.add(seen, bias) : seen;
    const whole = states ? tf.add(biased, convolve(tf, rank, states[0], recurrent, ones, 'same')) : biased;
    const [i, f, c, o] = tf.split(whole, 4, -1) as [Tensor, Tensor, Tensor, Tensor];
    const fresh = tf.mul(gate(i), act(c));
    const carry = states ? tf.add(tf.mul(gate(f), states[1]), fresh) : fresh;
    states = [tf.mul(gate(o), act(carry)), carry];
    return channelsBack(tf, states[0], config);
  });
  const output = config.returnSequences ? tf.stack(outputs, 1) : (outputs.at(-1) as Tensor);
  return [output, ...(states ?? []).map((state) => channelsBack(tf, state, config))];
}

/** ConvLSTM1D to ConvLSTM3D. */
const convLstm = (rank: number): LayerSpec<ConvLstmConfig> => ({
  className: `ConvLSTM${rank}D`,
  weights: (config, [shape = []]) => weightsOf(config, rank, shape),
  outputShape(config, [shape = []]) {
    const [output, state] = shapesOf(config, rank, shape);
    return config.returnState ? [output, state, state] : output;
  },
  call({ tf, config, inputs, has, weight }) {
    const [output, ...states] = runConvLstm(tf, config, rank, inputs[0] as Tensor, (name) =>
      has(name) ? weight(name) : undefined,
    );
    return config.returnState ? [output as Tensor, ...states] : (output as Tensor);
  },
});

interface BothConfig {
  readonly layer: { readonly className: string; readonly config: ConvLstmConfig };
  readonly mergeMode?: MergeMode;
}

const rankOf = ({ layer }: BothConfig) => Number(layer.className.slice(-2, -1));

/** Bidirectional around the layers above: Keras joins the last axis, whatever the data format. */
const bidirectional: LayerSpec<BothConfig> = {
  className: 'BidirectionalConvLSTM',
  weights: (config, [shape = []]) =>
    ['forward_', 'backward_'].flatMap((prefix) =>
      weightsOf(config.layer.config, rankOf(config), shape, prefix),
    ),
  outputShape(config, [shape = []]) {
    const [output] = shapesOf(config.layer.config, rankOf(config), shape);
    if (config.mergeMode === null) return [output, output];
    const isJoined = (config.mergeMode ?? 'concat') === 'concat';
    return output.map((n, i) => (isJoined && i === output.length - 1 && n !== null ? 2 * n : n));
  },
  call({ tf, config, inputs, has, weight }) {
    const { config: inner } = config.layer;
    const direction = (prefix: string, goBackwards: boolean) =>
      runConvLstm(tf, { ...inner, goBackwards }, rankOf(config), inputs[0] as Tensor, (name) =>
        has(prefix + name) ? weight(prefix + name) : undefined,
      )[0] as Tensor;
    const a = direction('forward_', inner.goBackwards === true);
    const turned = direction('backward_', inner.goBackwards !== true);
    const b = inner.returnSequences ? tf.reverse(turned, 1) : turned;
    const outputs = mergedBy(tf, config.mergeMode, a, b);
    return config.mergeMode === null ? outputs : (outputs[0] as Tensor);
  },
};

/** ConvLSTM of the dimensions and options that TensorFlow.js lacks. */
export const convLstmLayers: readonly LayerSpec[] = [
  ...[1, 2, 3].map((rank) => spec(convLstm(rank))),
  spec(bidirectional),
];
