import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { JsonObject, ModelSource } from '../../src/model.js';
import {
  dropIdentities,
  editArchitecture,
  findPairs,
  foldNorms,
  type Network,
  printNetwork,
  readChanged,
  readNetwork,
} from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { equalize } from '../../src/pipeline/transform/equalize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { TransformedModel } from '../../src/pipeline/transform/transformed-model.js';
import {
  add,
  conv,
  dense,
  farthest,
  input,
  norm,
  outputsOf,
  random,
  type SmallLayer,
  smallModel,
} from '../pipeline/support.js';
import { fileOf, names, stored } from '../tfjs/support.js';

const { tf } = await loadTensorFlow({ prefer: 'wasm' });

const networkOf = (model: ModelSource) => readNetwork(model, model.weights);
/** Lines of a printed network, outputs without their names, which an architecture takes from its layers. */
const lines = (network: Network) =>
  printNetwork(network)
    .split('\n')
    .map((line) => line.replace(/^output .*: /, 'output '));

const configOf = ({ architecture }: ModelSource) => (architecture as JsonObject).config as JsonObject;

const layer = (className: string, name: string, before: string, config: JsonObject = {}): SmallLayer => ({
  className,
  config: { name, ...config },
  calls: [[before]],
});

test('a folded network as text: the normalization is gone, its layer has a bias, values are numbered anew', () => {
  const model = smallModel(
    [
      input([4, 4, 2]),
      conv('c', [3, 3, 2, 3], ['x']),
      norm('n', 3, ['c']),
      norm('m', 3, ['n'], { scale: false }),
      layer('ReLU', 'r', 'm'),
      layer('Dropout', 'd', 'r', { rate: 0.5 }),
    ],
    ['d'],
  );
  const { network, left, folded, biases } = foldNorms(networkOf(model), model);
  assert.equal(left, []);
  assert.equal(
    folded.map(({ norm: own, layer: into }) => `${own} > ${into}`),
    ['n > c', 'm > c'],
  );
  assert.equal([...biases], [['c/kernel', 'c/bias']]);
  const [head, given, folding, ...rest] = lines(network);
  assert.equal([head, given], ['network small', 'input x: %0 [?, 4, 4, 2]']);
  assert.match(
    folding as string,
    /^%1 \[\?, 4, 4, 3\] = Conv2D\(%0\) c \{.*"?use_bias"?: true.*\} kernel=c\/kernel bias=c\/bias$/,
  );
  assert.is(rest.length, 3);
  assert.match(rest[0] as string, /^%2 \[\?, 4, 4, 3\] = ReLU\(%1\) r /);
  assert.match(rest[1] as string, /^%3 \[\?, 4, 4, 3\] = Dropout\(%2\) d/);
  assert.is(rest[2], 'output %3');
  const dropped = dropIdentities(network);
  assert.equal(lines(dropped), [...lines(network).slice(0, 4), 'output %2']);
  assert.is(dropped.outputs[0]?.name, 'd');
  assert.is(dropped.values.length, 3);
});

test('a runtime has a network and a function that reads: folded weights are those that a model gives', () => {
  const layers = [
    input([4, 4, 2]),
    conv('deep', [3, 3, 2, 3], ['x'], { class: 'DepthwiseConv2D' }),
    norm('n', 6, ['deep']),
    conv('up', [3, 3, 5, 6], ['n'], { class: 'Conv2DTranspose', filters: 5 }),
    norm('m', 5, ['up']),
    norm('o', 5, ['m']),
  ];
  const model = smallModel(layers, ['o']);
  const asked: string[] = [];
  const read = (id: string) => {
    asked.push(id);
    return model.read(id);
  };
  const given = networkOf(model);
  const before = structuredClone(given);
  const folded = foldNorms(given, { read, size: (id) => model.values.get(id)?.length });
  assert.not.ok(asked.some((id) => id.endsWith('kernel')));
  assert.equal(given, before);
  const now = readChanged(model.read, folded);
  const { source } = foldBatchNorm(model);
  const ids = folded.network.nodes.flatMap(({ weights }) => Object.values(weights));
  assert.equal(ids.sort(), source.weights.map(({ id }) => id).sort());
  for (const id of ids) assert.equal(now(id), source.read(id), id);
  // Without sizes kernels are read for theirs, and everything is the same.
  assert.equal(foldNorms(given, { read }), folded);
});

