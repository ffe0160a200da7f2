import { isObject } from '../keras/config.js';
import type { Json, JsonObject } from '../model.js';
import { OPERATION } from './graph.js';

/** Functions of TensorFlow that work element by element, as operations of Keras 3. */
const FUNCTIONS: ReadonlyMap<Json, string> = new Map(
  Object.entries({
    '__operators__.add': 'Add',
    'math.add': 'Add',
    'math.subtract': 'Subtract',
    'math.multiply': 'Multiply',
    'math.divide': 'Divide',
    'math.truediv': 'TrueDivide',
    'math.maximum': 'Maximum',
    'math.minimum': 'Minimum',
    'math.pow': 'Power',
    'math.negative': 'Negative',
    'math.abs': 'Absolute',
    'math.square': 'Square',
    'math.sqrt': 'Sqrt',
    'math.rsqrt': 'Rsqrt',
    'math.exp': 'Exp',
    'math.log': 'Log',
    'math.sin': 'Sin',
    'math.cos': 'Cos',
    'math.tanh': 'Tanh',
    'math.sigmoid': 'Sigmoid',
    'math.softplus': 'Softplus',
    'nn.relu': 'Relu',
    'nn.relu6': 'Relu6',
  }),
);

/** A tensor as Keras 3 writes it, or a number; undefined for anything else. */
function operand(value: Json | undefined): Json | undefined {
  if (typeof value === 'number') return value;
  if (!Array.isArray(value)) return undefined;
  const [layer, call, tensor] = value;
  if (layer === '_CONSTANT_VALUE') return typeof tensor === 'number' ? tensor : undefined;
  if (typeof layer !== 'string' || typeof call !== 'number') return undefined;
  return { class_name: '__keras_tensor__', config: { keras_history: [layer, call, tensor ?? 0] } };
}

/**
 * A TFOpLambda, which is how tf.keras writes `x + y` and `tf.nn.relu(x)` of a functional model, as the operation that
 * Keras 3 writes: its calls are `[layer, call, tensor, { y, name }]`. Undefined for other functions and arguments.
 */
export function fromOpLambda(entry: JsonObject): JsonObject | undefined {
  if (entry.class_name !== 'TFOpLambda' || !isObject(entry.config)) return undefined;
  const name = FUNCTIONS.get(entry.config.function ?? null);
  if (name === undefined || !Array.isArray(entry.inbound_nodes)) return undefined;
  const nodes: Json[] = [];
  for (const node of entry.inbound_nodes) {
    const call = Array.isArray(node) && Array.isArray(node[0]) ? node[0] : node;
    const kwargs = Array.isArray(call) ? call[3] : undefined;
    const { y, name: _, ...others } = isObject(kwargs) ? kwargs : {};
    const args = [operand(call), ...(y === undefined ? [] : [operand(y)])];
    if (Object.values(others).some((value) => value !== null)) return undefined;
    if (!args.every((arg) => arg !== undefined)) return undefined;
    nodes.push({ args: args as Json[], kwargs: {} });
  }
  return { ...entry, class_name: OPERATION + name, inbound_nodes: nodes };
}
