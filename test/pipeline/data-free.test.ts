// The promise "never worse than rounding": where calibration loses against the data-free result, that one is returned.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset } from '../../src/data/index.js';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { calibrateModel } from '../../src/pipeline/calibrate/calibrate.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { dense, fakeKeras } from '../support/h5.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const INPUTS = 6;
const dataset = arrayDataset({
  ...{ name: 'samples', inputShape: [INPUTS] },
  values: Float32Array.from({ length: 40 * INPUTS }, (_, i) => Math.sin(i * 12.9898) * 3),
});

/** A regression by one dense layer, calibrated and by rounding. */
async function both(value: (i: number) => number) {
  const layer = dense('line', INPUTS, 1, value);
  const own = {
    ...layer,
    config: { ...layer.config, batch_input_shape: [null, INPUTS], activation: 'linear' },
  };
  const model = await openKeras(await fakeKeras([own]), 'line.h5');
  const recipe = { default: { scheme: 'int4' } } as const;
  const rounded = packedBytes(quantizeModel(model, recipe, { kernels }).model);
  const { model: calibrated, report } = await calibrateModel(tf, model, recipe, { kernels, dataset });
  const bytes = packedBytes(calibrated);
  model.close();
  return {
    rounded,
    bytes,
    report,
    warning: report.warnings.find((text) => /data-free result was kept/.test(text)),
  };
}

test('weights that rounding holds exactly cannot get better: the data-free result is returned, byte for byte', async () => {
  // Whole numbers up to 7: the scale is 1, and nothing is lost.
  const { rounded, bytes, report, warning } = await both((i) => [7, -3, 5, 1, -6, 2][i] as number);
  assert.is(report.divergence.dataFree, 0);
  assert.ok(report.divergence.calibrated > 0, 'calibration loses a little here, else this tests nothing');
  assert.is(report.keptDataFree, true);
  assert.equal(bytes, rounded);
  assert.match(String(warning), 'its outputs diverge by 0.00, the calibrated ones by ');
});

test('where calibration wins, its result is returned, and nothing is said', async () => {
  const { rounded, bytes, report, warning } = await both((i) => Math.sin(i + 0.3));
  assert.ok(report.divergence.calibrated < report.divergence.dataFree);
  assert.is(report.keptDataFree, false);
  assert.is(warning, undefined);
  assert.not.equal(bytes, rounded);
});

test.run();
