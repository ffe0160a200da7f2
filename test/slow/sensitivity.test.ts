// What each layer costs at each scheme, and the choice within a budget.

import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import type { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import {
  chooseForBits,
  chooseForFile,
  chooseSchemes,
  leastBits,
  mixesOf,
  smallestWithin,
} from '../../src/pipeline/mixed.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { measureSensitivity, type SensitivityRow } from '../../src/pipeline/sensitivity.js';
import { sizeOf } from '../../src/shape.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import { root } from '../support/needs.js';
import { fileOf } from '../tfjs/support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const digits = path.join(root, 'examples/digits');
const preprocess = { scale: 1 / 255 };
const dataset = await openDataset(path.join(digits, 'calibration-images-idx3-ubyte.gz'));

const rowOf = (layer: string, s: number, bytes: number, divergence: number): SensitivityRow => ({
  ...{ layer, className: 'Dense', weights: [`${layer}/kernel`], parameters: 100, granularity: 'channel' },
  scheme: (['binary', 'int2', 'int4'] as const)[s] as SensitivityRow['scheme'],
  ...{ bytes, divergence, saved: 400 - bytes },
});

const costs = fc.array(
  fc.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.double({ min: 0, max: 9, noNaN: true })), {
    minLength: 3,
    maxLength: 3,
  }),
  { minLength: 1, maxLength: 6 },
);

test('the choice within a budget is the best of all', () => {
  fc.assert(
    fc.property(costs, fc.integer({ min: 0, max: 400 }), (layers, budget) => {
      const rows = layers.flatMap((own, l) => own.map(([bytes, d], s) => rowOf(`layer*${l}`, s, bytes, d)));
      let best = Number.POSITIVE_INFINITY;
      const visit = (l: number, bytes: number, divergence: number): void => {
        if (bytes > budget) return;
        const own = layers[l];
        if (!own) best = Math.min(best, divergence);
        else for (const [more, d] of own) visit(l + 1, bytes + more, divergence + d);
      };
      visit(0, 0, 0);
      if (best === Number.POSITIVE_INFINITY) {
        assert.throws(
          () => chooseSchemes(rows, budget),
          (error: BitnibbleError) => error.code === 'budget',
        );
        return;
      }
      const mix = chooseSchemes(rows, budget);
      assert.ok(mix.bytes <= budget);
      assert.is(
        mix.bytes,
        mix.chosen.reduce((sum, row) => sum + row.bytes, 0),
      );
      assert.ok(
        Math.abs(mix.divergence - best) <= 1e-9 * (1 + best),
        `${mix.divergence}, the best is ${best}`,
      );
    }),
    { numRuns: 400 },
  );
});

test('the least bits are enough, and less is not', () => {
  fc.assert(
    fc.property(costs, (layers) => {
      const rows = layers.flatMap((own, l) => own.map(([bytes, d], s) => rowOf(`layer${l}`, s, bytes, d)));
      const least = layers.reduce((sum, own) => sum + Math.min(...own.map(([bytes]) => bytes)), 0);
      assert.is(chooseForBits(rows, leastBits(rows) + 1e-9).bytes, least);
      assert.throws(
        () => chooseForBits(rows, leastBits(rows) - 1e-3),
        (error: BitnibbleError) => error.code === 'budget',
      );
    }),
  );
});

test('a large budget in few steps: never above it, close to the best', () => {
  const rows = Array.from({ length: 40 }, (_, l) =>
    [0, 1, 2].map((s) => rowOf(`l${l}`, s, 1_000_003 * (l + 1) * 2 ** s, (40 - l) / 8 ** s)),
  ).flat();
  const most = rows.filter(({ scheme }) => scheme === 'int4').reduce((sum, row) => sum + row.bytes, 0);
  let last = Number.POSITIVE_INFINITY;
  for (const share of [0.25, 0.3, 0.5, 0.9, 1, 2]) {
    const mix = chooseSchemes(rows, share * most);
    assert.ok(mix.bytes <= share * most);
    assert.ok(mix.divergence <= last);
    last = mix.divergence;
  }
  assert.is(chooseSchemes(rows, most).bytes, most);
});

