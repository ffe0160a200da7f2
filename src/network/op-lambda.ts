// Functions of TensorFlow in functional models of tf.keras, `x[:, -1]`, `tf.reduce_mean(x)`, as operations of Keras 3.
import { isObject, type Json, type JsonObject } from '../model.js';

/** What a function is: the operation, its further arguments in order, and what its keywords are called in Keras 3. */
interface Known {
  readonly operation: string;
  /** Keywords that hold further operands, in order. */
  readonly operands?: readonly string[];
  /** Keyword -> attribute. */
  readonly attributes?: Readonly<Record<string, string>>;
  /** Attributes where the function is told nothing of them, unlike those of Keras 3's operation. */
  readonly defaults?: JsonObject;
}

const unary = (operation: string): Known => ({ operation });
const binary = (operation: string): Known => ({ operation, operands: ['y'] });
const reduce = (operation: string): Known => ({
  operation,
  attributes: { axis: 'axis', keepdims: 'keepdims', keep_dims: 'keepdims' },
});

/** By the name that tf.keras writes. Keywords that are not named here are refused unless they are null. */
const FUNCTIONS: ReadonlyMap<Json, Known> = new Map(
  Object.entries<Known>({
    '__operators__.add': binary('Add'),
    'math.add': binary('Add'),
    'math.subtract': binary('Subtract'),
    'math.multiply': binary('Multiply'),
    'math.divide': binary('Divide'),
    'math.truediv': binary('TrueDivide'),
    'math.floordiv': binary('FloorDivide'),
    'math.floormod': binary('Mod'),
    'math.maximum': binary('Maximum'),
    'math.minimum': binary('Minimum'),
    'math.pow': binary('Power'),
    'math.squared_difference': binary('SquaredDifference'),
    'math.greater': binary('Greater'),
    'math.greater_equal': binary('GreaterEqual'),
    'math.less': binary('Less'),
    'math.less_equal': binary('LessEqual'),
    '__operators__.eq': { operation: 'Equal', operands: ['other'] },
    '__operators__.ne': { operation: 'NotEqual', operands: ['other'] },
    'math.equal': binary('Equal'),
    'math.not_equal': binary('NotEqual'),
    'math.logical_and': binary('LogicalAnd'),
    'math.logical_or': binary('LogicalOr'),
    'math.logical_not': unary('LogicalNot'),
    'math.negative': unary('Negative'),
    'math.abs': unary('Absolute'),
    'math.sign': unary('Sign'),
    'math.square': unary('Square'),
    'math.sqrt': unary('Sqrt'),
    'math.rsqrt': unary('Rsqrt'),
    'math.exp': unary('Exp'),
    'math.log': unary('Log'),
    'math.log1p': unary('Log1p'),
    'math.floor': unary('Floor'),
    'math.ceil': unary('Ceil'),
    'math.round': unary('Round'),
    'math.sin': unary('Sin'),
    'math.cos': unary('Cos'),
    'math.tan': unary('Tan'),
    'math.tanh': unary('Tanh'),
    'math.erf': unary('Erf'),
    'math.reciprocal': unary('Reciprocal'),
    'math.sigmoid': unary('Sigmoid'),
    'math.softplus': unary('Softplus'),
    'nn.sigmoid': unary('Sigmoid'),
    'nn.relu': unary('Relu'),
    'nn.relu6': unary('Relu6'),
    'nn.elu': unary('Elu'),
    'nn.selu': unary('Selu'),
    'nn.silu': { operation: 'Silu', attributes: { beta: 'beta' } },
    'nn.tanh': unary('Tanh'),
    'nn.softsign': unary('Softsign'),
    'nn.gelu': {
      operation: 'Gelu',
      attributes: { approximate: 'approximate' },
      defaults: { approximate: false },
    },
    'nn.leaky_relu': { operation: 'LeakyRelu', attributes: { alpha: 'negative_slope' } },
    'nn.softmax': { operation: 'Softmax', attributes: { axis: 'axis' } },
    'nn.log_softmax': { operation: 'LogSoftmax', attributes: { axis: 'axis' } },
    'math.l2_normalize': {
      operation: 'L2Normalize',
      attributes: { axis: 'axis', epsilon: 'epsilon' },
    },
    'math.reduce_mean': reduce('Mean'),
    'math.reduce_sum': reduce('Sum'),
    'math.reduce_prod': reduce('Prod'),
    'math.reduce_max': reduce('Max'),
    'math.reduce_min': reduce('Min'),
    'math.reduce_variance': reduce('Var'),
    'math.reduce_std': reduce('Std'),
    'math.argmax': { operation: 'Argmax', attributes: { axis: 'axis' }, defaults: { axis: 0 } },
    'compat.v1.norm': {
      operation: 'Norm',
      attributes: { ord: 'ord', axis: 'axis', keepdims: 'keepdims' },
    },
    norm: { operation: 'Norm', attributes: { ord: 'ord', axis: 'axis', keepdims: 'keepdims' } },
    concat: { operation: 'Concatenate', attributes: { axis: 'axis' } },
    stack: { operation: 'Stack', attributes: { axis: 'axis' } },
    expand_dims: { operation: 'ExpandDims', attributes: { axis: 'axis' } },
    'compat.v1.squeeze': { operation: 'Squeeze', attributes: { axis: 'axis' } },
    squeeze: { operation: 'Squeeze', attributes: { axis: 'axis' } },
    reshape: { operation: 'Reshape', attributes: { shape: 'newshape' } },
    'compat.v1.transpose': { operation: 'Transpose', attributes: { perm: 'axes' } },
    transpose: { operation: 'Transpose', attributes: { perm: 'axes' } },
    cast: { operation: 'Cast', attributes: { dtype: 'dtype' } },
    clip_by_value: {
      operation: 'Clip',
      attributes: { clip_value_min: 'x_min', clip_value_max: 'x_max' },
    },
    split: { operation: 'Split', attributes: { num_or_size_splits: 'sizes', axis: 'axis' } },
    tile: { operation: 'Tile', attributes: { multiples: 'repeats' } },
    repeat: { operation: 'Repeat', attributes: { repeats: 'repeats', axis: 'axis' } },
    reverse: { operation: 'Flip', attributes: { axis: 'axis' } },
    'linalg.matmul': { operation: 'Matmul', operands: ['b'] },
    where: { operation: 'Where', operands: ['x', 'y'] },
    '__operators__.getitem': { operation: 'GetItem', operands: ['slice_spec'] },
  }),
);

