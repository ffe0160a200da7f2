import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { io } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { layersModelFiles, registerLayers } from '../../src/tfjs/index.js';
import { need, root, runCli, tempDir } from '../support/needs.js';
import { fileOf, largestError, names, quantized, stored } from './support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();

interface Manifest {
  paths: string[];
  weights: { name: string; shape: number[]; dtype: string; quantization?: object }[];
}

/** Files in memory, as TensorFlow.js's own loaders would hand them over. */
function inMemory(files: ReturnType<typeof layersModelFiles>['files']) {
  const contents = new Map<string, Buffer>();
  for (const { name, pieces } of files) contents.set(name, Buffer.concat([...pieces]));
  return loaderOf(contents);
}

/** Reads what TensorFlow.js's own loaders would, on any backend: only tfjs-node has one for files. */
function loaderOf(contents: ReadonlyMap<string, Buffer>) {
  const json = JSON.parse((contents.get('model.json') as Buffer).toString()) as {
    modelTopology: object;
    weightsManifest: Manifest[];
  };
  const [manifest] = json.weightsManifest as [Manifest];
  const data = Buffer.concat(manifest.paths.map((name) => contents.get(name) as Buffer));
  const weightData = new Uint8Array(data).buffer;
  return {
    contents,
    json,
    manifest,
    handler: { load: async () => ({ ...json, weightSpecs: manifest.weights as never, weightData }) },
  };
}

for (const name of names) {
  test(`${name}: the converted model equals Keras, in small shards and in float16`, async () => {
    registerLayers(tf);
    const source = await openKeras(fileOf(name));
    const result = layersModelFiles(source, 'model.json', { shardBytes: 1000 });
    const { handler, manifest, contents } = inMemory(result.files);
    assert.is(manifest.paths.length, Math.ceil(result.weightBytes / 1000));
    for (const shard of manifest.paths.slice(0, -1)) assert.is(contents.get(shard)?.length, 1000);
    const model = await tf.loadLayersModel(handler);
    assert.ok((await largestError(tf, model, name, 'y')) <= 1e-4);
    model.dispose();
    const half = inMemory(layersModelFiles(source, 'model.json', { float16: true }).files);
    const rounded = await tf.loadLayersModel(half.handler);
    const error = await largestError(tf, rounded, name, 'y');
    assert.ok(error > 0 && error < 0.5, String(error));
    rounded.dispose();
    source.close();
  });
}

test('command line: plain TensorFlow.js loads what it writes, from .h5 and packed, without bitnibble', async () => {
  const output = tempDir();
  const { float, packed } = await quantized('nested_shared', kernels);
  const file = path.join(output, 'packed.safetensors');
  writeFileSync(file, packedBytes(packed));
  float.close();
  for (const [input, outputs, flags] of [
    [fileOf('nested_shared'), 'y', []],
    [file, 'q', []],
    [fileOf('nested_shared'), 'y', ['--float16']],
  ] as const) {
    const target = path.join(output, `new${outputs}${flags.length}`, 'sub', 'model.json');
    const { status, stdout, stderr } = await runCli(['convert', input, '-o', target, ...flags]);
    assert.is(status, 0, stderr);
    assert.match(stdout, /plain TensorFlow\.js/);
    const folder = path.dirname(target);
    const written = readdirSync(folder).map((name): [string, Buffer] => [
      name,
      readFileSync(path.join(folder, name)),
    ]);
    const model = await tf.loadLayersModel(loaderOf(new Map(written)).handler);
    const error = await largestError(tf, model, 'nested_shared', outputs);
    assert.ok(error <= (flags.length > 0 ? 0.2 : 1e-4), String(error));
    assert.equal(readdirSync(path.dirname(target)), ['group1-shard1of1.bin', 'model.json']);
  }
});

