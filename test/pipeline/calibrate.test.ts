// Calibration of whole networks: that it never loses, and what it refuses. test/slow/calibrate.test.ts has what it gains.

import path from 'node:path';
import type { Tensor } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset, joinInputs } from '../../src/data/index.js';
import type { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { readNetwork } from '../../src/network/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import { divergence } from '../../src/pipeline/calibrate/divergence.js';
import { indexedInputs } from '../../src/pipeline/input-range.js';
import { outputKind } from '../../src/pipeline/outputs.js';
import { sizeOf } from '../../src/shape.js';
import { root } from '../support/needs.js';
import { fileOf } from '../tfjs/support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const digits = path.join(root, 'examples/digits');

const NETWORKS = [
  ...[
    'mobilenet_v2',
    'resnet',
    'conv1d',
    'nested_shared',
    'unet',
    'lstm_tagger',
    'channels_first_conv',
    'conv3d',
  ],
  ...['einsum', 'recurrent', 'spectral', 'wrappers', 'masked', 'transformer'],
  ...['keras1_tensorflow', 'keras1_theano', 'keras1_text'],
];
/** Networks whose input is whole numbers. */
const COUNTING = ['lstm_tagger', 'keras1_text', 'transformer', 'masked'];
/** Networks of several inputs. */
const SEVERAL = ['masked', 'attention', 'grouped_attention', 'encoder_decoder', 'graph_siamese', 'merges'];

/** `npm run check` has a minute (`BITNIBBLE_FEW`). */
const FEW = ['mobilenet_v2', 'lstm_tagger', 'transformer', 'attention'];

for (const name of process.env.BITNIBBLE_FEW === '1' ? FEW : [...NETWORKS, ...SEVERAL.slice(1)]) {
  test(`${name}: never worse than without data, and every kernel is accounted for`, async () => {
    const model = await openKeras(fileOf(name));
    const { loadLayersModel } = await import('../../src/tfjs/load.js');
    const layers = await loadLayersModel(tf, model);
    const shapes = layers.inputs.map((input) => input.shape.slice(1).map((n) => n ?? 12));
    layers.dispose();
    assert.is(shapes.length > 1, SEVERAL.includes(name), 'a network of several inputs');
    const indexed = indexedInputs(model);
    const names = readNetwork(model).inputs.map((input) => input.name);
    const parts = shapes.map((shape, at) => {
      const counts = COUNTING.includes(name) || indexed.has(names[at] as string);
      const values = Float32Array.from({ length: 64 * sizeOf(shape) }, (_, i) =>
        counts ? (i * 7919 + at) % 5 : Math.sin((i + 977 * at) * 12.9898) * 1.5,
      );
      const dataset = arrayDataset({ name: 'random', inputShape: shape, values });
      return { name: names[at] as string, shape, values, dataset };
    });
    const [first] = parts as [(typeof parts)[number]];
    // Arrays in another order than the network has its inputs.
    const dataset = parts.length === 1 ? first.dataset : joinInputs('random', [...parts].reverse());
    const run = (own = dataset) =>
      calibrateModel(tf, model, { default: { scheme: 'int2' } }, { kernels, dataset: own });
    if (parts.length > 1) {
      try {
        await run(first.dataset);
        assert.unreachable();
      } catch (error) {
        assert.is((error as BitnibbleError).code, 'data-mismatch');
        assert.match((error as Error).message, `for each of ${parts.length} inputs, ${names.join(', ')}`);
      }
    }
    const { model: packed, report } = await run();
    const kernelsOfModel = report.tensors.filter(({ result }) => result !== 'kept').map(({ id }) => id);
    assert.equal(report.calibration.map(({ id }) => id).sort(), [...kernelsOfModel].sort());
    for (const { id, error, fallback } of report.calibration)
      assert.ok((error === undefined) !== (fallback === undefined), id);
    assert.ok(report.keptDataFree || report.divergence.calibrated <= report.divergence.dataFree);
    assert.is(
      report.keptDataFree,
      report.warnings.some((text) => text.includes('data-free result was kept')),
    );
    // What was measured layer by layer is what the packed model gives.
    const [float, own] = [await loadLayersModel(tf, model), await loadLayersModel(tf, packed)];
    const x = parts.map(({ values, shape }) => tf.tensor(values, [64, ...shape]));
    const outputs = [float, own].map((each) => [each.predict(x)].flat() as Tensor[]);
    const pairs = (outputs[0] as Tensor[]).map((p, i) => ({
      float: [p],
      quantized: [outputs[1]?.[i] as Tensor],
    }));
    const measured = divergence(pairs, outputKind(model));
    const { calibrated, dataFree } = report.divergence;
    const reported = report.keptDataFree ? dataFree : calibrated;
    assert.ok(Math.abs(measured - reported) <= 1e-3 * reported + 1e-6, `${measured}, reported ${reported}`);
    tf.dispose([x, outputs]);
    float.dispose();
    own.dispose();
    model.close();
  });
}

test('the divergence on the way: of rounding before the first layer, of the calibrated network after the last', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const dataset = await openDataset(path.join(digits, 'calibration-images-idx3-ubyte.gz'));
  const before = tf.memory().numTensors;
  const seen: [divergence: number, done: number][] = [];
  const options = { kernels, preprocess: { scale: 1 / 255 }, samples: 64 };
  const run = (more: object) =>
    calibrateModel(tf, model, { default: { scheme: 'binary' } }, { ...options, dataset, ...more });
  const { report, model: packed } = await run({
    onDivergence: (value: number, done: number) => seen.push([value, done]),
  });
  // One batch is all of the samples: what is said on the way is what is said in the end, but for last bits of the float outputs, which
  // are computed layer by layer there, activations apart.
  const { dataFree } = report.divergence;
  const [first, begun] = seen[0] as (typeof seen)[number];
  assert.ok(Math.abs(first - dataFree) < 1e-7 * dataFree, `${first}, expected ${dataFree}`);
  assert.is(begun, 0);
  const [last, done] = seen.at(-1) as (typeof seen)[number];
  assert.ok(Math.abs(last - report.divergence.calibrated) < 1e-4 * last, `${last}`);
  assert.is(seen.length, 1 + report.calibration.length);
  assert.is(done, readNetwork(model).nodes.findLastIndex(({ operation }) => operation === 'Dense') + 1);
  assert.ok(last < 0.3 * dataFree);
  assert.is(tf.memory().numTensors, before);
  const { model: unwatched } = await run({});
  assert.equal(packedBytes(unwatched), packedBytes(packed));
  model.close();
});

