import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { openNpz } from '../../src/formats/npz.js';
import type { Kernels } from '../../src/kernels/types.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import type { TensorFlow } from '../../src/tfjs/types.js';
import { root } from '../support/needs.js';

/** Models of `make_models.py`. */
export const folder = path.join(root, 'test/fixtures/tfjs');

/** Names of all of them. */
export const everyName = readdirSync(folder)
  .filter((file) => file.endsWith('.h5'))
  .map((file) => file.slice(0, -3));

/** One or two of each notation and kind: `npm run check` has a minute, and takes these (`BITNIBBLE_FEW`). */
const FEW = new Set([
  ...[
    'cifar10',
    'conv1d',
    'conv2d',
    'resnet',
    'mobilenet_v2',
    'unet',
    'recurrent',
    'lstm_tagger',
    'transformer',
  ],
  ...[
    'merges',
    'masked',
    'nested_shared',
    'normalizations',
    'dense_activations',
    'mixed_float16',
    'keras1_merges',
  ],
  ...['keras1_theano', 'k2_functions', 'k2_models_in_models', 'k2_short_kernels', 'graph_shared_outputs'],
  ...['graph_model_of_models', 'graph_slices', 'graph_masks_joined', 'graph_short_kernels', 'graph_frozen'],
]);

/** Names of those that tests go through. */
export const names = everyName.filter((name) => process.env.BITNIBBLE_FEW !== '1' || FEW.has(name));

/** What a fixture's file is. */
export const fileOf = (name: string): string => path.join(folder, `${name}.h5`);

/** Every int4 weight, one scale per output channel. */
export async function quantized(name: string, kernels: Kernels, file = fileOf(name)) {
  const model = await openKeras(file);
  const recipe = { default: { scheme: 'int4', granularity: 'channel', scale: 'absmax' } } as const;
  return { float: model, packed: quantizeModel(model, recipe, { kernels }).model };
}

/** Arrays of a fixture: its inputs `x`, and what Keras made of them: `y` in float, `q` after int4. */
export function arraysOf(name: string, letter: 'x' | 'y' | 'q') {
  const file = openNpz(readFileSync(path.join(folder, `${name}.npz`)));
  const count = file.names.filter((key) => key.startsWith(letter)).length;
  return Array.from({ length: count }, (_, i) => file.read(`${letter}${i}`));
}

/** Inputs of a fixture as tensors, and what Keras made of them. */
export function stored(tf: TensorFlow, name: string, outputs: 'y' | 'q') {
  const inputs = arraysOf(name, 'x').map((x) => {
    const dtype = /int|bool/.test(String(x.dtype)) || !(x.data instanceof Float32Array) ? 'int32' : 'float32';
    return tf.tensor(
      dtype === 'int32' ? Int32Array.from(x.data as ArrayLike<number>, Number) : (x.data as Float32Array),
      [...x.shape],
      dtype,
    );
  });
  return { inputs, expected: arraysOf(name, outputs) };
}

/** One output of a model: its shape and all values in row-major order. */
export interface Output {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/**
 * Largest error of outputs against Keras's: `|output - expected| / max(|expected|, a hundredth of the largest)`.
 */
export function errorAgainst(
  name: string,
  outputs: readonly Output[],
  expected: readonly { readonly shape: readonly number[]; readonly data: unknown }[],
): number {
  let largest = 0;
  if (outputs.length !== expected.length)
    throw new Error(`${name}: ${outputs.length} outputs, Keras has ${expected.length}`);
  for (const [i, { shape, values }] of outputs.entries()) {
    const want = expected[i] as (typeof expected)[number];
    if (shape.join() !== want.shape.join())
      throw new Error(`${name}: output ${i} [${shape}], Keras [${want.shape}]`);
    const target = Float64Array.from(want.data as ArrayLike<number>, Number);
    const floor = 0.01 * target.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    target.forEach((v, k) => {
      const error = Math.abs((values[k] as number) - v) / Math.max(Math.abs(v), floor, 1e-30);
      if (Number.isNaN(error)) throw new Error(`${name}: output ${i} is not a number at ${k}`);
      largest = Math.max(largest, error);
    });
  }
  return largest;
}

/** {@link errorAgainst} of what a model predicts for a fixture's inputs. */
export async function largestError(
  tf: TensorFlow,
  model: LayersModel,
  name: string,
  outputs: 'y' | 'q',
): Promise<number> {
  const { inputs, expected } = stored(tf, name, outputs);
  const result = model.predict(inputs.length === 1 ? (inputs[0] as Tensor) : inputs);
  const tensors = Array.isArray(result) ? result : [result];
  const values = await Promise.all(tensors.map((tensor) => tensor.data()));
  const found = tensors.map(({ shape }, i) => ({ shape, values: values[i] as ArrayLike<number> }));
  tf.dispose([...inputs, ...tensors]);
  return errorAgainst(name, found, expected);
}

/** TensorFlow.js's own: `Dot` keeps a tensor, and a model that was called twice keeps its weights. */
const LEAKING = new Set(['merges', 'nested_shared']);

/** Errors of one fixture against Keras in float and after int4; no tensor may be left. */
export async function parity(
  tf: TensorFlow,
  name: string,
  kernels: Kernels,
  file = fileOf(name),
): Promise<{ float: number; int4: number }> {
  const { float, packed } = await quantized(name, kernels, file);
  const measure = async (model: ModelSource, outputs: 'y' | 'q') => {
    const before = tf.memory().numTensors;
    const network = await loadLayersModel(tf, model);
    const error = await largestError(tf, network, name, outputs);
    network.dispose();
    const left = tf.memory().numTensors - before;
    if (left !== 0 && !LEAKING.has(name)) throw new Error(`${name}: ${left} tensors are left`);
    return error;
  };
  const errors = { float: await measure(float, 'y'), int4: await measure(packed, 'q') };
  float.close();
  return errors;
}