/** Runs converted models in a process that knows nothing of bitnibble: backend, folder of the models. */
const PLAIN = `
const [backend, folder] = process.argv.slice(1);
const { readFileSync, readdirSync } = require('node:fs');
const tf = require(backend === 'tensorflow' ? '@tensorflow/tfjs-node' : '@tensorflow/tfjs');
if (backend === 'wasm') require('@tensorflow/tfjs-backend-wasm');
const main = async () => {
  if (backend !== 'tensorflow') await tf.setBackend(backend);
  await tf.ready();
  const results = {};
  for (const name of readdirSync(folder)) {
    const read = (file) => readFileSync(folder + '/' + name + '/' + file);
    const json = JSON.parse(read('model.json'));
    const [{ paths, weights }] = json.weightsManifest;
    const weightData = new Uint8Array(Buffer.concat(paths.map(read))).buffer;
    const model = await tf.loadLayersModel({ load: async () => ({ ...json, weightSpecs: weights, weightData }) });
    const inputs = JSON.parse(read('inputs.json')).map(({ data, shape, dtype }) => tf.tensor(data, shape, dtype));
    const outputs = [model.predict(inputs.length === 1 ? inputs[0] : inputs)].flat();
    results[name] = outputs.map((output) => Array.from(output.dataSync()));
  }
  console.log(JSON.stringify({ backend: tf.getBackend(), results }));
};
main();`;

/** Models that are said to load with plain TensorFlow.js, in their files with the inputs of their fixtures. */
async function plainModels(): Promise<{ folder: string; names: string[] }> {
  const output = tempDir();
  const own: string[] = [];
  for (const name of names) {
    const source = await openKeras(fileOf(name));
    const { files, registered } = layersModelFiles(source, 'model.json');
    if (registered.length === 0) {
      mkdirSync(path.join(output, name));
      for (const { name: file, pieces } of files)
        writeFileSync(path.join(output, name, file), Buffer.concat([...pieces]));
      const { inputs } = stored(tf, name, 'y');
      const plain = inputs.map((input) => {
        const { shape, dtype } = input;
        return { shape, dtype, data: Array.from(input.dataSync()) };
      });
      writeFileSync(path.join(output, name, 'inputs.json'), JSON.stringify(plain));
      tf.dispose(inputs);
      own.push(name);
    }
    source.close();
  }
  return { folder: output, names: own };
}

const plain = plainModels();

