// Calls with training=True, which Keras 2 does not override in predict, wherever they can stand: files of tf_keras.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BitnibbleError } from '../../src/errors.js';
import { openKeras } from '../../src/node/models.js';
import { layersModelFiles } from '../../src/tfjs/index.js';
import { root } from '../support/needs.js';

const folder = path.join(root, 'test/fixtures/refused');

/** Files of `make_keras2.py`, and the layer that each is refused for. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  training_model: /model\/batch_normalization \(BatchNormalization\): a call with training=True/,
  training_deep: /sequential\/model\/dropout \(Dropout\): a call with training=True/,
  training_sequential: /sequential\/gaussian_noise \(GaussianNoise\): a call with training=True/,
  training_distributed: /\(TimeDistributed\/BatchNormalization\): a call with training=True/,
  training_distributed_model:
    /time_distributed\/batch_normalization \(BatchNormalization\): a call with training=True/,
  training_recurrent: /lstm \(LSTM\): a call with training=True/,
  training_bidirectional: /bidirectional \(Bidirectional\/GRU\): a call with training=True/,
  training_cell: /rnn \(RNN\): a call with training=True/,
};

test('every file has its refusal', () => {
  assert.equal(
    readdirSync(folder).sort(),
    Object.keys(REFUSED)
      .map((name) => `${name}.h5`)
      .sort(),
  );
});

for (const [name, reason] of Object.entries(REFUSED)) {
  test(`${name}: refused by the name of its layer, before a weight is read`, async () => {
    const model = await openKeras(path.join(folder, `${name}.h5`));
    try {
      layersModelFiles(model, 'model.json');
      assert.unreachable('it was converted');
    } catch (error) {
      if (!(error instanceof BitnibbleError)) throw error;
      assert.is(error.code, 'unsupported-layer');
      assert.match(error.message, reason);
    } finally {
      model.close();
    }
  });
}

test.run();
