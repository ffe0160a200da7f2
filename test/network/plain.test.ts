// The short way to read a network gives what the long one gives, or nothing: over fixtures, and over random changes of theirs.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Json, JsonObject, ModelInfo, WeightInfo } from '../../src/model.js';
import { readNetwork, readPlain } from '../../src/network/index.js';
import { openKeras } from '../../src/node/models.js';
import { root } from '../support/needs.js';
import { everyName, fileOf } from '../tfjs/support.js';
import { changedJson, generator } from './changes.js';
import { dense, ends, info, input, layer, net, on, sequential, tensor } from './support.js';

const EXAMPLES = ['digits', 'cifar10', 'mobilenet'].map((name) =>
  path.join(root, 'examples', name, `${name}.h5`),
);

interface Read {
  readonly model: ModelInfo;
  readonly weights: readonly WeightInfo[];
}

/** @returns whether the short way took it */
function compared(model: ModelInfo, weights: readonly WeightInfo[], what: string): boolean {
  const plain = readPlain(model, weights);
  if (plain === undefined) return false;
  assert.equal(plain, readNetwork(model, weights), what);
  assert.equal(plain.problems, [], what);
  return true;
}

async function readAll(files: readonly string[]): Promise<Read[]> {
  const found: Read[] = [];
  for (const file of files) {
    const { file: name, architecture, kerasVersion, backend, weights, close } = await opened(file);
    close();
    found.push({ model: { file: name, architecture, kerasVersion, backend }, weights });
  }
  return found;
}

async function opened(file: string) {
  const model = await openKeras(file);
  const { file: name, architecture, kerasVersion, backend, weights } = model;
  return { file: name, architecture, kerasVersion, backend, weights, close: () => model.close() };
}

const fixtures = await readAll(everyName.map(fileOf));
const examples = await readAll(EXAMPLES);

test('fixtures and examples: the same network; networks of convolutions go the short way', () => {
  let taken = 0;
  for (const { model, weights } of fixtures) if (compared(model, weights, model.file)) taken++;
  assert.ok(taken >= 6, `${taken} of ${everyName.length} fixtures were plain`);
  for (const { model, weights } of examples) assert.ok(compared(model, weights, model.file), model.file);
});

/** Networks with all that the short way takes: several inputs and outputs, both notations, identities, sums. */
const keras3 = net(
  [
    input('a', [null, 8, 8, 2]),
    input('b', [null, 8, 8, 2]),
    layer('Rescaling', 'scaled', { scale: 0.5, offset: 0 }, [on(tensor('a'))]),
    layer('ZeroPadding2D', 'pad', { padding: 1 }, [on(tensor('scaled'))]),
    layer('Conv2D', 'conv', { filters: 2, kernel_size: 3, padding: 'valid' }, [on(tensor('pad'))]),
    layer('BatchNormalization', 'norm', {}, [{ args: [tensor('conv')], kwargs: { mask: null } }]),
    layer('Add', 'sum', {}, [on([tensor('norm'), tensor('b')])]),
    layer('ReLU', 'relu', {}, [on(tensor('sum'))]),
    layer('MaxPooling2D', 'pool', {}, [on(tensor('relu'))]),
    layer('Dropout', 'drop', { rate: 0.5 }, [on(tensor('pool'))]),
    layer('Flatten', 'flat', {}, [on(tensor('drop'))]),
    dense('first', 'flat'),
    layer('Concatenate', 'both', { axis: -1 }, [on([tensor('first'), tensor('flat')])]),
    layer('Softmax', 'scores', {}, [on(tensor('both'))]),
    dense('unused', 'flat'),
  ],
  ends('a', 'b'),
  ends('scores', 'first'),
);
const keras2 = net(
  [
    input('a', [null, 6]),
    layer('Dense', 'first', { units: 3, activation: 'relu' }, [[['a', 0, 0, {}]]]),
    layer('Dense', 'second', { units: 3 }, [[['a', 0, 0, {}]]]),
    layer('Multiply', 'product', {}, [
      [
        ['first', 0, 0, {}],
        ['second', 0, 0, {}],
      ],
    ]),
    layer('Reshape', 'shaped', { target_shape: [3, 1] }, [[['product', 0, 0, {}]]]),
  ],
  ends('a'),
  ends('shaped'),
);
const chain = sequential(
  input('x', [null, 9, 2]),
  layer('Conv1D', 'conv', { filters: 4, kernel_size: 3, activation: 'relu' }),
  layer('GlobalAveragePooling1D', 'mean'),
  layer('Dense', 'dense', { units: 2 }),
);

