import type { Tensor } from '@tensorflow/tfjs';
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
} from './define.js';

interface ConvLstmConfig extends ConvConfig {
  readonly recurrentActivation?: string | null;
  readonly goBackwards?: boolean;
  readonly returnSequences?: boolean;
  readonly returnState?: boolean;
}

/** A shape without its time. */
const frame = (shape: Shape): Shape => [shape[0] ?? null, ...shape.slice(2)];

/** ConvLSTM1D to ConvLSTM3D: an LSTM whose products are convolutions, gates `i f c o`. */
const convLstm = (rank: number): LayerSpec<ConvLstmConfig> => ({
  className: `ConvLSTM${rank}D`,
  weights(config, [shape = []]) {
    const size = perAxis(config.kernelSize, rank, 1);
    const width = 4 * config.filters;
    return [
      ['kernel', [...size, channelsOf(config, frame(shape)), width]],
      ['recurrent_kernel', [...size, config.filters, width]],
      ...(config.useBias === false ? [] : [['bias', [width]] as const]),
    ];
  },
  outputShape(config, [shape = []]) {
    const [batch = null, ...rest] = convShape(config, rank, frame(shape), config.filters);
    const last: Shape = [batch, ...rest];
    const output: Shape = config.returnSequences ? [batch, shape[1] ?? null, ...rest] : last;
    return config.returnState ? [output, last, last] : output;
  },
  call({ tf, config, inputs, has, weight }) {
    const kernel = dilated(tf, weight('kernel'), perAxis(config.dilationRate, rank, 1));
    const strides = perAxis(config.strides, rank, 1);
    const ones = strides.map(() => 1);
    const gate = (v: Tensor) => activate(tf, config.recurrentActivation, v);
    const act = (v: Tensor) => activate(tf, config.activation, v);
    const frames = tf.unstack(inputs[0] as Tensor, 1);
    let states: [Tensor, Tensor] | undefined;
    const outputs = (config.goBackwards ? frames.reverse() : frames).map((x) => {
      const seen = convolve(tf, rank, channelsLast(tf, x, config), kernel, strides, padOf(config));
      const biased = has('bias') ? tf.add(seen, weight('bias')) : seen;
      const whole = states
        ? tf.add(biased, convolve(tf, rank, states[0], weight('recurrent_kernel'), ones, 'same'))
        : biased;
      const [i, f, c, o] = tf.split(whole, 4, -1) as [Tensor, Tensor, Tensor, Tensor];
      const fresh = tf.mul(gate(i), act(c));
      const carry = states ? tf.add(tf.mul(gate(f), states[1]), fresh) : fresh;
      states = [tf.mul(gate(o), act(carry)), carry];
      return channelsBack(tf, states[0], config);
    });
    const output = config.returnSequences ? tf.stack(outputs, 1) : (outputs.at(-1) as Tensor);
    if (!config.returnState) return output;
    return [output, ...(states as [Tensor, Tensor]).map((state) => channelsBack(tf, state, config))];
  },
});

/** ConvLSTM of the dimensions and options that TensorFlow.js lacks. */
export const convLstmLayers: readonly LayerSpec[] = [1, 2, 3].map((rank) => spec(convLstm(rank)));
