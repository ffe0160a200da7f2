import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadModelWeights, openKeras, saveModelWeights } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import * as node from '../../src/node/models.js';
import { postTrainBinarization } from '../../src/pipeline/posttrain.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
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

test.run();
