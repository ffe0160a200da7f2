import { expected } from '../../errors.js';
import type { Json } from '../../model.js';
import { LARGEST_WHOLE } from '../../network/operations/integers.js';
import type { Tensor, TensorFlow } from '../types.js';
import { type LayerSpec, spec } from './define.js';
import { elementwise } from './ops/elementwise.js';
import { products } from './ops/products.js';
import { reductions } from './ops/reductions.js';
import { shapes } from './ops/shapes.js';
import { type Attributes, float, type TensorOperation } from './ops/spec.js';

export { indexOf } from './ops/slices.js';
export type { Attributes, TensorOperation };

/** Operations of keras.ops and keras.activations on tensors, by {@link operationName}. */
export const TENSOR_OPERATIONS: Readonly<Record<string, TensorOperation>> = {
  ...elementwise,
  ...reductions,
  ...shapes,
  ...products,
};

/** The name of an operation by its class in Keras: `GetItem` is `getItem`. TensorFlow.js's files keep camel case only. */
export const operationName = (className: string): string =>
  className.replace(/^.*[>.]/, '').replace(/^./, (c) => c.toLowerCase());

/**
 * Attributes out of the config that Keras writes for an operation, in camel case. Keys that say nothing of what is
 * computed (`name`, `trainable`, the `function` of a TFOpLambda, the `dtype` of all but `Cast`) are left out.
 */
export function attributesOf(name: string, config: Readonly<Record<string, Json>>): Attributes {
  const known = Object.hasOwn(TENSOR_OPERATIONS, name) ? TENSOR_OPERATIONS[name]?.attributes : undefined;
  const out: Record<string, Json> = {};
  for (const [key, value] of Object.entries(config)) {
    const camel = key.replace(/_(\w)/g, (_, c: string) => c.toUpperCase());
    const isAside = ['name', 'trainable', 'dtype', 'batchInputShape', 'function'].includes(camel);
    if (!isAside || (known && Object.hasOwn(known, camel))) out[camel] = value;
  }
  return out;
}

/** Why an operation cannot be computed with such attributes and so many operands; undefined: it can. */
export function refusedOperation(name: string, attributes: Attributes, operands: number): string | undefined {
  const operation = Object.hasOwn(TENSOR_OPERATIONS, name) ? TENSOR_OPERATIONS[name] : undefined;
  if (!operation) return 'an operation that is not among those converted';
  if (typeof operation.operands === 'number' && operands !== operation.operands)
    return `${operands} operands, where ${operation.operands} were expected`;
  if (operands === 0) return 'no operands';
  const strange = Object.keys(attributes).find(
    (key) => !Object.hasOwn(operation.attributes, key) && attributes[key] !== null,
  );
  if (strange !== undefined) return `the argument ${strange}`;
  return operation.refuse?.({ ...operation.attributes, ...attributes });
}

interface OperationConfig {
  readonly operation: string;
  /** A number or an array of numbers, or null for the next input. */
  readonly operands: readonly Json[];
  readonly attributes?: Attributes;
  /** Whole numbers that have to stay below {@link LARGEST_WHOLE}: `compared` its operands, `grown` its results as well. */
  readonly whole?: 'compared' | 'grown';
}

/** @throws RangeError for numbers that float32, which TensorFlow.js keeps between layers, may not hold */
function requireWhole(tf: TensorFlow, x: Tensor, name: string): void {
  const [most = 0] = tf.max(tf.abs(float(tf, x))).dataSync();
  if (most < LARGEST_WHOLE) return;
  throw new RangeError(expected(name, `whole numbers below ${LARGEST_WHOLE} in magnitude`, most));
}

const parts = (config: OperationConfig) => {
  const operation = TENSOR_OPERATIONS[config.operation] as TensorOperation;
  return { operation, attributes: { ...operation.attributes, ...config.attributes } };
};

function shapeOf(value: Json): number[] {
  return Array.isArray(value) ? [value.length, ...shapeOf(value[0] ?? 0)] : [];
}

const isWhole = (value: Json): boolean =>
  Array.isArray(value) ? value.every(isWhole) : Number.isInteger(value);

const operation: LayerSpec<OperationConfig> = {
  className: 'Operation',
  outputShape(config, given) {
    const { operation, attributes } = parts(config);
    const rest = [...given];
    return operation.shape(
      config.operands.map((value) => (value === null ? (rest.shift() ?? []) : shapeOf(value))),
      attributes,
    );
  },
  call({ tf, config, inputs, name }) {
    const { operation, attributes } = parts(config);
    const rest = [...inputs];
    // Beside integers, a whole number is one of them; the result has their type.
    const areWhole = inputs.every(({ dtype }) => dtype === 'int32');
    const operands = config.operands.map((value) =>
      value === null
        ? (rest.shift() as Tensor)
        : tf.tensor(value as number[], shapeOf(value), areWhole && isWhole(value) ? 'int32' : 'float32'),
    );
    const { whole } = config;
    if (!whole) return operation.compute(tf, operands, attributes);
    const isCast = config.operation === 'cast';
    for (const x of operands) if (x.dtype !== 'bool' && !isCast) requireWhole(tf, x, name);
    if (whole === 'compared') return operation.compute(tf, operands, attributes);
    // In float32 results that are too large stay so, where whole numbers would wrap.
    const floats = operands.map((x) => float(tf, x));
    const made = operation.compute(tf, floats, attributes) as Tensor;
    const most =
      config.operation === 'sum'
        ? operation.compute(
            tf,
            floats.map((x) => tf.abs(x)),
            attributes,
          )
        : made;
    requireWhole(tf, isCast ? (floats[0] as Tensor) : (most as Tensor), name);
    return tf.cast(made, 'int32');
  },
};

/** Operations on tensors of a functional model, which Keras lists among the layers. */
export const operationLayers: readonly LayerSpec[] = [spec(operation)];