test('pairs of a network, for a runtime', () => {
  const layers = [
    input([6]),
    dense('a', [6, 5], ['x'], { activation: 'relu' }),
    layer('Dropout', 'd', 'a', { rate: 0.5 }),
    dense('b', [5, 3], ['d']),
  ];
  const model = smallModel(layers, ['b']);
  const { pairs, left } = findPairs(networkOf(model), { read: model.read });
  assert.equal(pairs, [
    {
      first: { id: 'a/kernel', kind: 'dense', rows: 6, columns: 5, groups: 1, inputs: 6, outputs: 5 },
      second: { id: 'b/kernel', kind: 'dense', rows: 5, columns: 3, groups: 1, inputs: 5, outputs: 3 },
      channels: 5,
      vectors: ['a/bias'],
      through: ['d'],
    },
  ]);
  assert.equal(
    left.map(({ layer: own, why }) => `${own}: ${why}`),
    ['b: its outputs are those of the model'],
  );
});

for (const name of names) {
  test(`${name}: the edited architecture is read as the network that the pass gives`, async () => {
    const model = await openKeras(fileOf(name));
    const network = networkOf(model);
    const { source, folded } = foldBatchNorm(model);
    assert.equal(lines(networkOf(source)), lines(foldNorms(network, model).network));
    assert.is(network.nodes.length - networkOf(source).nodes.length >= folded.length, true);

    const dropped = dropIdentities(network);
    const stay = new Set(dropped.nodes.map(({ layer: own }) => own));
    const removed = new Set(network.nodes.map(({ layer: own }) => own).filter((own) => !stay.has(own)));
    const architecture = editArchitecture(model, { removed });
    const weights = model.weights.filter(({ layer: own }) => !removed.has(own));
    const edited = new TransformedModel(model, { architecture, weights });
    assert.equal(lines(networkOf(edited)), lines(dropped));
    if (removed.size > 0) {
      const { inputs } = stored(tf, name, 'y');
      assert.equal(await outputsOf(tf, edited, inputs), await outputsOf(tf, model, inputs));
      tf.dispose(inputs);
    }
    model.close();
  });
}

/** An inner model as a layer of a small one, with weights under its path. */
function inner(
  name: string,
  layers: readonly SmallLayer[],
  calls: readonly string[],
  { version, output, chain = false }: { version: string; output: string; chain?: boolean },
): SmallLayer {
  const own = smallModel(layers, [output], { version });
  const { config } = own.architecture as JsonObject;
  const { layers: list, ...rest } = config as JsonObject;
  const entries = (list as JsonObject[]).map(({ inbound_nodes: _, ...entry }) => entry);
  const weights = Object.fromEntries(own.weights.map(({ id, shape }) => [id, shape]));
  return {
    className: chain ? 'Sequential' : String(own.architecture?.class_name),
    config: chain ? { name, layers: entries } : { ...rest, name, layers: list as JsonObject[] },
    weights,
    calls: calls.map((call) => [call]),
  };
}

/** A model with inner ones: `smallModel` with weights that know their layers. */
function nested(layers: readonly SmallLayer[], outputs: readonly string[], version: string): ModelSource {
  const model = smallModel(layers, outputs, { version });
  const weights = model.weights.map((weight) => {
    const parts = weight.id.split('/');
    const name = parts.pop() as string;
    return {
      ...weight,
      name,
      layer: parts.join('/'),
      className: /^(gamma|beta|moving)/.test(name) ? 'BatchNormalization' : 'Conv2D',
    };
  });
  for (const [id, values] of model.values)
    if (id.endsWith('variance')) values.set(values.map((value) => 0.1 + Math.abs(value)));
  return { ...model, weights };
}

