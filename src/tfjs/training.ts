import { isObject, type Json, type JsonObject } from '../model.js';

/** Where a layer is being converted. */
export interface Cleaning {
  /** Whether initializers and regularizers are kept, for a model that may be trained further. */
  readonly keepTraining: boolean;
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

/**
 * What a node says of training, in the words of TensorFlow.js: initializers and regularizers, or zeros and none.
 *
 * Constraints go: TensorFlow.js would apply them to weights as they are loaded. Activity regularizers go: a layer that
 * has one cannot be called.
 */
export function trainingConfig(training: JsonObject, cleaning: Cleaning): JsonObject {
  const out: JsonObject = {};
  for (const [key, value] of Object.entries(training)) {
    if (key.endsWith('_initializer')) {
      out[key] = cleaning.keepTraining ? initializer(value, key, cleaning) : ZEROS;
    } else if (key === 'activity_regularizer' || key.endsWith('_constraint')) {
      if (value && cleaning.keepTraining)
        cleaning.remark(`${key} is left out: TensorFlow.js cannot load a model with it unchanged`);
    } else if (key.endsWith('_regularizer')) {
      out[key] = cleaning.keepTraining ? regularizer(value, key, cleaning) : null;
    } else out[key] = value;
  }
  // TensorFlow.js never frees the four tensors that it joins such a bias of.
  if (!cleaning.keepTraining && out.unit_forget_bias === true) out.unit_forget_bias = false;
  // Nor the masks that recurrent layers with dropout make, all ones outside of training.
  if (!cleaning.keepTraining && 'recurrent_dropout' in out)
    Object.assign(out, { dropout: 0, recurrent_dropout: 0 });
  return out;
}
