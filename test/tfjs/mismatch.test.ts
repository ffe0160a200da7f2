// Packed files whose layers disagree with their weights: refused on opening, by every way to run or convert them, and nothing
// of a model that could not be loaded stays in TensorFlow.js.
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readNpzDataset } from '../../src/data/index.js';
import { BitnibbleError } from '../../src/errors.js';
import { writeNpy } from '../../src/formats/npy.js';
import { loadKernels } from '../../src/kernels/index.js';
import { isObject, type Json, type JsonObject, type ModelSource } from '../../src/model.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { openPacked, packedBytes, QuantizedModel } from '../../src/packed/index.js';
import { evaluateModel } from '../../src/pipeline/index.js';
import { loadNetwork } from '../../src/runtime/index.js';
import { layersModelFiles, packedHandler, registerLayers } from '../../src/tfjs/index.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import type { TensorFlow } from '../../src/tfjs/types.js';
import { runCli, tempDir } from '../support/needs.js';
import { quantized } from './support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
registerLayers(tf);

async function packedModel(name: string): Promise<QuantizedModel> {
  const { float, packed } = await quantized(name, kernels);
  const bytes = packedBytes(packed);
  float.close();
  return openPacked(bytes, kernels, name);
}

/** The same weights under another architecture, as bytes of a packed file. */
function withArchitecture(model: QuantizedModel, architecture: JsonObject): Uint8Array {
  const { file, kerasVersion, backend, weights } = model;
  return packedBytes(new QuantizedModel({ file, kerasVersion, backend, architecture }, weights, kernels));
}

/** What a layer's weights have to fit. */
const STATED = /^(units|filters|input_dim|output_dim|num_heads|key_dim|kernel_size|depth_multiplier)$/;

/** Every number of a configuration that says how large weights are, made larger; and the last length of an input. */
function* otherSizes(whole: JsonObject): Generator<{ what: string; architecture: JsonObject }> {
  const places: (readonly (string | number)[])[] = [];
  const walk = (value: Json, at: readonly (string | number)[]): void => {
    if (Array.isArray(value)) {
      for (const [i, item] of value.entries()) walk(item, [...at, i]);
      const isInput = at.at(-1) === 'batch_shape' && typeof value.at(-1) === 'number' && value.length > 2;
      if (isInput || at.at(-1) === 'kernel_size') places.push([...at, value.length - 1]);
    } else if (isObject(value))
      for (const [key, item] of Object.entries(value)) {
        if (STATED.test(key) && typeof item === 'number') places.push([...at, key]);
        walk(item, [...at, key]);
      }
  };
  walk(whole, []);
  for (const place of places) {
    const architecture = structuredClone(whole) as JsonObject;
    let holder = architecture as unknown as Record<string | number, unknown>;
    for (const key of place.slice(0, -1)) holder = holder[key] as typeof holder;
    const key = place.at(-1) as string | number;
    holder[key] = Number(holder[key]) + 1;
    yield { what: place.join('.'), architecture };
  }
}

const data = readNpzDataset({
  name: 'd.npz',
  bytes: zipSync({
    'x.npy': writeNpy({ shape: [2, 4], data: new Float32Array(8) }),
    'y.npy': writeNpy({ shape: [2], data: new Uint8Array(2) }),
  }),
});

const DOORS: Readonly<Record<string, (bytes: Uint8Array, model: ModelSource) => Promise<unknown>>> = {
  loadLayersModel: (_, model) => loadLayersModel(tf, model),
  packedHandler: (bytes) => tf.loadLayersModel(packedHandler(bytes, { kernels })),
  convert: async (_, model) => layersModelFiles(model, 'model.json'),
  evaluate: (_, model) => evaluateModel(tf, model, data),
  loadNetwork: (bytes) => loadNetwork(bytes),
};

async function faultOf(work: () => Promise<unknown>): Promise<BitnibbleError> {
  const before = tf.memory().numTensors;
  const error = await work().then(
    () => new Error('it was taken'),
    (thrown) => thrown,
  );
  assert.instance(error, BitnibbleError, String(error));
  assert.is(tf.memory().numTensors, before, 'tensors stay behind');
  return error;
}

