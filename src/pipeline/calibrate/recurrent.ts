import type { WeightInfo } from '../../model.js';
import { activate } from '../../tfjs/layers/activations.js';
import { reversed } from '../../tfjs/layers/ops/spec.js';
import { type RnnConfig, runRnn, splitInputs } from '../../tfjs/layers/recurrent.js';
import type { Tensor, Tensor2D, Tensor3D, Tensor5D, TensorFlow } from '../../tfjs/types.js';
import { type Linear, rowsMap, type Values } from './linear.js';

/** The weights of one direction. */
export interface RnnWeights {
  readonly kernel: WeightInfo;
  readonly recurrent: WeightInfo;
  /** Used to compute the states, whether or not a shift may go into it. */
  readonly bias: WeightInfo | undefined;
  readonly takesShift: boolean;
}

/**
 * Both kernels of SimpleRNN, LSTM or GRU, in one direction, gates side by side:
 *
 * - `kernel`: rows are the inputs over time, `[batch, 1, 1, time, features]`
 * - `recurrent_kernel`: rows are the states before each step, `h(t-1)`, of the network whose weights are given, its input
 *   kernel fitted already; a GRU without `reset_after` multiplies the states by the reset gate for its last third, so it
 *   has three groups: `h`, `h`, `r h`
 *
 * Steps that a mask leaves out do not count. Both shifts go into the one bias, but for a GRU with `reset_after`, which has
 * two: `[2, 3 units]`.
 *
 * @param half of the states given that are this direction's; all, unless it is one of two
 */
export function recurrent(
  { kernel, recurrent: own, bias, takesShift }: RnnWeights,
  config: RnnConfig,
  half?: 'first' | 'second',
): Linear[] {
  const [features, width] = kernel.shape as [number, number];
  const { units } = config;
  const isDouble = bias?.shape.length === 2;
  const isReset = config.cell === 'GRU' && !config.resetAfter;
  const shiftFrom = (from: number) => (bias && takesShift ? { bias: { weight: bias, from } } : {});
  /** Rows in the order in which steps are made. */
  const ordered = (tf: TensorFlow, x: Tensor) => (config.goBackwards ? reversed(tf, x, 1) : x);
  const rows = (tf: TensorFlow, x: Tensor) => {
    const [batch, time, size] = x.shape as [number, number, number];
    return tf.reshape(x, [batch, 1, 1, time, size]) as Tensor5D;
  };
  const mask = (tf: TensorFlow, inputs: readonly Tensor[]) => {
    const given = splitInputs(config, inputs).mask;
    return given && ordered(tf, given);
  };
  const product = (tf: TensorFlow, x: Tensor, matrix: Tensor) => {
    const [k, n] = matrix.shape as [number, number];
    const y = tf.matMul(tf.reshape(x, [-1, k]) as Tensor2D, matrix as Tensor2D);
    return tf.reshape(y, [...x.shape.slice(0, -1), n]);
  };

  /** States before each step, `[batch, time, units]`. */
  const statesBefore = (tf: TensorFlow, inputs: readonly Tensor[], values: Values): Tensor3D => {
    const { x, mask: given, states: all } = splitInputs(config, inputs);
    const middle = half ? all.length / 2 : half;
    const states = half === 'first' ? all.slice(0, middle) : all.slice(middle ?? 0);
    const named = { kernel, recurrent_kernel: own, bias };
    const weight = (name: keyof typeof named) => {
      const info = named[name];
      return info && values(info);
    };
    const whole = { ...config, returnSequences: true, zeroOutputForMask: false };
    const after = runRnn(tf, whole, x, weight, states, given).sequence as Tensor3D;
    const [batch, time] = after.shape;
    const first = tf.reshape(states[0] ?? tf.zeros([batch, units]), [batch, 1, units]) as Tensor3D;
    return tf.concat([first, tf.slice(after, [0, 0, 0], [batch, time - 1, units])], 1);
  };
  /** The reset gate's states: `r h`, `r = gate(x W_r + b_r + h U_r)`. */
  const reset = (tf: TensorFlow, inputs: readonly Tensor[], values: Values, before: Tensor) => {
    const x = ordered(tf, splitInputs(config, inputs).x);
    const third = (matrix: Tensor) => tf.slice(matrix, [0, units], [-1, units]);
    const sum = tf.add(product(tf, x, third(values(kernel))), product(tf, before, third(values(own))));
    const inner = bias ? tf.add(sum, tf.slice(values(bias), [units], [units])) : sum;
    return tf.mul(activate(tf, config.recurrentActivation, inner), before);
  };

  return [
    rowsMap(
      kernel,
      { k: features, n: width },
      {
        ...shiftFrom(0),
        mask,
        input: (tf, inputs) => rows(tf, ordered(tf, splitInputs(config, inputs).x)),
        outputs: (tf, image, values) => product(tf, image, values(kernel)) as Tensor5D,
      },
    ),
    rowsMap(
      own,
      { groups: isReset ? 3 : 1, k: units, n: isReset ? units : width },
      {
        ...shiftFrom(isDouble ? width : 0),
        mask,
        isRecurrent: true,
        input(tf, inputs, values) {
          const before = statesBefore(tf, inputs, values);
          if (!isReset) return rows(tf, before);
          return rows(tf, tf.concat([before, before, reset(tf, inputs, values, before)], 2));
        },
        outputs(tf, image, values) {
          if (!isReset) return product(tf, image, values(own)) as Tensor5D;
          const parts = tf.split(image, 3, 4);
          const matrices = tf.split(values(own), 3, 1);
          return tf.concat(
            parts.map((part, g) => product(tf, part, matrices[g] as Tensor)),
            4,
          ) as Tensor5D;
        },
      },
    ),
  ];
}