test('networks that are plain in both notations, and near ones that are not', () => {
  const two = (models: readonly (readonly [JsonObject, string?])[]) =>
    models.map(([architecture, version]) => compared(info(architecture, version), [], version ?? '3'));
  assert.equal(two([[keras3], [keras2, '2.15.0'], [chain], [chain, '2.15.0']]), [true, true, true, true]);
  const changed = (from: string, to: string) =>
    compared(info(JSON.parse(JSON.stringify(keras3).replaceAll(from, to))), [], `${from} to ${to}`);
  for (const [from, to] of [
    ['"ReLU"', '"PReLU"'],
    ['"ReLU"', '"qkeras>ReLU"'],
    ['"trainable":true,"scale"', '"scale"'],
    ['"valid"', '"full"'],
    ['"mask":null', '"mask":true'],
    ['"kernel_size":3', '"kernel_size":30'],
    ['"float32"', '"complex64"'],
  ] as const)
    assert.not(changed(from, to), `${from} to ${to}`);
  // Whole numbers go the short way to a Rescaling, which makes floats of them, and no further.
  const image = (dtype: string) =>
    compared(info(JSON.parse(JSON.stringify(keras3).replace('"float32"', `"${dtype}"`))), [], dtype);
  for (const dtype of ['uint8', 'int8', 'int32', 'int64', 'bool']) assert.ok(image(dtype), dtype);
  const summed = JSON.stringify(keras3).replace('"name":"b","dtype":"float32"', '"name":"b","dtype":"uint8"');
  assert.is(summed === JSON.stringify(keras3), false);
  assert.not(compared(info(JSON.parse(summed)), [], 'uint8 in a sum'));
  const typed = { ...sequential(input('x', [null, 4]), layer('Flatten', 'f', { dtype: 'int32' })) };
  assert.not(compared(info(typed), [], 'a layer of whole numbers'));
  assert.is(readPlain({ ...info(chain), backend: 'theano' }, []), undefined);
  assert.is(readPlain(info(undefined), []), undefined);
});

test('random changes of plain architectures: the same network or the long way', () => {
  const random = generator(1);
  const plain = [...examples.slice(0, 1), ...fixtures].filter(({ model, weights }) =>
    readPlain(model, weights),
  );
  const own = [keras3, chain].map((architecture): Read => ({ model: info(architecture), weights: [] }));
  const old: Read = { model: info(keras2, '2.15.0'), weights: [] };
  let [taken, left] = [0, 0];
  for (const { model, weights } of [...plain, ...own, old])
    for (let i = 0; i < 100; i++) {
      const architecture = changedJson(model.architecture as JsonObject, random) as Json;
      const what = () => `${model.file}: ${JSON.stringify(architecture)}`;
      if (compared({ ...model, architecture: architecture as JsonObject }, weights, what().slice(0, 20_000)))
        taken++;
      else left++;
    }
  assert.ok(taken > 200 && left > 200, `${taken} the short way, ${left} the long one`);
});

test('a model of a class of its own, and layers of others, go the long way and are refused', () => {
  const foreign = { module: null, registered_name: 'Dense' };
  const chain = sequential(input('x', [null, 2]), layer('Dense', 'd', { units: 2 }));
  assert.ok(readPlain(info(chain), []));
  for (const own of [
    { ...chain, module: null, registered_name: 'Sequential' },
    sequential(input('x', [null, 2]), { ...layer('Dense', 'd', { units: 2 }), ...foreign }),
  ]) {
    assert.is(readPlain(info(own), []), undefined);
    assert.is(readNetwork(info(own), []).problems.length, 1);
  }
});

test.run();
