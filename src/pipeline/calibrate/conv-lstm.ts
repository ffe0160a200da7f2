import type { JsonObject, WeightInfo } from '../../model.js';
import { activationName } from '../../tfjs/layers/activations.js';
import { type ConvLstmConfig, runConvLstm } from '../../tfjs/layers/conv-lstm.js';
import type { Tensor, TensorFlow } from '../../tfjs/types.js';
import { convolution, plainConvolution } from './convolution.js';
import { type Linear, stepwise, type Values } from './linear.js';

/** The weights of one direction. */
export interface ConvLstmWeights {
  readonly kernel: WeightInfo;
  readonly recurrent: WeightInfo;
  /** Used to compute the states, whether or not a shift may go into it. */
  readonly bias: WeightInfo | undefined;
  readonly takesShift: boolean;
}

/**
 * Both kernels of a ConvLSTM, in one direction:
 *
 * - `kernel`: patches of the frames
 * - `recurrent_kernel`: patches of the states before each frame, of the network whose weights are given, its input kernel fitted
 *   already
 *
 * Both shifts go into the one bias.
 */
export function convLstm(
  { kernel, recurrent, bias, takesShift }: ConvLstmWeights,
  attributes: JsonObject,
  rank: number,
  goBackwards: boolean,
): Linear[] {
  const list = (name: string) => (attributes[name] as number[] | undefined) ?? 1;
  const named = (name: string) => activationName(String(attributes[name] ?? 'linear')) ?? null;
  const isFirst = attributes.data_format === 'channels_first';
  const config: ConvLstmConfig = {
    filters: Number(attributes.filters),
    ...{ kernelSize: list('kernel_size'), strides: list('strides'), dilationRate: list('dilation_rate') },
    padding: attributes.padding === 'same' ? 'same' : 'valid',
    dataFormat: isFirst ? 'channelsFirst' : 'channelsLast',
    ...{ activation: named('activation'), recurrentActivation: named('recurrent_activation') },
    ...{ useBias: bias !== undefined, goBackwards, returnSequences: true, returnState: false },
  } as ConvLstmConfig;
  const shifted = bias && takesShift ? bias : undefined;
  const of = { kernel, recurrent_kernel: recurrent, bias };

  /** States before each frame in the order of the steps made, channels last: `[batch, time, ..., filters]`. */
  const statesBefore = (tf: TensorFlow, inputs: readonly Tensor[], values: Values): Tensor => {
    const [after] = runConvLstm(tf, config, rank, inputs[0] as Tensor, (name) => {
      const weight = of[name];
      return weight && values(weight);
    }) as [Tensor];
    const axes = Array.from({ length: rank }, (_, i) => 3 + i);
    const last = isFirst ? tf.transpose(after, [0, 1, ...axes, 2]) : after;
    const [batch, time, ...frame] = last.shape as [number, number, ...number[]];
    const begin = Array<number>(last.rank).fill(0);
    return tf.concat([tf.zeros([batch, 1, ...frame]), tf.slice(last, begin, [batch, time - 1, ...frame])], 1);
  };

  const frames = stepwise(convolution(kernel, shifted, attributes, rank, isFirst), 1);
  const states = stepwise(plainConvolution(recurrent, shifted, rank), 1);
  return [
    frames,
    {
      ...states,
      isRecurrent: true,
      input: (tf, inputs, values) => states.input(tf, [statesBefore(tf, inputs, values)], values),
    },
  ];
}
