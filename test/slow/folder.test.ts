import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { need, runCli, runPython, tempDir } from '../support/needs.js';

const keras = need(test, 'keras');
const folder = tempDir();

/** A small classifier as a folder and as an archive, and samples of which it finds all. */
const MAKE = `
import sys, numpy as np, keras
from keras import layers as L
keras.utils.set_random_seed(3)
net = keras.Sequential([keras.Input((6,)), L.Dense(8, activation="relu"), L.BatchNormalization(), L.Dense(3, activation="softmax")])
net.compile("adam", "sparse_categorical_crossentropy")
net.save(sys.argv[1] + "/net", zipped=False)
net.save(sys.argv[1] + "/net.keras")
x = np.random.default_rng(0).normal(0, 1, (40, 6)).astype("float32")
np.savez(sys.argv[1] + "/data.npz", x_test=x, y_test=net.predict(x, verbose=0).argmax(1).astype("uint8"))
assert keras.models.load_model(sys.argv[1] + "/net").count_params() == net.count_params()
`;

keras(
  'model.save(folder, zipped=False) is inspected, converted, quantized and evaluated as the archive is',
  async () => {
    await runPython(MAKE, [folder]);
    const at = (name: string) => path.join(folder, name);
    assert.ok(readdirSync(at('net')).includes('model.weights.h5'));
    const said = async (args: string[]) => {
      const { status, stdout, stderr } = await runCli([...args, '--json']);
      assert.is(status, 0, stderr);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    const both = async (make: (input: string, name: string) => string[]) => [
      await said(make(at('net'), 'folder')),
      await said(make(at('net.keras'), 'archive')),
    ];
    const [a, b] = await both((input) => ['inspect', input]);
    for (const key of ['architecture', 'layers', 'weights', 'parameters'])
      assert.equal(a?.[key], b?.[key], key);
    const converted = await both((input, name) => ['convert', input, '-o', at(`${name}/model.json`)]);
    assert.is(converted[0]?.weightBytes, converted[1]?.weightBytes);
    await both((input, name) => ['quantize', input, '--scheme', 'int4', '-o', at(`${name}.safetensors`)]);
    assert.ok(existsSync(at('folder.safetensors')));
    const [float, same] = await both((input) => ['evaluate', input, '--data', at('data.npz')]);
    assert.is(float?.top1, 1);
    assert.is(same?.top1, 1);
    const refused = await runCli(['quantize', at('net'), '--scheme', 'int4', '-o', at('other.keras')]);
    assert.is(refused.status, 2, refused.stderr);
    assert.match(refused.stderr, /expected a name ending in \.safetensors/);
  },
);

test.run();
