// Tuning by gradients: it helps, it repeats, it leaves alone what it cannot better; images are changed as stated.

import path from 'node:path';
import type { Tensor4D } from '@tensorflow/tfjs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import type { BitnibbleError } from '../../src/errors.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { AUGMENTATIONS, augment } from '../../src/pipeline/calibrate/augment.js';
import { randomNumbers } from '../../src/pipeline/calibrate/linear.js';
import { tuneModel } from '../../src/pipeline/calibrate/tune.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { root } from '../support/needs.js';
import { fileOf } from '../tfjs/support.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const digits = path.join(root, 'examples/digits');
const dataset = await openDataset(path.join(digits, 'calibration-images-idx3-ubyte.gz'));
const preprocess = { scale: 1 / 255 };

test('signs without calibration: tuning takes most of the divergence away, twice the same way', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  for (const coding of [
    { scheme: 'binary', scaleDtype: 'F32' },
    { scheme: 'binary', granularity: 'group', groupSize: 100, scaleDtype: 'F16' },
    { scheme: 'int2', granularity: 'tensor', scale: 'absmax', scaleDtype: 'F32' },
  ] as const) {
    const { model: base } = quantizeModel(model, { default: coding }, { kernels });
    const options = {
      ...{ kernels, dataset, preprocess, samples: 128, steps: 25, augment: [] },
      ...{ latentRate: 0.01, rate: 0.01 },
    };
    const before = tf.memory().numTensors;
    const { model: tuned, report } = await tuneModel(tf, model, base, options);
    assert.is(tf.memory().numTensors, before, 'every tensor is disposed of');
    assert.is(report.tuned, 112);
    assert.is(report.checked, 16);
    const { before: start, after } = report.divergence;
    assert.ok(after < 0.7 * start, `${coding.scheme}: ${start} to ${after}`);
    assert.not(report.keptUntuned);
    assert.ok(report.changedCodes > 0);
    const again = await tuneModel(tf, model, base, options);
    assert.equal(packedBytes(again.model), packedBytes(tuned));
    const biases = tuned.weights.filter(({ name }) => name === 'bias');
    assert.ok(biases.every((weight) => weight.kind === 'kept' && weight.changed));
  }
  model.close();
});

test('steps of no length change no code, and the model stays as it was', async () => {
  const model = await openKeras(path.join(digits, 'digits.h5'));
  const { model: base } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const still = { kernels, dataset, preprocess, samples: 64, steps: 2, latentRate: 0, rate: 0 };
  const { model: same, report } = await tuneModel(tf, model, base, still);
  assert.is(report.changedCodes, 0);
  assert.ok(report.keptUntuned);
  assert.equal(report.augment, ['flip', 'cutmix']);
  assert.is(report.divergence.after, report.divergence.before);
  assert.is(same, base);
  model.close();
});

test('images cannot be made of vectors', async () => {
  const model = await openKeras(fileOf('conv1d'));
  const { model: base } = quantizeModel(model, { default: { scheme: 'int4' } }, { kernels });
  const { loadLayersModel } = await import('../../src/tfjs/load.js');
  const layers = await loadLayersModel(tf, model);
  const inputShape = layers.inputs[0]?.shape.slice(1).map((n) => n ?? 8) as number[];
  layers.dispose();
  const size = inputShape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: 32 * size }, (_, i) => Math.sin(i));
  const random = arrayDataset({ name: 'random', inputShape, values });
  try {
    await tuneModel(tf, model, base, { kernels, dataset: random, steps: 1, augment: ['flip'] });
    assert.unreachable();
  } catch (error) {
    assert.is((error as BitnibbleError).code, 'data-mismatch');
    assert.match((error as Error).message, /expected images to flip/);
  }
  const { report } = await tuneModel(tf, model, base, { kernels, dataset: random, steps: 3 });
  assert.equal(report.augment, []);
  model.close();
});

test('flipped, shifted and mixed images', () => {
  const shape = [5, 16, 8, 2] as const;
  const x = tf.tensor4d(
    Float32Array.from({ length: 5 * 16 * 8 * 2 }, (_, i) => i + 1),
    [...shape],
  );
  const values = (image: Tensor4D) => image.arraySync() as number[][][][];
  const given = values(x);
  const seen = { flip: 0, shift: 0, cutmix: 0 };
  for (let seed = 0; seed < 20; seed++) {
    for (const kind of AUGMENTATIONS) {
      const changed = values(augment(tf, x, [kind], randomNumbers(seed)));
      for (const [n, image] of changed.entries()) {
        const own = given[n] as number[][][];
        const other = given[(n + 1) % 5] as number[][][];
        if (kind === 'flip') {
          const isFlipped = image[0]?.[0]?.[0] !== own[0]?.[0]?.[0];
          assert.equal(image, isFlipped ? own.map((row) => [...row].reverse()) : own);
          if (isFlipped) seen.flip++;
        } else if (kind === 'cutmix') {
          for (const [y, row] of image.entries())
            for (const [column, pixel] of row.entries()) {
              const isMine = pixel[0] === own[y]?.[column]?.[0];
              assert.equal(pixel, (isMine ? own : other)[y]?.[column]);
              if (!isMine) seen.cutmix++;
            }
        } else {
          const isMoved = (down: number, right: number) =>
            image.every((row, y) =>
              row.every((pixel, column) => pixel[0] === (own[y + down]?.[column + right]?.[0] ?? 0)),
            );
          const moves = [-2, -1, 0, 1, 2].flatMap((down) =>
            [-1, 0, 1].map((right) => [down, right] as const),
          );
          const found = moves.filter(([down, right]) => isMoved(down, right));
          assert.is(found.length, 1);
          if (found[0]?.some((step) => step !== 0)) seen.shift++;
        }
      }
    }
  }
  for (const [kind, count] of Object.entries(seen)) assert.ok(count > 10, kind);
  x.dispose();
});

test.run();