test('samples of another shape, with NaN, unscaled or few: refused or warned of', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const recipe = { default: { scheme: 'int4' } } as const;
  const attempt = async (inputShape: number[], values: Float32Array, more: object = {}) =>
    calibrateModel(tf, model, recipe, {
      kernels,
      dataset: arrayDataset({ name: 'samples', inputShape, values, ...more }),
    });
  const refused = async (inputShape: number[], values: Float32Array, pattern: RegExp) => {
    try {
      await attempt(inputShape, values);
      assert.unreachable();
    } catch (error) {
      assert.is((error as BitnibbleError).code, 'data-mismatch');
      assert.match((error as Error).message, pattern);
    }
  };
  await refused(
    [28, 27, 1],
    new Float32Array(28 * 27),
    /expects inputs of shape \[28,28,1\], the data has \[28,27,1\]/,
  );
  const spoilt = new Float32Array(28 * 28).fill(Number.NaN, 5, 6);
  await refused([28, 28, 1], spoilt, /expected finite samples, got NaN/);
  const loud = Float32Array.from({ length: 8 * 784 }, (_, i) => (i * 31) % 256);
  const { report } = await attempt([28, 28, 1], loud);
  assert.ok(report.warnings.some((text) => text.includes('unscaled')));
  assert.ok(report.warnings.some((text) => text.includes('8 samples are few')));
  model.close();
});

test.run();