/** Folds, compares outputs and the network, and gives what was folded and left. */
async function check(model: ModelSource, shape: readonly number[]) {
  const next = random(3);
  const size = shape.reduce((a, b) => a * b, 2);
  const x = tf.tensor(Float32Array.from({ length: size }, next), [2, ...shape]);
  const want = await outputsOf(tf, model, [x]);
  const { source, folded, left } = foldBatchNorm(model);
  // A Sequential model that would be left without layers has an identity in place of one.
  const pass = foldNorms(networkOf(model), model).network;
  assert.equal(lines(dropIdentities(networkOf(source))), lines(dropIdentities(pass)));
  assert.ok(farthest(await outputsOf(tf, source, [x]), want) <= 1e-5);
  const kept = foldBatchNorm(model, { keepLayers: true }).source;
  assert.ok(farthest(await outputsOf(tf, kept, [x]), want) <= 1e-5);
  assert.ok(farthest(await outputsOf(tf, equalize(source).source, [x]), want) <= 1e-5);
  x.dispose();
  return {
    source,
    folded: folded.map((row) => `${row.norm} > ${row.layer}`),
    left: left.map((row) => `${row.layer}: ${row.why}`),
  };
}

const shape = [4, 4, 2];
for (const version of ['2.15.0', '3.15.1']) {
  // Keras 2 counts the calls of a functional model inside another from 1.
  const called = (name: string, call = 0) =>
    version.startsWith('2') ? `${name}:${call + 1}` : `${name}:${call}`;
  // Keras 3 counts those that are outputs from 1 as well.
  const output = (source: ModelSource) => configOf(source).output_layers;

  test(`Keras ${version}: a convolution last in an inner model, its normalization behind it and an output`, async () => {
    const body = inner('body', [input(shape), conv('c', [3, 3, 2, 3], ['x'])], ['x'], {
      version,
      output: 'c',
    });
    const model = nested([input(shape), body, norm('n', 3, [called('body')])], ['n'], version);
    const { folded, left, source } = await check(model, shape);
    assert.equal([folded, left], [['n > body/c'], []]);
    assert.equal(output(source), [['body', 1, 0]]);
  });

  test(`Keras ${version}: an inner model called twice: folded where all its calls go to the normalization`, async () => {
    const body = inner('body', [input(shape), conv('c', [3, 3, 2, 2], ['x'])], ['x', 'r'], {
      version,
      output: 'c',
    });
    const start = [input(shape), layer('ReLU', 'r', 'x'), body];
    const both = [...start, norm('n', 2, [called('body'), called('body', 1)]), add(['n', 'n:1'])];
    assert.equal((await check(nested(both, ['sum'], version), shape)).folded, ['n > body/c']);
    const one = [...start, norm('n', 2, [called('body')]), add(['n', called('body', 1)])];
    const { folded, left } = await check(nested(one, ['sum'], version), shape);
    assert.equal([folded, left], [[], ['n: body/c before it also goes to sum']]);
  });

  test(`Keras ${version}: a normalization first in an inner model, and one that is all of it`, async () => {
    const first = inner('body', [input(shape), norm('n', 2, ['x']), conv('c', [3, 3, 2, 3], ['n'])], ['a'], {
      version,
      output: 'c',
    });
    const before = conv('a', [3, 3, 2, 2], ['x']);
    const result = await check(nested([input(shape), before, first], [`body:1`], version), shape);
    assert.equal([result.folded, result.left], [['body/n > a'], []]);
    const alone = inner('body', [input(shape), norm('n', 2, ['x'])], ['a'], { version, output: 'n' });
    const { folded } = await check(nested([input(shape), before, alone], [`body:1`], version), shape);
    assert.equal(folded, ['body/n > a']);
  });

  test(`Keras ${version}: a Sequential model inside of one normalization keeps a layer`, async () => {
    const alone = inner('body', [input(shape), norm('n', 2, ['x'])], ['a'], {
      version,
      output: 'n',
      chain: true,
    });
    const call = version.startsWith('2') ? 'body:1' : 'body';
    const model = nested([input(shape), conv('a', [3, 3, 2, 2], ['x']), alone], [call], version);
    const { folded, source } = await check(model, shape);
    assert.equal(folded, ['body/n > a']);
    const layers = configOf(source).layers as JsonObject[];
    const list = ((layers[2] as JsonObject).config as JsonObject).layers as JsonObject[];
    assert.equal(
      list.map(({ class_name }) => class_name),
      ['InputLayer', 'Activation'],
    );
  });
}

