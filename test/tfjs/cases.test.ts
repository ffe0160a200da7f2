// Models that users reported, with what Keras predicts of them. Each kind also has a model among the fixtures.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../../src/formats/npz.js';
import type { ModelSource } from '../../src/model.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { layersModelFiles, loadLayersModel, registerLayers } from '../../src/tfjs/index.js';
import { need, runCli, tempDir } from '../support/needs.js';
import { everyName } from './support.js';

const cases = need(test, 'cases');
const { tf } = await loadTensorFlow({ prefer: 'wasm' });

/** Reported models that are computed, and the fixtures of the same kind; those of other folders with their names there. */
const COMPUTED: Readonly<Record<string, readonly string[]>> = {
  'shared-model-outputs/siamese_embeddings.keras': ['graph_shared_outputs', 'k2_shared_outputs'],
  'model-as-output/autoencoder.keras': ['graph_autoencoder', 'k2_autoencoder'],
  'quantized-scales/einsum_int8.keras': ['quantized/int8'],
  'activation-functions/ecg_like.keras': ['graph_activation_functions', 'k2_activation_functions'],
  'convlstm-channels-first/convlstm_cf.keras': ['conv_lstm', 'conv_lstm13'],
  'renorm/renorm.keras': ['graph_renorm', 'k2_normalized'],
  'lora-h5/lora.h5': ['quantized/lora'],
  'discovery-ap3_k1s2/ap3_k1s2.keras': ['graph_short_windows'],
  'discovery-c3_k1s2/c3_k1s2.keras': ['graph_short_windows'],
  'discovery-bfloat16-float-class/w_bf16_float.h5': ['quantized/bfloat16_float'],
  'discovery-autocontrast/autocontrast.keras': ['graph_augmentations'],
  'discovery-concatenated-masks/lstm.keras': ['graph_masks_joined', 'k2_masks'],
  'discovery-same-stride-conv1d_k3_s4/conv1d_k3_s4.keras': ['graph_short_kernels', 'k2_short_kernels'],
  'discovery-same-stride-conv2d_k3_s4/conv2d_k3_s4.keras': ['graph_short_kernels', 'k2_short_kernels'],
  'discovery-same-stride-depthwise_k3_s4/depthwise_k3_s4.keras': ['graph_short_kernels', 'k2_short_kernels'],
};

/** Largest errors, as parts of the largest output, where Keras computes with other values than the file's. */
const LIMITS: Readonly<Record<string, number>> = {
  // The outputs are those of the kernels before they were rounded to bfloat16, 2^-8 of each.
  'discovery-bfloat16-float-class/w_bf16_float.h5': 0.01,
  // Keras rounds what goes into a layer to 8 bits as well.
  'quantized-scales/einsum_int8.keras': 0.02,
};

/** Reported models that are refused by name. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  'training-in-nested-call/nested_training.h5':
    /g\/batch_normalization \(BatchNormalization\): a call with training=True/,
};

function arraysOf(file: string, letter: 'x' | 'y') {
  const stored = openNpz(readFileSync(file.replace(/\.\w+$/, '.npz')));
  const count = stored.names.filter((name) => name.startsWith(letter)).length;
  return Array.from({ length: count }, (_, i) => stored.read(`${letter}${i}`));
}

/** Largest `|output - expected| / max(|expected|, share of the largest)`. */
function errorOf(model: LayersModel, file: string, share: number): number {
  const inputs = arraysOf(file, 'x').map(({ data, shape }) =>
    data instanceof Float32Array
      ? tf.tensor(data, [...shape])
      : tf.tensor(Int32Array.from(data as ArrayLike<number>, Number), [...shape], 'int32'),
  );
  const outputs = [model.predict(inputs.length === 1 ? (inputs[0] as Tensor) : inputs)].flat();
  const expected = arraysOf(file, 'y').map(({ data }) => Array.from(data as ArrayLike<number>, Number));
  assert.is(outputs.length, expected.length);
  const errors = expected.flatMap((want, i) => {
    const got = (outputs[i] as Tensor).dataSync();
    assert.is(got.length, want.length);
    const floor = Math.max(...want.map(Math.abs)) * share;
    return want.map((value, k) => Math.abs((got[k] as number) - value) / Math.max(Math.abs(value), floor));
  });
  tf.dispose([...inputs, ...outputs]);
  return errors.reduce((most, error) => Math.max(most, error), 0);
}

