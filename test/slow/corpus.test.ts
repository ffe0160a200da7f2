// Published files, run: TensorFlow.js predicts what Keras predicts, for every file that both can load.
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
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
        return dtype === 'int32' ? tf.randomUniform(dims, 0, 3, 'int32') : tf.randomUniform(dims, 0, 1);
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

test.run();
