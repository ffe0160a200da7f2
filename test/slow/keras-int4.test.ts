// Files with Keras's own int4 in Keras itself: loaded, still at 4 bits, and the same predictions as with decoded weights.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { kerasInt4File } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { writeFile } from '../../src/node/files.js';
import { openKeras, saveQuantized } from '../../src/node/models.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import type { QuantizeOptions } from '../../src/schemes/types.js';
import { need, root, run, runCli, tempDir } from '../support/needs.js';
import { fileOf, folder as fixtures, names } from '../tfjs/support.js';

const keras = need(test, 'keras');
const folder = tempDir();
const kernels = await loadKernels();

interface Case {
  readonly name: string;
  readonly int4: string;
  readonly float: string;
  readonly inputs: string | null;
  readonly ids: readonly string[];
}
interface Answer {
  readonly name: string;
  readonly error: number;
  readonly packed: number;
  readonly quantized: readonly string[];
  readonly fault?: string;
}

const CODINGS: Readonly<Record<string, QuantizeOptions>> = {
  channel: { scheme: 'int4' },
  tensor: { scheme: 'int4', granularity: 'tensor' },
  groups: { scheme: 'int4', granularity: 'group', groupSize: 3 },
};

/** A model as int4 and decoded; undefined where it is refused. */
async function written(file: string, coding: string, inputs: string | null): Promise<Case | undefined> {
  const model = await openKeras(file);
  try {
    const { model: quantized } = quantizeModel(model, { default: CODINGS[coding] }, { kernels });
    const result = kerasInt4File(quantized);
    const base = `${path.basename(file).replace('.', '-')}-${coding}`;
    const [int4, float] = [
      path.join(folder, `${base}.keras`),
      path.join(folder, `${base}${path.extname(file)}`),
    ];
    const decoded = float.replace(base, `${base}-float`);
    await writeFile(int4, result.pieces());
    await saveQuantized(quantized, model, decoded);
    return { name: base, int4, float: decoded, inputs, ids: result.int4.map(({ id }) => id) };
  } catch (error) {
    if (error instanceof BitnibbleError && /^unsupported-(version|layer)$/.test(error.code)) return undefined;
    throw error;
  } finally {
    model.close();
  }
}

async function ask(python: string, cases: readonly Case[]): Promise<readonly Answer[]> {
  const list = path.join(folder, 'cases.json');
  writeFileSync(list, JSON.stringify(cases));
  const done = await run(python, [path.join(root, 'test/slow/keras_int4_run.py'), list]);
  assert.is(done.status, 0, done.output);
  const answers: readonly Answer[] = JSON.parse(done.stdout.slice(done.stdout.lastIndexOf('\n[') + 1));
  const faults = answers.filter(({ fault }) => fault !== undefined);
  assert.equal(faults, []);
  return answers;
}

/** Everything that a layer of Keras is quantized in, in one model each time. */
const MAKE = `
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
from keras import layers as L
i = L.Input((6,), dtype="int32")
h = L.Embedding(11, 7, name="embedding")(i)
h = L.EinsumDense("abc,cde->abde", output_shape=(6, 2, 5), bias_axes="de", name="split")(h)
h = L.EinsumDense("abde,def->abf", output_shape=(6, 7), name="merge")(h)
h = L.MultiHeadAttention(2, 3, value_dim=4, dropout=0.1, name="attention.1")(h, h)
h = L.GroupQueryAttention(4, 4, 2, name="grouped")(h, h)
h = L.LayerNormalization(name="norm")(h)
h = L.TimeDistributed(L.Dense(5, name="each"), name="distributed")(h)
h = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(h)
inner = keras.Sequential([L.Input((6, 8)), L.Dense(6, name="first"), L.Dropout(0.3)], name="inner")
h = L.Conv1D(4, 3, name="conv")(inner(h))
h = L.BatchNormalization(name="batches")(h)
h = L.Dense(5, activation="relu", name="hidden")(L.Flatten(name="flat")(h))
m = keras.Model(i, L.Dense(1, use_bias=False, name="out")(h + 1), name="net")
rng = np.random.default_rng(3)
for w in m.weights:
    w.assign(rng.uniform(0.5, 2, w.shape) if "variance" in w.path else rng.normal(0, 0.4, w.shape))
m.save(sys.argv[1])
`;

