import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModelWeights, openKeras, saveModelWeights } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import * as node from '../../src/node/models.js';
import { postTrainBinarization } from '../../src/pipeline/posttrain.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { need, root, runPython, tempDir } from '../support/needs.js';

const keras = need(test, 'keras');
const folder = tempDir();

/** Predictions of the saved file, against the original model with the saved weights put in by `set_weights`. */
const COMPARE = `
import sys, numpy as np, keras, h5py
original, saved = (keras.models.load_model(p, compile=False) for p in sys.argv[1:3])
def arrays(path):
    out = []
    f = h5py.File(path, "r")["model_weights"]
    for layer in f.attrs["layer_names"]:
        g = f[layer]
        out.append([g[n][()] for n in g.attrs["weight_names"]])
    return out
for layer, w in zip([l for l in original.layers], [a for a in arrays(sys.argv[2])]):
    if w: layer.set_weights(w)
shape = [4] + [d or 1 for d in original.input_shape[1:]]
x = np.random.default_rng(0).random(shape).astype("float32")
a, b = original.predict(x, verbose=0), saved.predict(x, verbose=0)
assert np.array_equal(a, b), np.abs(a - b).max()
for p in sys.argv[1:3]:
    keras.models.load_model(p)   # training configuration and optimizer state too
print("same", np.abs(a).sum() > 0)
`;

keras('Keras loads the decoded .h5 and predicts the same as with set_weights', async () => {
  const kernels = await loadKernels();
  for (const name of ['keras3_sequential', 'keras3_nested', 'keras3_recurrent']) {
    for (const scheme of ['binary', 'int4'] as const) {
      const from = path.join(root, 'test/fixtures/keras', `${name}.h5`);
      const to = path.join(folder, `${name}-${scheme}.h5`);
      const model = await node.openKeras(from);
      await node.saveQuantized(quantizeModel(model, { default: { scheme } }, { kernels }).model, model, to);
      model.close();
      assert.match(await runPython(COMPARE, [from, to]), 'same True');
    }
  }
});

keras('the binarized file of the notebook holds exactly np.where(w > 0, 1, -1)', async () => {
  const from = path.join(root, 'test/fixtures/keras/keras3_sequential.h5');
  const to = path.join(folder, 'notebook.h5');
  const model = await openKeras(readFileSync(from), from);
  writeFileSync(to, await saveModelWeights(model, postTrainBinarization(loadModelWeights(model))));
  model.close();
  const check = `
import sys, numpy as np, keras
a, b = (keras.models.load_model(p, compile=False).get_weights() for p in sys.argv[1:3])
assert len(a) == len(b) > 0
assert all(np.array_equal(np.where(w > 0, 1, -1).astype(np.int8), v) for w, v in zip(a, b))
print("exact")
`;
  assert.match(await runPython(check, [from, to]), 'exact');
});

/** Originals, each against a copy of its file with other values and an architecture with weights by id. */
const FOLDED = `
import sys, json, numpy as np, keras
from keras.src.legacy.saving import saving_utils
def fill(model, path, weights):
    for layer in model.layers:
        if hasattr(layer, "layers"):
            fill(layer, path + layer.name + "/", weights)
            continue
        assert not isinstance(layer, keras.layers.BatchNormalization), layer.name
        for v in layer.weights:
            v.assign(np.reshape(np.array(weights.pop(path + layer.name + "/" + v.name), "float32"), v.shape))
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
for i in range(1, len(sys.argv), 3):
    original, kept = (keras.models.load_model(p, compile=False) for p in sys.argv[i : i + 2])
    folded = json.load(open(sys.argv[i + 2]))
    made = saving_utils.model_from_config(folded["architecture"])
    fill(made, "", folded["weights"])
    assert not folded["weights"], folded["weights"].keys()
    x = np.random.default_rng(0).random([4] + [d or 1 for d in original.input_shape[1:]]).astype("float32")
    flat = lambda m: [np.asarray(y) for y in keras.tree.flatten(m.predict(x, verbose=0))]
    for m in (kept, made):
        for a, b in zip(flat(original), flat(m), strict=True):
            error = np.abs(a - b).max() / np.abs(a).max()
            assert error <= 1e-5, (sys.argv[i], m is made, error)
    print(original.count_params() - made.count_params())
`;

