import { isObject } from '../keras/config.js';
import type { Json, JsonObject } from '../model.js';
import { activationName } from './layers/activations.js';

/** Where a layer is being converted. */
export interface Cleaning {
  readonly isKeras3: boolean;
  /** Whether initializers and regularizers are kept, for a model that may be trained further. */
  readonly keepTraining: boolean;
  /** What cannot be run at all. */
  readonly problem: (reason: string) => void;
  /** What is left out and does not change outputs. */
  readonly remark: (text: string) => void;
}

const INITIALIZERS = new Set([
  'Zeros',
  'Ones',
  'Constant',
  'RandomUniform',
  'RandomNormal',
  'TruncatedNormal',
  'Identity',
  'VarianceScaling',
  'GlorotUniform',
  'GlorotNormal',
  'HeNormal',
  'HeUniform',
  'LeCunNormal',
  'LeCunUniform',
  'Orthogonal',
]);
const INITIALIZER_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    LecunNormal: 'LeCunNormal',
    LecunUniform: 'LeCunUniform',
    IdentityInitializer: 'Identity',
    OrthogonalInitializer: 'Orthogonal',
  }),
);
const ZEROS: JsonObject = { class_name: 'Zeros', config: {} };

/** Keys of Keras that TensorFlow.js has no use for. */
const DROPPED = new Set([
  'module',
  'registered_name',
  'build_config',
  'compile_config',
  'quantization_config',
  'ragged',
  'optional',
  'implementation',
  'autocast',
  'time_major',
  'input_axes',
  'synchronized',
  'renorm',
  'fused',
  'virtual_batch_size',
  'batch_shape',
  'seed',
]);

const text = (value: Json | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

/** Number type of a tensor: TensorFlow.js computes in float32 and indexes with int32. */
export function dtypeOf(value: Json | undefined, problem: (reason: string) => void): string {
  const name = isObject(value)
    ? isObject(value.config)
      ? text(value.config.name)
      : text(value.name)
    : text(value);
  if (!name || /^(float|bfloat|mixed_)/.test(name)) return 'float32';
  if (/^u?int(8|16|32|64)$/.test(name)) return 'int32';
  if (name === 'bool') return 'bool';
  problem(`values of type ${name}`);
  return 'float32';
}

/** `{ module, class_name, config, registered_name }` without its wrapping; NumPy scalars as plain numbers. */
function unwrapped(value: Json | undefined): JsonObject | undefined {
  if (typeof value === 'string') return { class_name: value, config: {} };
  if (!isObject(value) || typeof value.class_name !== 'string') return undefined;
  return { class_name: value.class_name, config: isObject(value.config) ? value.config : {} };
}

function initializer(value: Json | undefined, key: string, { remark }: Cleaning): Json {
  const found = unwrapped(value);
  if (!found) return ZEROS;
  const given = String(found.class_name);
  const pascal =
    given.includes('_') || /^[a-z]/.test(given)
      ? given.replace(/(^|_)(\w)/g, (_, __, c: string) => c.toUpperCase())
      : given;
  const name = INITIALIZER_NAMES.get(pascal) ?? pascal;
  const config = { ...(found.config as JsonObject) };
  delete config.dtype;
  delete config.input_axes;
  delete config.output_axes;
  if (typeof config.seed !== 'number') delete config.seed;
  if (config.distribution === 'untruncated_normal') config.distribution = 'normal';
  const isScalar = name !== 'Constant' || typeof config.value === 'number';
  if (INITIALIZERS.has(name) && isScalar) return { class_name: name, config };
  remark(`${key} ${given} becomes Zeros: TensorFlow.js has no such initializer`);
  return ZEROS;
}

function regularizer(value: Json | undefined, key: string, { remark }: Cleaning): Json {
  const found = unwrapped(value);
  if (!found) return null;
  const config = found.config as JsonObject;
  const name = String(found.class_name).toLowerCase();
  if (name === 'l1') return { class_name: 'L1L2', config: { l1: config.l1 ?? 0.01, l2: 0 } };
  if (name === 'l2') return { class_name: 'L1L2', config: { l1: 0, l2: config.l2 ?? 0.01 } };
  if (name === 'l1l2' || name === 'l1_l2')
    return { class_name: 'L1L2', config: { l1: config.l1 ?? 0, l2: config.l2 ?? 0 } };
  remark(`${key} ${String(found.class_name)} is left out: TensorFlow.js has no such regularizer`);
  return null;
}

/** An activation by the name that TensorFlow.js reads; Keras 3 may write an object, `{ class_name: 'function', config: 'relu' }`. */
function activation(value: Json | undefined, { isKeras3, problem }: Cleaning): Json {
  const name = isObject(value) ? (typeof value.config === 'string' ? value.config : value.class_name) : value;
  if (name === null || name === undefined) return 'linear';
  const found = typeof name === 'string' ? activationName(name.replace(/^.*>/, ''), isKeras3) : undefined;
  if (found === undefined) problem(`activation ${String(name)}`);
  return found ?? 'linear';
}

/**
 * A layer's config in the Keras 2 form that TensorFlow.js reads, with sub-layers as they are.
 *
 * Constraints go: TensorFlow.js would apply them to weights as they are loaded. Activity regularizers go: a layer that
 * has one cannot be called.
 */
export function cleanConfig(config: JsonObject, cleaning: Cleaning): JsonObject {
  const out: JsonObject = {};
  for (const [key, value] of Object.entries(config)) {
    if (DROPPED.has(key)) continue;
    if (key.endsWith('_initializer')) {
      out[key] = cleaning.keepTraining ? initializer(value, key, cleaning) : ZEROS;
    } else if (key === 'activity_regularizer' || key.endsWith('_constraint')) {
      if (value && cleaning.keepTraining)
        cleaning.remark(`${key} is left out: TensorFlow.js cannot load a model with it unchanged`);
    } else if (key.endsWith('_regularizer')) {
      out[key] = cleaning.keepTraining ? regularizer(value, key, cleaning) : null;
    } else if (key === 'activation' || key === 'recurrent_activation') {
      out[key] = activation(value, cleaning);
    } else if (key !== 'dtype') {
      out[key] = plain(value);
    }
  }
  const shape = config.batch_shape ?? config.batch_input_shape;
  if (Array.isArray(shape)) out.batch_input_shape = shape;
  // TensorFlow.js never frees the four tensors that it joins such a bias of.
  if (!cleaning.keepTraining && out.unit_forget_bias === true) out.unit_forget_bias = false;
  // Nor the masks that recurrent layers with dropout make, all ones outside of training.
  if (!cleaning.keepTraining && 'recurrent_dropout' in out)
    Object.assign(out, { dropout: 0, recurrent_dropout: 0 });
  out.dtype = 'float32';
  return out;
}

/** Keras 3 wraps NumPy arrays and tuples: `{ class_name: '__numpy__', config: { value } }`. */
function plain(value: Json): Json {
  if (!isObject(value)) return value;
  if (value.type === 'ndarray') return value.value ?? null;
  if (value.class_name === '__numpy__' || value.class_name === '__tensor__') {
    return isObject(value.config) ? (value.config.value ?? null) : null;
  }
  if (value.class_name === '__tuple__' && Array.isArray(value.items)) return value.items;
  return value;
}
