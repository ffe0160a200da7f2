// Published files: their weights are those that Keras loads, and TensorFlow.js predicts what Keras predicts, for every
// file that both can load.
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import { rowsOf } from '../support/corpus.js';
import { need, runPython, tempDir } from '../support/needs.js';

/**
 * Loads each file as far as Keras does, with the inputs and outputs that were written beside; prints the errors and what
 * is allowed. Keras computes in float16 where a model says so, TensorFlow.js does not.
 */
const PREDICT = `
import sys, json, h5py, numpy as np, keras
# Keras 3 changed it, and computes models of Keras 2 otherwise than these did.
old = {"hard_sigmoid": lambda x: keras.ops.clip(0.2 * x + 0.5, 0, 1)}
def version(file):
    if not h5py.is_hdf5(file):
        return "3"
    return str(np.asarray(h5py.File(file).attrs.get("keras_version", b"2"), "S").item().decode())
for at in range(1, len(sys.argv), 2):
    file, given = sys.argv[at : at + 2]
    try:
        model = keras.models.load_model(file, compile=False, custom_objects=None if version(file)[0] == "3" else old)
    except Exception as e:
        print(json.dumps([file, None]))
        continue
    run = json.load(open(given))
    tensors = lambda list: [np.array(t["values"], t["dtype"]).reshape(t["shape"]) for t in list]
    x = tensors(run["inputs"])
    found = [np.asarray(y) for y in keras.tree.flatten(model(x if len(x) > 1 else x[0], training=False))]
    largest = 0
    for a, b in zip(tensors(run["outputs"]), found, strict=True):
        assert a.shape == b.shape, (file, a.shape, b.shape)
        scale = np.maximum(np.abs(b), max(0.01 * np.abs(b).max(), 1e-30))
        largest = max(largest, float((np.abs(a - b) / scale).max()))
    half = any(layer.compute_dtype == "float16" for layer in model.layers)
    print(json.dumps([file, largest, 1e-2 if half else 1e-4]))
`;

need(
  test,
  'shared',
  'keras',
)('outputs of published models equal those of Keras', async ({ shared }) => {
  const { tf } = await loadTensorFlow();
  const folder = tempDir();
  const files = readdirSync(path.join(shared, 'keras-files'))
    .filter((name) => /\.(h5|hdf5|keras)$/.test(name))
    .map((name) => path.join(shared, 'keras-files', name));
  const args: string[] = [];
  for (const file of files) {
    const model = await openKeras(file).catch((error) => {
      assert.instance(error, BitnibbleError);
    });
    if (!model) continue;
    try {
      const network = await loadLayersModel(tf, model);
      const inputs = network.inputs.map(({ shape, dtype }) => {
        const dims = shape.map((n, axis) => n ?? (axis === 0 ? 2 : 8));
        // Indices stay below the size of any vocabulary.
        return dtype === 'int32'
          ? tf.randomUniform(dims, 0, 3, 'int32', SEED)
          : tf.randomUniform(dims, 0, 1, 'float32', SEED);
      });
      const result = network.predict(inputs.length === 1 ? (inputs[0] as Tensor) : inputs);
      const described = (list: Tensor[]) =>
        list.map((t) => ({ shape: t.shape, dtype: t.dtype, values: [...t.dataSync()] }));
      const given = path.join(folder, `${args.length}.json`);
      const outputs = described(Array.isArray(result) ? result : [result]);
      writeFileSync(given, JSON.stringify({ inputs: described(inputs), outputs }));
      args.push(file, given);
      network.dispose();
    } catch (error) {
      assert.instance(error, BitnibbleError, `${file}: ${error}`);
    } finally {
      model.close();
    }
  }
  const lines = (await runPython(PREDICT, args)).trim().split('\n');
  const errors = lines.map((line) => JSON.parse(line) as [string, number | null, number?]);
  const compared = errors.filter(([, error]) => error !== null);
  for (const [file, error, most] of compared)
    assert.ok((error as number) <= (most as number), `${path.basename(file)}: ${error}`);
  assert.ok(compared.length >= 12, `${compared.length} of ${errors.length}`);
  process.stdout.write(`\nRAN: ${compared.length} published models, compared with Keras\n`);
});

/** Weights of each layer as Keras loads them, against those that were found here; the order of both is that of Keras. */
const LOADED = `
import sys, json, numpy as np, keras
def layers(model, prefix=""):
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from layers(layer, prefix + layer.name + "/")
        else:
            yield prefix + layer.name, [np.asarray(w) for w in layer.weights if "seed" not in w.path]
for file, listed in zip(sys.argv[1::2], sys.argv[2::2]):
    model = keras.models.load_model(file, compile=False)
    data = np.fromfile(listed + ".bin", "float32")
    found, at = {}, 0
    for layer, shape in json.load(open(listed)):
        size = int(np.prod(shape))
        found.setdefault(layer, []).append(data[at : at + size].reshape(shape))
        at += size
    assert at == data.size
    for name, arrays in layers(model):
        own = found.pop(name, [])
        assert len(own) == len(arrays), (file, name, len(own), len(arrays))
        for a, b in zip(own, arrays):
            assert a.shape == b.shape and np.array_equal(a, b.astype("float32"), equal_nan=True), (file, name, a.shape, b.shape)
    assert not found, (file, list(found))
    print(file)
`;

/** The same inputs in every run: a network of float16 is some times farther from float32 than others. */
const SEED = 1;

need(
  test,
  'shared',
  'keras',
)('where Keras 3 loads a file, it has the same values in the same layers', async ({ shared }) => {
  const folder = tempDir();
  const args: string[] = [];
  for (const { file, loads } of rowsOf(shared)) {
    if (!loads.startsWith('yes')) continue;
    const model = await openKeras(file);
    const listed = path.join(folder, `${args.length}.json`);
    writeFileSync(listed, JSON.stringify(model.weights.map(({ layer, shape }) => [layer, shape])));
    const bytes = model.weights.map(({ id }) => new Uint8Array(model.read(id).buffer));
    writeFileSync(`${listed}.bin`, Buffer.concat(bytes));
    args.push(file, listed);
    model.close();
  }
  const checked = (await runPython(LOADED, args)).trim().split('\n');
  assert.is(checked.length, args.length / 2);
  assert.ok(checked.length >= 15, checked.join());
});

test.run();
