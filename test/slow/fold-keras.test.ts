import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openKeras } from '../../src/node/models.js';
import { equalize } from '../../src/pipeline/transform/equalize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { need, runPython, tempDir } from '../support/needs.js';

const keras = need(test, 'keras');
const folder = tempDir();

/** Models with normalizations at the borders of inner models, in wrappers, shared; their files and names. */
const MAKE = `
import sys, json, numpy as np, keras
from keras import layers as L
rng = np.random.default_rng(0)
shape = (6, 6, 2)
def conv(n, name, **more): return L.Conv2D(n, 3, padding="same", name=name, **more)
def functional(make, name, shape=shape):
    x = keras.Input(shape)
    return keras.Model(x, make(x), name=name)
models = {}
def add(name, make): models[name] = functional(make, name)
add("behind", lambda x: L.BatchNormalization(name="n")(functional(lambda y: conv(3, "c", use_bias=False)(y), "body")(x)))
def shared(x):
    body = functional(lambda y: conv(2, "c")(y), "body")
    n = L.BatchNormalization(name="n")
    first = n(body(x))
    return L.Add(name="s")([n(body(L.ReLU(name="r")(first))), first])
add("shared", shared)
def first(x):
    body = functional(lambda y: conv(3, "c")(L.BatchNormalization(name="n")(y)), "body")
    return body(conv(2, "a", use_bias=False)(x))
add("first", first)
chain = lambda *list: keras.Sequential([keras.Input(shape), *list], name="body")
add("chain", lambda x: L.BatchNormalization(name="m")(chain(L.BatchNormalization(name="n"), conv(3, "c"))(conv(2, "a")(x))))
add("alone", lambda x: conv(2, "b")(chain(L.BatchNormalization(name="n"))(conv(2, "a", use_bias=False)(x))))
add("empty", lambda x: conv(2, "b")(functional(lambda y: L.BatchNormalization(name="n")(y), "body")(conv(2, "a")(x))))
def steps(x):
    y = L.TimeDistributed(L.Dense(3, use_bias=False, name="d"), name="t")(x)
    y = L.TimeDistributed(L.BatchNormalization(name="b"), name="n")(y)
    inner = keras.Sequential([keras.Input((6, 3)), L.Dense(4, name="e"), L.BatchNormalization(name="k"), L.Activation("relu", name="r")], name="seq")
    return L.BatchNormalization(name="m")(L.Dense(2, name="f")(L.TimeDistributed(inner, name="u")(y)))
add("steps", steps)
add("spectral", lambda x: L.BatchNormalization(name="n")(L.SpectralNormalization(conv(3, "c", use_bias=False), name="w")(x)))
def ends(x):
    body = functional(lambda y: conv(3, "c")(y), "body")
    y = L.BatchNormalization(name="n")(body(x))
    return [L.Dropout(0.5, name="d")(y), y]
add("ends", ends)
models["plain"] = keras.Sequential([keras.Input(shape), conv(3, "a", use_bias=False), L.BatchNormalization(name="n"), L.ReLU(name="r"), L.Flatten(name="f"), L.Dense(2, name="d"), L.BatchNormalization(name="m")])
for name, model in models.items():
    model.set_weights([rng.random(w.shape).astype("float32") + 0.1 for w in model.get_weights()])
    for kind in ("h5", "keras"): model.save(f"{sys.argv[1]}/{name}.{kind}")
    x = rng.random((2, *shape)).astype("float32")
    y = model.predict(x, verbose=0)
    np.savez(f"{sys.argv[1]}/{name}.npz", x, *(y if isinstance(y, list) else [y]))
print(json.dumps(list(models)))
`;

/** Loads an edited architecture in Keras, sets the weights of each layer by its path, and compares outputs. */
const COMPARE = `
import sys, json, numpy as np, keras
from keras.src.legacy.saving.saving_utils import model_from_config
for file in sys.argv[2:]:
    edited = json.load(open(f"{sys.argv[1]}/{file}.json"))
    name, kind = file.split(".")
    # An .h5 file has the notation from before Keras 3 around its layers.
    model = model_from_config(edited["architecture"], {}) if kind == "h5" else keras.models.model_from_json(json.dumps(edited["architecture"]))
    def find(model, path):
        for part in path.split("/"):
            while hasattr(model, "layer") and not hasattr(model, "layers"): model = model.layer
            model = next(l for l in model.layers if l.name == part)
        return model
    for path, arrays in edited["weights"].items():
        layer = find(model, path)
        for w, a in zip(layer.trainable_weights + layer.non_trainable_weights, arrays, strict=True):
            w.assign(np.array(a["values"], "float32").reshape(a["shape"]))
    assert sum(len(a) for a in edited["weights"].values()) == len(model.weights), (name, [w.name for w in model.weights])
    x, *want = np.load(f"{sys.argv[1]}/{name}.npz").values()
    got = model.predict(x, verbose=0)
    for a, b in zip(got if isinstance(got, list) else [got], want, strict=True):
        assert a.shape == b.shape and np.abs(a - b).max() <= 1e-4 * np.abs(b).max(), (name, np.abs(a - b).max())
print("same")
`;

/** Normalizations that are folded, and how many stay. */
const FOLDED: Readonly<Record<string, readonly [folded: readonly string[], left: number]>> = {
  behind: [['n > body/c'], 0],
  shared: [['n > body/c'], 0],
  first: [['body/n > a'], 0],
  chain: [['body/n > a', 'm > body/c'], 0],
  alone: [['body/n > a'], 0],
  empty: [['body/n > a'], 0],
  steps: [['n > t', 'u/k > u/e', 'm > f'], 0],
  spectral: [['n > w'], 0],
  ends: [['n > body/c'], 0],
  plain: [['n > a', 'm > d'], 0],
};

keras('Keras loads an edited architecture, and with the folded weights it predicts the same', async () => {
  const names = JSON.parse((await runPython(MAKE, [folder])).trim().split('\n').at(-1) as string) as string[];
  assert.equal(names, Object.keys(FOLDED));
  const files = names.flatMap((name) => [`${name}.h5`, `${name}.keras`]);
  for (const file of files) {
    const model = await openKeras(path.join(folder, file));
    const { source, folded, left } = foldBatchNorm(model);
    const rows = folded.map((row) => `${row.norm} > ${row.layer}`);
    assert.equal([rows, left.length], FOLDED[path.parse(file).name], file);
    const { source: equalized } = equalize(source);
    const weights: Record<string, { shape: readonly number[]; values: number[] }[]> = {};
    for (const { id, layer, shape } of equalized.weights) {
      weights[layer] ??= [];
      weights[layer]?.push({ shape, values: Array.from(equalized.read(id)) });
    }
    const { architecture } = source;
    writeFileSync(path.join(folder, `${file}.json`), JSON.stringify({ architecture, weights }));
    model.close();
  }
  assert.match(await runPython(COMPARE, [folder, ...files]), /same/);
});

test.run();