async function runPlain(backend: string): Promise<void> {
  const { folder, names: own } = await plain;
  assert.ok(own.length >= 5, own.join());
  const stdout = execFileSync(process.execPath, ['-e', PLAIN, backend, folder], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const line = stdout.split('\n').find((text) => text.startsWith('{"backend"')) ?? '';
  const { backend: used, results } = JSON.parse(line) as {
    backend: string;
    results: Record<string, number[][]>;
  };
  assert.is(used, backend);
  assert.equal(Object.keys(results).sort(), [...own].sort());
  for (const name of own) {
    const { inputs, expected } = stored(tf, name, 'y');
    tf.dispose(inputs);
    for (const [i, { data }] of expected.entries()) {
      const want = Float64Array.from(data as ArrayLike<number>, Number);
      const got = results[name]?.[i] ?? [];
      assert.is(got.length, want.length);
      const floor = 0.01 * want.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      const errors = want.map(
        (v, k) => Math.abs((got[k] as number) - v) / Math.max(Math.abs(v), floor, 1e-30),
      );
      assert.ok(
        errors.every((error) => error <= 1e-4),
        `${name}, output ${i}: ${Math.max(...errors)}`,
      );
    }
  }
}

const claim = 'what is said to load with plain TensorFlow.js computes there as Keras does: backend';
test(`${claim} wasm`, () => runPlain('wasm'));
test(`${claim} cpu`, () => runPlain('cpu'));
need(test, 'tfjs-node')(`${claim} tensorflow`, () => runPlain('tensorflow'));

test('command line: what is needed is named, JSON is one document, faults leave nothing', async () => {
  const output = tempDir();
  const target = path.join(output, 'model.json');
  const { status, stdout } = await runCli(['convert', fileOf('lstm_tagger'), '-o', target, '--json']);
  assert.is(status, 0);
  const report = JSON.parse(stdout) as { registered: string[]; files: string[]; weightBytes: number };
  assert.equal(report.registered, ['Bidirectional', 'ComputeMask', 'LSTM']);
  assert.equal(report.files, ['group1-shard1of1.bin', 'model.json']);
  assert.is((await runCli(['convert', fileOf('lstm_tagger'), '-o', path.join(output, 'model')])).status, 2);
  const missing = await runCli([
    'convert',
    path.join(output, 'none.h5'),
    '-o',
    path.join(output, 'x', 'model.json'),
  ]);
  assert.is(missing.status, 1);
  assert.is(existsSync(path.join(output, 'x')), false);
  // A configuration that lacks what TensorFlow.js needs: kernel sizes, the shape of the input.
  const file = path.join(root, 'test/fixtures/containers/keras1_tf.h5');
  const bare = await runCli(['convert', file, '-o', path.join(output, 'x', 'model.json'), '--json']);
  assert.is(bare.status, 1);
  const { code, message } = JSON.parse(bare.stdout).error;
  assert.is(code, 'unsupported-layer');
  for (const what of [
    'which shape its input has',
    'convolution2d_1 (Conv2D): kernel_size',
    'deconvolution2d_1',
  ])
    assert.ok(message.includes(what), message);
  assert.is(existsSync(path.join(output, 'x')), false);
});

test('initializers and regularizers stay in their Keras 2 form; constraints go, with a remark', async () => {
  const source = await openKeras(fileOf('dense_activations'));
  const { json } = inMemory(layersModelFiles(source, 'model.json').files);
  const { remarks } = layersModelFiles(source, 'model.json');
  const text = JSON.stringify(json.modelTopology);
  assert.match(text, /"kernel_initializer":\{"class_name":"LeCunNormal","config":\{\}\}/);
  assert.match(text, /"bias_initializer":\{"class_name":"Ones","config":\{\}\}/);
  assert.match(text, /"kernel_regularizer":\{"class_name":"L1L2","config":\{"l1":0,"l2":0\.01/);
  assert.not.match(text, /_constraint"|"module"|registered_name|DTypePolicy|__keras_tensor__|batch_shape/);
  assert.ok(
    remarks.some((remark) => /kernel_constraint is left out/.test(remark)),
    remarks.join(),
  );
  source.close();
});

test('float16 keeps what does not fit', async () => {
  const source = await openKeras(fileOf('resnet'));
  const [first] = source.weights;
  const model = {
    ...source,
    file: source.file,
    weights: source.weights,
    read: (id: string) => (id === first?.id ? source.read(id).fill(70_000) : source.read(id)),
  };
  const result = layersModelFiles(model, 'model.json', { float16: true });
  const { manifest } = inMemory(result.files);
  assert.is(manifest.weights.filter(({ quantization }) => !quantization).length, 1);
  assert.match(result.remarks.join(), /stays float32/);
  assert.throws(() => layersModelFiles(model, 'model.json', { shardBytes: 0 }), /"shardBytes" expected/);
  source.close();
});

test('the model can be saved by TensorFlow.js and loaded again', async () => {
  registerLayers(tf);
  for (const name of ['transformer', 'masked', 'conv2d', 'recurrent', 'operations', 'wrappers']) {
    const source = await openKeras(fileOf(name));
    const { handler } = inMemory(layersModelFiles(source, 'model.json').files);
    const model = await tf.loadLayersModel(handler);
    let saved: io.ModelArtifacts | undefined;
    const keep = async (artifacts: io.ModelArtifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' as const } };
    };
    await model.save(tf.io.withSaveHandler(keep));
    const again = await tf.loadLayersModel({ load: async () => saved as io.ModelArtifacts });
    assert.ok((await largestError(tf, again, name, 'y')) <= 1e-4, name);
    source.close();
  }
});

test('the file is not read beyond its architecture when a layer is unsupported', async () => {
  const text = readFileSync(fileOf('cifar10'));
  assert.ok(text.length > 0);
  const source = await openKeras(fileOf('cifar10'));
  const architecture = JSON.parse(
    JSON.stringify(source.architecture).replace('"MaxPooling2D"', '"Lambda"'),
  ) as never;
  const model = {
    file: 'cifar10.h5',
    architecture,
    kerasVersion: '3',
    backend: '',
    weights: source.weights,
    read: () => assert.unreachable() as never,
  };
  assert.throws(
    () => layersModelFiles(model, 'model.json'),
    /cannot run the layer max_pooling2d \(Lambda\): it holds code/,
  );
  source.close();
});

test.run();