for (const name of ['cifar10', 'lstm_tagger', 'recurrent']) {
  test(`${name}: units, kernels and inputs of other sizes than the weights`, async () => {
    const model = await packedModel(name);
    let tried = 0;
    let named = 0;
    for (const { what, architecture } of otherSizes(model.architecture as JsonObject)) {
      const bytes = withArchitecture(model, architecture);
      const opened = openPacked(bytes, kernels, name);
      for (const [door, load] of Object.entries(DOORS)) {
        const error = await faultOf(() => load(bytes, opened));
        // A size that no operation can have is a fault of the layer, before its weights are looked at.
        assert.match(
          error.code,
          /^(shape-mismatch|unsupported-layer)$/,
          `${door}, ${what}: ${error.message}`,
        );
        if (error.code === 'unsupported-layer') continue;
        assert.match(
          error.message,
          /layer \S+ \([\w/]+\) expected shape \[[\w,]+\] as the architecture says, got \[[\d,]+\] \(tensor \S+\)/,
        );
        named++;
      }
      tried++;
    }
    assert.ok(tried >= 3 && named >= 0.6 * tried * Object.keys(DOORS).length, `${named} of ${tried}`);
  });
}

test('a layer without its weights, and weights without their layer', async () => {
  const model = await packedModel('cifar10');
  const architecture = structuredClone(model.architecture) as JsonObject;
  const layers = (architecture.config as JsonObject).layers as JsonObject[];
  const dense = layers.find(({ class_name: name }) => name === 'Dense') as JsonObject;
  (dense.config as JsonObject).use_bias = false;
  for (const load of Object.values(DOORS)) {
    const bytes = withArchitecture(model, architecture);
    const error = await faultOf(() => load(bytes, openPacked(bytes, kernels, 'cifar10')));
    assert.is(error.code, 'missing-weight');
    assert.match(error.message, /layer \S+ \(Dense\) expected 1 weights, got 2/);
  }
});

test('command line: nothing is written, one line says why', async () => {
  const folder = tempDir();
  const [file, target] = [path.join(folder, 'm.safetensors'), path.join(folder, 'out', 'model.json')];
  const model = await packedModel('cifar10');
  const [wrong] = [...otherSizes(model.architecture as JsonObject)].filter(({ what }) =>
    what.endsWith('units'),
  );
  writeFileSync(file, withArchitecture(model, wrong?.architecture as JsonObject));
  const { status, stderr } = await runCli(['convert', file, '-o', target]);
  assert.is(status, 1, stderr);
  assert.match(stderr, /^error: \S+m\.safetensors: layer \S+ \(Dense\) expected shape/);
  assert.is(stderr.trim().split('\n').length, 1);
  assert.not.ok(existsSync(path.dirname(target)));
});

/** A model whose n-th reading of a weight fails. */
const failingAt = (model: QuantizedModel, n: number): ModelSource => {
  let left = n;
  const { file, architecture, kerasVersion, backend, weights } = model;
  const read = (id: string) => {
    if (left-- === 0)
      throw new BitnibbleError('not-finite', `${file}: ${id}: its scale and code make Infinity`);
    return model.read(id);
  };
  return { file, architecture, kerasVersion, backend, weights, read };
};

for (const name of ['graph_siamese', 'nested_shared', 'lstm_tagger']) {
  test(`${name}: a weight that cannot be read leaves no tensor behind, whichever it is`, async () => {
    const model = await packedModel(name);
    for (let n = 0; n < model.weights.length; n++) {
      const error = await faultOf(() => loadLayersModel(tf, failingAt(model, n)));
      assert.is(error.code, 'not-finite');
    }
  });
}

test('a model that TensorFlow.js gives up half-built leaves no tensor behind', async () => {
  const model = await packedModel('nested_shared');
  const broken = new Proxy(tf, {
    get: (target, key) =>
      key === 'loadLayersModel'
        ? async (handler: Parameters<TensorFlow['loadLayersModel']>[0]) => {
            await target.loadLayersModel(handler);
            throw new Error('a layer that it does not know');
          }
        : Reflect.get(target, key),
  });
  const other = tf.variable(tf.scalar(1));
  const error = await faultOf(() => loadLayersModel(broken, model));
  assert.is(error.code, 'unsupported-layer');
  assert.match(error.message, 'TensorFlow.js cannot build the model: a layer that it does not know');
  assert.not.ok(other.isDisposed, 'a variable of somebody else');
  other.dispose();
});

test.run();