keras(
  'Keras predicts the same with normalizations folded: in the same file, and in the new architecture',
  async () => {
    const args: string[] = [];
    const fewer: number[] = [];
    for (const name of ['mobilenet_v2', 'resnet', 'nested_shared', 'efficientnet']) {
      const from = path.join(root, 'test/fixtures/tfjs', `${name}.h5`);
      const model = await node.openKeras(from);
      const { source: kept } = foldBatchNorm(model, { keepLayers: true });
      const to = path.join(folder, `${name}-kept.h5`);
      await node.saveModelWeights(model, new Map([...kept.changed].map((id) => [id, kept.read(id)])), to);
      const { source } = foldBatchNorm(model);
      const weights = Object.fromEntries(source.weights.map(({ id }) => [id, [...source.read(id)]]));
      const json = path.join(folder, `${name}.json`);
      writeFileSync(json, JSON.stringify({ architecture: source.architecture, weights }));
      args.push(from, to, json);
      fewer.push(model.parameters - source.parameters);
      model.close();
    }
    assert.ok(fewer.every((count) => count > 0));
    assert.is((await runPython(FOLDED, args)).trim(), fewer.join('\n'));
  },
);

/** Every array of a written file, as Keras or (for bfloat16 in `.h5`, which Keras cannot load) h5py reads it. */
const TYPES = `
import sys, numpy as np, keras, h5py, ml_dtypes
def arrays(path):
    if path.endswith("bfloat16.h5"):
        out = []
        read = lambda a: a.view(ml_dtypes.bfloat16) if a.dtype.kind == "V" else a
        h5py.File(path)["model_weights"].visititems(
            lambda n, o: out.append((n, read(o[()]))) if isinstance(o, h5py.Dataset) else None)
        return out
    model = keras.models.load_model(path, compile=False)
    return [(v.path, keras.ops.convert_to_numpy(v)) for v in model.weights]
def int4(w):
    w = w.astype("float32")
    amax = np.abs(w).max(axis=tuple(range(w.ndim - 1)), keepdims=True)
    return np.clip(np.rint(w * (np.float32(7) / amax)), -8, 7).astype("float32") * (amax / np.float32(7))
types = set()
for (name, a), (_, b) in zip(arrays(sys.argv[1]), arrays(sys.argv[2]), strict=True):
    expected = int4(a).astype(a.dtype) if a.ndim > 1 else a
    assert a.dtype == b.dtype and np.array_equal(expected.astype("float64"), b.astype("float64")), name
    types.add(str(a.dtype))
print(sorted(types))
`;

keras('every floating-point type is quantized, rounded back to itself and read by Keras', async () => {
  const kernels = await loadKernels();
  for (const [name, types] of [
    ['float16.h5', "['float16']"],
    ['bfloat16.h5', "['bfloat16']"],
    ['bfloat16.keras', "['bfloat16']"],
    ['float64.keras', "['float64']"],
    ['mixed_float16.keras', "['float32']"],
    ['gzip_shuffle.h5', "['float32']"],
  ] as const) {
    const from = path.join(root, 'test/fixtures/containers', name);
    const to = path.join(folder, name);
    const model = await node.openKeras(from);
    const { model: packed, report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    assert.is(report.tensors.filter(({ result }) => result !== 'kept').length, 2, name);
    await node.saveQuantized(packed, model, to);
    model.close();
    assert.is((await runPython(TYPES, [from, to])).trim(), types, name);
  }
});

test.run();