const QUANTIZED = [
  'attention_output',
  'embedding',
  'first',
  'hidden',
  'key',
  'merge',
  'out',
  'query',
  'split',
  'value',
];

keras(
  'every class that Keras has int4 for stays at 4 bits and predicts the same',
  async ({ keras: python }) => {
    const file = path.join(folder, 'net.keras');
    const made = await run(python, ['-c', MAKE, file]);
    assert.is(made.status, 0, made.output);
    const cases: Case[] = [];
    for (const coding of Object.keys(CODINGS)) {
      const own = await written(file, coding, null);
      assert.ok(own, coding);
      cases.push(own);
    }
    for (const [i, { name, error, packed, quantized }] of (await ask(python, cases)).entries()) {
      assert.ok(error <= 1e-5, `${name}: ${error}`);
      assert.is(packed, cases[i]?.ids.length, name);
      assert.equal([...new Set(quantized)], QUANTIZED, name);
    }
  },
);

keras('models of Keras 3 in .h5 files, as far as they have no operations', async ({ keras: python }) => {
  const cases: Case[] = [];
  // Keras cannot load its own .h5 file of `channels_first`, to compare with.
  const own = names.filter((name) => name !== 'channels_first');
  for (const [i, name] of own.entries()) {
    const coding = i % 2 === 0 ? 'channel' : 'groups';
    const made = await written(fileOf(name), coding, path.join(fixtures, `${name}.npz`));
    if (made) cases.push(made);
  }
  assert.ok(cases.length >= 20, `${cases.length} cases`);
  const answers = await ask(python, cases);
  assert.is(answers.length, cases.length);
  for (const [i, { name, error, packed }] of answers.entries()) {
    // A layer that computes in half precision rounds what it gets from scales that divide otherwise.
    const most = /float16/.test(name) ? 2e-3 : 1e-5;
    assert.ok(error <= most, `${name}: ${error}`);
    assert.is(packed, cases[i]?.ids.length, name);
  }
});

keras('from the command line', async ({ keras: python }) => {
  const packed = path.join(folder, 'transformer.safetensors');
  assert.is((await runCli(['quantize', fileOf('transformer'), '-o', packed, '--scheme', 'int4'])).status, 0);
  const file = path.join(folder, 'same.keras');
  const { status, stdout, output } = await runCli([
    'convert',
    packed,
    '-o',
    file,
    '--weights',
    'keras-int4',
    '--json',
  ]);
  assert.is(status, 0, output);
  const document = JSON.parse(stdout);
  assert.ok(document.int4.some(({ id }: { id: string }) => id === 'multi_head_attention/query/kernel'));
  assert.ok(document.decoded.every(({ reason }: { reason: string }) => reason.length > 0));
  const float = path.join(folder, 'transformer-float.h5');
  assert.is((await runCli(['quantize', fileOf('transformer'), '-o', float, '--scheme', 'int4'])).status, 0);
  const inputs = path.join(fixtures, 'transformer.npz');
  const [answer] = await ask(python, [{ name: 'transformer', int4: file, float, inputs, ids: [] }]);
  assert.ok((answer as Answer).error <= 1e-5, String(answer?.error));
  assert.is(answer?.packed, document.int4.length);
  const wrong = await runCli(['convert', packed, '-o', file, '--weights', 'folded']);
  assert.is(wrong.status, 2, wrong.output);
  assert.match(wrong.output, '--weights expected keras-int4 for .keras, got folded');
  const keras2 = path.join(root, 'test/fixtures/keras/keras2_sequential.h5');
  const old = path.join(folder, 'old.safetensors');
  assert.is((await runCli(['quantize', keras2, '-o', old, '--scheme', 'int4'])).status, 0);
  const refused = await runCli(['convert', old, '-o', path.join(folder, 'old.keras')]);
  assert.is(refused.status, 1, refused.output);
  assert.match(refused.output, /old\.safetensors: its architecture is Keras 2\.\S+'s, expected Keras 3's/);
});

test.run();