/** Keywords of TensorFlow that say what is so anyway. */
const HARMLESS: ReadonlyMap<string, readonly Json[]> = new Map(
  Object.entries({
    conjugate: [false],
    transpose_a: [false],
    transpose_b: [false],
    adjoint_a: [false],
    adjoint_b: [false],
    a_is_sparse: [false],
    b_is_sparse: [false],
  }),
);

export const isOpLambda = (entry: JsonObject): boolean =>
  entry.class_name === 'TFOpLambda' || entry.class_name === 'SlicingOpLambda';

/** A tensor as Keras 3 writes it; numbers and lists of numbers as they are; undefined for anything else. */
function operand(value: Json | undefined): Json | undefined {
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  if (!Array.isArray(value)) return undefined;
  const [layer, call, tensor] = value;
  if (layer === '_CONSTANT_VALUE') return operand(tensor);
  if (typeof layer === 'string' && typeof call === 'number')
    return { class_name: '__keras_tensor__', config: { keras_history: [layer, call, tensor ?? 0] } };
  const items = value.map(operand);
  return items.every((item) => item !== undefined) ? (items as Json[]) : undefined;
}

/** `x[...]` as Keras 3 writes it: numbers, slices, `...` and new axes. */
function sliceSpec(value: Json | undefined): Json | undefined {
  const list = Array.isArray(value) ? value : [value ?? null];
  const items = list.map((item): Json | undefined => {
    if (typeof item === 'number' || item === null) return item;
    const isRest = item === 'Ellipsis' || (isObject(item) && item.class_name === '__ellipsis__');
    if (isRest) return { class_name: '__ellipsis__', config: {} };
    if (!isObject(item) || !('start' in item || 'stop' in item)) return undefined;
    const { start = null, stop = null, step = null } = item;
    const isPlain = [start, stop, step].every((n) => n === null || typeof n === 'number');
    return isPlain ? { class_name: '__slice__', config: { start, stop, step } } : undefined;
  });
  return items.every((item) => item !== undefined) ? (items as Json[]) : undefined;
}

/**
 * A TFOpLambda or SlicingOpLambda, which is how tf.keras writes functions on tensors of a functional model, as the
 * operation that Keras 3 writes. One with a function or an argument that is not known here stays, and is refused by name.
 */
export function fromOpLambda(entry: JsonObject): JsonObject {
  const config = isObject(entry.config) ? entry.config : {};
  const known = FUNCTIONS.get(config.function ?? null);
  if (!known || !Array.isArray(entry.inbound_nodes)) return entry;
  const nodes: Json[] = [];
  let attributes: JsonObject = {};
  for (const node of entry.inbound_nodes) {
    const list = Array.isArray(node) && Array.isArray(node[0]) ? (node as Json[][]) : [node as Json[]];
    // `tf.concat([x, y])` has its keywords behind each of the tensors.
    const isMany = Array.isArray(node) && Array.isArray(node[0]);
    const kwargs = list[0]?.[3];
    const tensors = list.map(operand);
    const first = isMany ? (tensors as Json[]) : tensors[0];
    const args: (Json | undefined)[] = [tensors.includes(undefined) ? undefined : first];
    const own: JsonObject = { ...known.defaults };
    for (const [key, value] of Object.entries(isObject(kwargs) ? kwargs : {})) {
      const place = known.operands?.indexOf(key) ?? -1;
      const attribute = known.attributes?.[key];
      if (place >= 0) args[place + 1] = key === 'slice_spec' ? sliceSpec(value) : operand(value);
      else if (attribute !== undefined) own[attribute] = value ?? known.defaults?.[attribute] ?? null;
      else if (key !== 'name' && value !== null && !HARMLESS.get(key)?.includes(value)) return entry;
    }
    const count = 1 + (known.operands?.length ?? 0);
    if (args.length > count || Array.from(args).some((arg) => arg === undefined)) return entry;
    if (args.length < count && known.operands) return entry;
    if (nodes.length > 0 && JSON.stringify(own) !== JSON.stringify(attributes)) return entry;
    attributes = own;
    nodes.push({ args: args as Json[], kwargs: {} });
  }
  const { name = null } = config;
  return {
    ...entry,
    class_name: `ops.${known.operation}`,
    config: { name, ...attributes },
    inbound_nodes: nodes,
  };
}
