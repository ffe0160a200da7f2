import type { Tensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../types.js';
import { activate } from './activations.js';
import { type LayerSpec, type Shape, spec } from './define.js';

type Operation = (tf: TensorFlow, ...operands: [Tensor, Tensor]) => Tensor;

const activation =
  (name: string): Operation =>
  (tf, x) =>
    activate(tf, name, x);

/** Operations of keras.ops that work element by element, operands spread as in NumPy. TensorFlow.js's files keep camel case only. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  add: (tf, x, y) => tf.add(x, y),
  subtract: (tf, x, y) => tf.sub(x, y),
  multiply: (tf, x, y) => tf.mul(x, y),
  divide: (tf, x, y) => tf.div(x, y),
  trueDivide: (tf, x, y) => tf.div(x, y),
  maximum: (tf, x, y) => tf.maximum(x, y),
  minimum: (tf, x, y) => tf.minimum(x, y),
  power: (tf, x, y) => tf.pow(x, y),
  negative: (tf, x) => tf.neg(x),
  absolute: (tf, x) => tf.abs(x),
  square: (tf, x) => tf.square(x),
  sqrt: (tf, x) => tf.sqrt(x),
  rsqrt: (tf, x) => tf.rsqrt(x),
  exp: (tf, x) => tf.exp(x),
  log: (tf, x) => tf.log(x),
  sin: (tf, x) => tf.sin(x),
  cos: (tf, x) => tf.cos(x),
  tanh: (tf, x) => tf.tanh(x),
  relu: activation('relu'),
  relu6: activation('relu6'),
  sigmoid: activation('sigmoid'),
  silu: activation('swish'),
  softplus: activation('softplus'),
};

interface OperationConfig {
  readonly operation: string;
  /** A number, or null for the next input. */
  readonly operands: readonly (number | null)[];
}

/** Shapes aligned at their last axes; 1 gives way to any length. */
function spread(shapes: readonly Shape[]): Shape {
  const rank = Math.max(...shapes.map(({ length }) => length));
  return Array.from({ length: rank }, (_, i) => {
    const sizes = shapes
      .map((shape) => shape[shape.length - rank + i])
      .filter((n) => n !== undefined && n !== 1);
    return sizes.length === 0 ? 1 : (sizes.find((n) => n !== null) ?? null);
  });
}

const operation: LayerSpec<OperationConfig> = {
  className: 'Operation',
  outputShape: (_, shapes) => spread(shapes),
  call({ tf, config, inputs }) {
    const rest = [...inputs];
    const operands = config.operands.map((value) =>
      value === null ? (rest.shift() as Tensor) : tf.scalar(value),
    );
    return (OPERATIONS[config.operation] as Operation)(tf, ...(operands as [Tensor, Tensor]));
  },
};

/** Operations on tensors of a functional model, which Keras lists among the layers. */
export const operationLayers: readonly LayerSpec[] = [spec(operation)];