/** What `convert` writes, as TensorFlow.js loads it. */
async function converted(source: ModelSource): Promise<LayersModel> {
  const { files, registered } = layersModelFiles(source, 'model.json');
  const contents = new Map([...files].map(({ name, pieces }) => [name, Buffer.concat([...pieces])] as const));
  const json = JSON.parse(String(contents.get('model.json')));
  const [{ paths, weights }] = json.weightsManifest;
  const weightData = new Uint8Array(Buffer.concat(paths.map((name: string) => contents.get(name)))).buffer;
  if (registered.length > 0) registerLayers(tf);
  return tf.loadLayersModel({ load: async () => ({ ...json, weightSpecs: weights, weightData }) });
}

for (const [name, fixtures] of Object.entries(COMPUTED)) {
  cases(
    `${name}: outputs equal those of Keras on wasm and cpu, loaded and converted`,
    async ({ cases: folder }) => {
      const file = path.join(folder, name);
      const source = await openKeras(file);
      const limit = LIMITS[name];
      for (const backend of ['wasm', 'cpu']) {
        await tf.setBackend(backend);
        for (const make of [(model: ModelSource) => loadLayersModel(tf, model), converted]) {
          const model = await make(source);
          const error = errorOf(model, file, limit === undefined ? 0.01 : 1);
          assert.ok(error <= (limit ?? 1e-4), `${backend}: ${error}`);
          model.dispose();
        }
      }
      source.close();
    },
  );
  test(`${name}: its kind is among the fixtures`, () => {
    for (const fixture of fixtures) assert.ok(fixture.includes('/') || everyName.includes(fixture), fixture);
  });
}

for (const [name, reason] of Object.entries(REFUSED)) {
  cases(`${name}: refused by name, and convert writes nothing`, async ({ cases: folder }) => {
    const file = path.join(folder, name);
    const source = await openKeras(file);
    const error = await loadLayersModel(tf, source).then(
      () => undefined,
      (caught: unknown) => caught as Error & { code?: string },
    );
    source.close();
    assert.is(error?.code, 'unsupported-layer');
    assert.match(error?.message ?? '', reason);
    const { status, stderr } = await runCli(['convert', file, '-o', path.join(tempDir(), 'model.json')]);
    assert.is(status, 1);
    assert.match(stderr, reason);
  });
}

cases(
  'weights that Keras quantized hold no kernel to round once more but those of its codes',
  async ({ cases: folder }) => {
    const file = path.join(folder, 'quantized-scales/einsum_int8.weights.h5');
    const source = await openKeras(file);
    assert.equal(
      source.weights.filter(({ name }) => /scale/.test(name)),
      [],
    );
    const stored = openNpz(readFileSync(path.join(folder, 'quantized-scales/einsum_int8.npz')));
    const [codes, scale] = [stored.read('w1'), stored.read('w2')].map(({ data }) =>
      Array.from(data as ArrayLike<number>, Number),
    ) as [number[], number[]];
    // 16 rows of 24 channels; the scale divides.
    const values = codes.map((code, i) => Math.fround(code / (scale[i % 24] as number)));
    const kernels = source.weights.filter(({ shape }) => shape.join() === '16,4,6');
    assert.is(kernels.length, 1);
    const read = source.read((kernels[0] as (typeof kernels)[number]).id);
    values.forEach((value, i) => {
      assert.ok(
        Math.abs((read[i] as number) - value) <= 1e-6 * Math.abs(value),
        `${i}: ${read[i]}, ${value}`,
      );
    });
    source.close();
  },
);

test.run();
