import type { Tensor, TensorFlow } from '../types.js';
import { PREFIX } from './define.js';
import { sum } from './sums.js';

type Activation = (tf: TensorFlow, x: Tensor) => Tensor;

/** Not `clipByValue`, whose WebAssembly kernel makes 0 of what is not a number. */
const between = (tf: TensorFlow, x: Tensor, low: number, high: number) =>
  tf.minimum(tf.maximum(x, low), high);
const relu6 = (tf: TensorFlow, x: Tensor) => between(tf, x, 0, 6);
/** `(1 + erf(x / sqrt 2)) / 2` */
const normalCdf = (tf: TensorFlow, x: Tensor) => tf.mul(0.5, tf.add(1, tf.erf(tf.mul(x, Math.SQRT1_2))));

/** Softmax along any axes, with the largest value taken off first. */
export function softmax(tf: TensorFlow, x: Tensor, axis: number | number[] = -1): Tensor {
  const exps = tf.exp(tf.sub(x, tf.max(x, axis, true)));
  return tf.div(exps, sum(tf, exps, axis, true));
}

/** Activations that TensorFlow.js has under the same name and with the same values, in the camel case that it reads. */
const NATIVE: Readonly<Record<string, Activation>> = {
  linear: (_, x) => x,
  relu: (tf, x) => tf.relu(x),
  relu6,
  elu: (tf, x) => tf.elu(x),
  selu: (tf, x) => tf.selu(x),
  sigmoid: (tf, x) => tf.sigmoid(x),
  hardSigmoid: (tf, x) => between(tf, tf.add(tf.mul(x, 0.2), 0.5), 0, 1),
  softplus: (tf, x) => tf.softplus(x),
  softsign: (tf, x) => tf.div(x, tf.add(1, tf.abs(x))),
  tanh: (tf, x) => tf.tanh(x),
  softmax: (tf, x) => softmax(tf, x),
  logSoftmax: (tf, x) => tf.logSoftmax(x),
  gelu: (tf, x) => tf.mul(x, normalCdf(tf, x)),
  mish: (tf, x) => tf.mul(x, tf.tanh(tf.softplus(x))),
  swish: (tf, x) => tf.mul(x, tf.sigmoid(x)),
};

/** Activations of Keras that TensorFlow.js lacks, with Keras's default arguments; registered as `bitnibble>NAME`. */
const OWN: Readonly<Record<string, Activation>> = {
  hardSigmoid: (tf, x) => tf.div(relu6(tf, tf.add(x, 3)), 6),
  hardSilu: (tf, x) => tf.mul(x, tf.div(relu6(tf, tf.add(x, 3)), 6)),
  exponential: (tf, x) => tf.exp(x),
  leakyRelu: (tf, x) => tf.leakyRelu(x, 0.2),
  celu: (tf, x) => tf.elu(x),
  logSigmoid: (tf, x) => tf.neg(tf.softplus(tf.neg(x))),
  hardTanh: (tf, x) => between(tf, x, -1, 1),
  hardShrink: (tf, x) => tf.mul(x, tf.cast(tf.greater(tf.abs(x), 0.5), 'float32')),
  softShrink: (tf, x) => tf.mul(tf.sign(x), tf.relu(tf.sub(tf.abs(x), 0.5))),
  tanhShrink: (tf, x) => tf.sub(x, tf.tanh(x)),
  squareplus: (tf, x) => tf.mul(0.5, tf.add(x, tf.sqrt(tf.add(tf.square(x), 4)))),
};

const KERAS_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    silu: 'swish',
    log_softmax: 'logSoftmax',
    hard_silu: 'hardSilu',
    hard_swish: 'hardSilu',
    leaky_relu: 'leakyRelu',
    log_sigmoid: 'logSigmoid',
    hard_tanh: 'hardTanh',
    hard_shrink: 'hardShrink',
    soft_shrink: 'softShrink',
    tanh_shrink: 'tanhShrink',
    hard_sigmoid: 'hardSigmoid',
  }),
);

/**
 * The name under which TensorFlow.js finds an activation of a network, or undefined: `hard_sigmoid_2` is what Keras 2 and
 * TensorFlow.js call `hard_sigmoid`.
 */
export function activationName(activation: string): string | undefined {
  if (activation === 'hard_sigmoid_2') return 'hardSigmoid';
  const name = KERAS_NAMES.get(activation) ?? activation;
  if (name === 'hardSigmoid') return PREFIX + name;
  if (Object.hasOwn(NATIVE, name)) return name;
  return Object.hasOwn(OWN, name) ? PREFIX + name : undefined;
}

/** Computes an activation by its name from {@link activationName}; none is linear. */
export function activate(tf: TensorFlow, name: string | null | undefined, x: Tensor): Tensor {
  if (!name) return x;
  const found = name.startsWith(PREFIX) ? OWN[name.slice(PREFIX.length)] : NATIVE[name];
  if (!found)
    throw new RangeError(`"activation" expected the name of an activation, got ${JSON.stringify(name)}`);
  return found(tf, x);
}

/** Registers the activations that TensorFlow.js lacks, for its own layers to find. */
export function registerActivations(tf: TensorFlow): void {
  for (const [name, compute] of Object.entries(OWN)) {
    class OwnActivation extends tf.serialization.Serializable {
      static className = PREFIX + name;
      getConfig() {
        return {};
      }
      apply(x: Tensor): Tensor {
        return tf.tidy(() => compute(tf, x));
      }
    }
    tf.serialization.registerClass(OwnActivation);
  }
}
