// What is known of a model's inputs before it runs: token ids, scaling, shapes.
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import { BitnibbleError } from '../../src/errors.js';
import { openKeras } from '../../src/node/models.js';
import { firstRange, indexedInputs, rangeWarning } from '../../src/pipeline/input-range.js';
import { bindInputs, checkLabels, checkSamples, inputWatch, sampleShape } from '../../src/pipeline/inputs.js';
import { root } from '../support/needs.js';

const open = (file: string) => openKeras(path.join(root, 'test/fixtures', file));

test('models whose inputs an Embedding takes, Keras 1 and 3, Sequential and functional', async () => {
  const found: Record<string, boolean> = {};
  for (const name of [
    'keras1_text',
    'lstm_tagger',
    'masked',
    'attention',
    'cifar10',
    'resnet',
    'encoder_decoder',
  ]) {
    const model = await open(`tfjs/${name}.h5`);
    found[name] = indexedInputs(model).size > 0;
    model.close();
  }
  const [tokens, others] = [
    { keras1_text: true, lstm_tagger: true, masked: true, attention: true },
    { cifar10: false, resnet: false, encoder_decoder: false },
  ];
  assert.equal(found, { ...tokens, ...others });
});

test('large inputs look unscaled, but for token ids and models that scale by themselves', async () => {
  const warnings: Record<string, (string | undefined)[]> = {};
  for (const name of ['cifar10', 'lstm_tagger', 'efficientnet']) {
    const model = await open(`tfjs/${name}.h5`);
    warnings[name] = [255, 30, Number.NaN].map((most) => rangeWarning(firstRange(model), 0, most));
    model.close();
  }
  const [first, ...rest] = warnings.cifar10 ?? [];
  assert.match(first ?? '', 'inputs reach 255: they look unscaled');
  assert.equal(rest, [undefined, undefined]);
  assert.equal(warnings.lstm_tagger, [undefined, undefined, undefined]);
  assert.equal(warnings.efficientnet, [undefined, undefined, undefined]);
});

test('inputs are watched until the first that is too large', async () => {
  const model = await open('tfjs/cifar10.h5');
  const said: string[] = [];
  const watch = inputWatch(model, (text) => said.push(text));
  watch([Float32Array.of(0.5, -1)]);
  assert.is(said.length, 0);
  watch([Float32Array.of(0.5, -200)]);
  watch([Float32Array.of(300)]);
  assert.is(said.length, 1);
  assert.match(said[0] ?? '', /inputs reach 200:/);
  model.close();
});

test('labels that no output has are refused by the architecture alone', async () => {
  const data = (...labels: number[]) =>
    arrayDataset({
      name: 'data',
      inputShape: [1],
      values: new Float32Array(labels.length),
      labels: Int32Array.from(labels),
    });
  const faultOf = async (name: string, labels: number[], limit = labels.length) => {
    const model = await open(name);
    try {
      checkLabels(model, data(...labels), limit);
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'data-mismatch');
      return (error as Error).message;
    } finally {
      model.close();
    }
    return '';
  };
  assert.is(await faultOf('keras/keras3_sequential.h5', [0, 5]), '');
  assert.match(
    await faultOf('keras/keras3_sequential.h5', [0, 6]),
    'and data: label 6, the model has 6 classes',
  );
  assert.match(await faultOf('keras/keras3_sequential.h5', [-1]), 'label -1');
  assert.is(await faultOf('keras/keras3_sequential.h5', [0, 6], 1), '');
  assert.match(
    await faultOf('tfjs/graph_shared_outputs.h5', [0]),
    /expected a model with one output, got \d/,
  );
});

test('arrays go to the inputs of their names, or in their order', () => {
  const wanted = [
    { name: 'a', shape: [null, 2] },
    { name: 'b', shape: [null, 3, 1] },
  ];
  const array = (shape: number[], name?: string) => ({
    ...{ shape, dtype: 'float32' as const },
    ...(name === undefined ? {} : { name }),
  });
  const bind = (...inputs: ReturnType<typeof array>[]) =>
    bindInputs(wanted, 'm', { name: 'd', inputShape: inputs[0]?.shape ?? [], inputs });
  const faultOf = (...inputs: ReturnType<typeof array>[]) => {
    try {
      bind(...inputs);
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'data-mismatch');
      return (error as Error).message;
    }
    return '';
  };
  assert.equal(
    bind(array([3], 'b'), array([9], 'c'), array([2], 'a')).map(({ from, shape }) => [from, shape]),
    [
      [2, [2]],
      [0, [3, 1]],
    ],
  );
  assert.equal(
    bind(array([2]), array([3])).map(({ from }) => from),
    [0, 1],
  );
  assert.match(faultOf(array([2])), 'm and d: expected an array for each of 2 inputs, a, b, got 1');
  assert.match(faultOf(array([2], 'a'), array([3], 'c')), 'inputs, a, b, got a, c');
  assert.match(faultOf(array([2]), array([4])), 'inputs of shape [3,1] for b, the data has [4]');
  const one = { name: 'd', inputShape: [2], inputs: [array([2], 'other')] };
  assert.is(bindInputs([{ name: 'a', shape: [null, 2] }], 'm', one)[0]?.from, 0);
});

test('axes of length 1 may be more or fewer, lengths that are free too', () => {
  const shapeOf = (wanted: (number | null)[], data: number[]) => sampleShape([null, ...wanted], data)?.join();
  assert.is(shapeOf([28, 28, 1], [28, 28]), '28,28,1');
  assert.is(shapeOf([null, null, 1], [28, 28]), '28,28,1');
  assert.is(shapeOf([null, 8], [5, 8, 1]), '5,8');
  assert.is(shapeOf([784], [28, 28]), '784');
  assert.is(shapeOf([null, 8], [5, 7]), undefined);
  assert.is(shapeOf([null, null, 3], [28, 28]), undefined);
});

test('samples that do not fit are refused by the architecture alone', async () => {
  const data = (...inputShape: number[]) =>
    arrayDataset({
      name: 'data',
      inputShape,
      values: new Float32Array(2 * inputShape.reduce((a, b) => a * b, 1)),
    });
  const faultOf = (work: () => void) => {
    try {
      work();
    } catch (error) {
      return error as Error;
    }
    return undefined;
  };
  const image = await open('tfjs/cifar10.h5');
  assert.is(
    faultOf(() => checkSamples(image, data(32, 32, 3))),
    undefined,
  );
  const wrong = faultOf(() => checkSamples(image, data(28, 28, 1)));
  assert.instance(wrong, BitnibbleError);
  assert.match(wrong?.message ?? '', 'expects inputs of shape [32,32,3], the data has [28,28,1]');
  const channels = faultOf(() => checkSamples(image, data(32, 32, 3), { mean: [1, 2] }));
  assert.match(channels?.message ?? '', /^"mean" expected 1 or 3 numbers, got 2/);
  image.close();
  // Axes of any length are named as Keras names them.
  const free = faultOf(() =>
    bindInputs([{ name: 'x', shape: [null, null, 8] }], 'm', { name: 'd', inputShape: [4, 6] }),
  );
  assert.match(
    free?.message ?? '',
    'm and d: the model expects inputs of shape [None,8], the data has [4,6]',
  );
  const weights = await open('containers/keras2_parts.weights.h5');
  assert.is((faultOf(() => checkSamples(weights, data(4))) as BitnibbleError).code, 'no-model-config');
  weights.close();
});

test.run();