test('Keras 1: dense layers are folded, kernels whose axes may lie otherwise stay', async () => {
  const base = smallModel(
    [
      input([4, 4, 2]),
      conv('c', [3, 3, 2, 3], ['x']),
      norm('m', 3, ['c']),
      dense('a', [3, 3], ['m']),
      norm('n', 3, ['a']),
    ],
    ['n'],
  );
  const entry = (class_name: string, config: JsonObject): JsonObject => ({ class_name, config });
  const normal = { mode: 0, axis: -1, epsilon: 0.01 };
  const model: ModelSource = {
    ...base,
    kerasVersion: '1.2.2',
    backend: 'tensorflow',
    weights: base.weights.filter(({ id }) => id !== 'a/bias'),
    architecture: entry('Sequential', [
      entry('Convolution2D', {
        ...{ name: 'c', nb_filter: 3, nb_row: 3, nb_col: 3, border_mode: 'same', activation: 'linear' },
        ...{ dim_ordering: 'tf', bias: false, batch_input_shape: [null, 4, 4, 2] },
      }),
      entry('BatchNormalization', { ...normal, name: 'm' }),
      entry('Dense', { name: 'a', output_dim: 3, activation: 'linear', bias: false }),
      entry('BatchNormalization', { ...normal, name: 'n' }),
    ] as unknown as JsonObject),
  };
  const { folded, left, source } = foldBatchNorm(model);
  assert.equal(
    folded.map((row) => `${row.norm} > ${row.layer}`),
    ['n > a'],
  );
  assert.equal(
    left.map((row) => row.why),
    ['its input comes from c (Conv2D): its kernel is stored as Keras 1 does'],
  );
  const list = source.architecture?.config as unknown as JsonObject[];
  assert.equal((list.at(-1) as JsonObject).config, {
    ...{ name: 'a', output_dim: 3, activation: 'linear', bias: true },
  });
  const x = tf.tensor(Float32Array.from({ length: 64 }, random(4)), [2, 4, 4, 2]);
  const want = await outputsOf(tf, model, [x]);
  assert.ok(farthest(await outputsOf(tf, source, [x]), want) <= 1e-5);
  x.dispose();
});

test('layers of unknown classes: folding goes on around them', () => {
  const model = smallModel(
    [
      input([4]),
      dense('a', [4, 3], ['x']),
      norm('n', 3, ['a']),
      layer('shop>Odd', 'odd', 'n'),
      dense('b', [5, 2], ['odd']),
      norm('m', 2, ['b']),
    ],
    ['m'],
  );
  const network = networkOf(model);
  assert.equal(
    network.problems.map((row) => row.layer),
    ['odd'],
  );
  const { folded, left, source } = foldBatchNorm(model);
  assert.equal(
    folded.map((row) => `${row.norm} > ${row.layer}`),
    ['n > a', 'm > b'],
  );
  assert.equal(left, []);
  assert.equal(lines(networkOf(source)), lines(foldNorms(network, model).network));
});

test('what no output needs is said, and a dropout in training is no identity', () => {
  const dead = smallModel([input([4]), dense('a', [4, 3], ['x']), norm('n', 3, ['a'])], ['a']);
  assert.equal(
    foldBatchNorm(dead).left.map((row) => row.why),
    ['it is part of another layer, or no output of the model needs it'],
  );
  const training = smallModel([input([4]), layer('Dropout', 'd', 'x', { rate: 0.5 })], ['d'], {
    version: '2.15.0',
  });
  const [, entry] = configOf(training).layers as JsonObject[];
  (entry as JsonObject).inbound_nodes = [[['x', 0, 0, { training: true }]]];
  assert.is(dropIdentities(networkOf(training)).nodes.length, 1);
});

test.run();