test('the smallest mix within a drop is found by bisection; none is an error', async () => {
  const rows = [0, 1, 2].flatMap((l) => [0, 1, 2].map((s) => rowOf(`l${l}`, s, 13 * 2 ** s, 1 / (1 + s))));
  const mixes = mixesOf(rows);
  assert.ok(mixes.length > 4);
  assert.equal(
    mixes.map(({ bytes }) => bytes),
    mixes.map(({ bytes }) => bytes).sort((a, b) => a - b),
  );
  const asked: number[] = [];
  for (const wanted of mixes) {
    const { mix } = await smallestWithin(mixes, 0.01, async ({ bytes }) => {
      asked.push(bytes);
      return bytes >= wanted.bytes ? 0 : 1;
    });
    assert.is(mix.bytes, wanted.bytes);
  }
  assert.ok(asked.length <= mixes.length * Math.ceil(Math.log2(mixes.length + 1)));
  try {
    await smallestWithin(mixes, 0.01, async () => 0.5);
    assert.unreachable();
  } catch (error) {
    assert.is((error as BitnibbleError).code, 'budget');
    assert.match((error as Error).message, /at most 0.01: the largest mix .* drops by 0.5/);
  }
});

test('a layer alone: as calibration of that layer and no other', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const samples = 128;
  // With every position taken, nothing is left to chance.
  const options = { kernels, dataset, preprocess, samples, positions: 1e9 };
  const before = tf.memory().numTensors;
  const report = await measureSensitivity(tf, model, { ...options, compared: samples });
  assert.is(tf.memory().numTensors, before, 'every tensor is disposed of');
  assert.is(report.compared, samples);
  const kernelsThere = model.weights.filter(({ name }) => name === 'kernel').length;
  assert.is(report.rows.length, 3 * kernelsThere);
  for (const row of report.rows.filter(({ layer }) => ['conv1', 'conv4', 'digit'].includes(layer))) {
    const recipe = { rules: [{ layer: row.layer, scheme: row.scheme }] };
    const alone = await calibrateModel(tf, model, recipe, options);
    const { divergence, tensors } = alone.report;
    const name = `${row.layer} at ${row.scheme}`;
    const difference = Math.abs(divergence.calibrated - row.divergence);
    assert.ok(
      difference <= 1e-3 * row.divergence + 1e-7,
      `${name}: ${row.divergence}, ${divergence.calibrated}`,
    );
    const saved = tensors.reduce((sum, { bytesBefore, bytesAfter }) => sum + bytesBefore - bytesAfter, 0);
    assert.is(row.saved, saved, name);
  }
  model.close();
});

test('layers without calibration and shared ones are rows, too', async () => {
  for (const [name, vocabulary] of [
    ['lstm_tagger', 5],
    ['nested_shared', 0],
  ] as const) {
    const model = await openKeras(fileOf(name));
    const layers = await loadLayersModel(tf, model);
    const inputShape = layers.inputs[0]?.shape.slice(1).map((n) => n ?? 12) ?? [];
    layers.dispose();
    const values = Float32Array.from({ length: 64 * sizeOf(inputShape) }, (_, i) =>
      vocabulary > 0 ? (i * 7919) % vocabulary : Math.sin(i * 12.9898),
    );
    const random = arrayDataset({ name: 'random', inputShape, values });
    const { rows } = await measureSensitivity(tf, model, { kernels, dataset: random });
    const { report } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
    const wanted = report.tensors.filter(({ result }) => result !== 'kept').map(({ id }) => id);
    const own = rows.filter(({ scheme }) => scheme === 'int4');
    assert.equal(own.flatMap(({ weights }) => weights).sort(), wanted.sort(), name);
    for (const row of rows) {
      assert.ok(Number.isFinite(row.divergence) && row.divergence >= 0, `${name}: ${row.layer}`);
      assert.ok((row.error === undefined) !== (row.fallback === undefined));
    }
    model.close();
  }
});

test('a recipe for bits or for a file keeps within it', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const options = { kernels, dataset, preprocess, samples: 128 };
  const { rows } = await measureSensitivity(tf, model, options);
  const mix = chooseForBits(rows, 2);
  const half = await calibrateModel(tf, model, mix.recipe, options);
  assert.ok(half.report.bitsPerWeight <= 2 && half.report.bitsPerWeight > 1.8);
  assert.ok(Math.abs(half.report.bitsPerWeight - mix.bitsPerWeight) < 1e-9);
  for (const bytes of [26_000, 31_000, 40_000]) {
    const { recipe } = chooseForFile(rows, bytes, model, kernels);
    const size = packedBytes((await calibrateModel(tf, model, recipe, options)).model).length;
    assert.ok(size <= bytes && size > 0.85 * bytes, `${size} of ${bytes}`);
  }
  assert.throws(
    () => chooseForFile(rows, 10_000, model, kernels),
    (error: BitnibbleError) => error.code === 'budget' && /expected at least \d+/.test(error.message),
  );
  model.close();
});

test.run();
