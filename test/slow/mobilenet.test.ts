import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadKernels } from '../../src/kernels/index.js';
import type { ModelSource } from '../../src/model.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { evaluateModel } from '../../src/pipeline/evaluate.js';
import { quantizeModel } from '../../src/pipeline/quantize.js';
import { equalize } from '../../src/pipeline/transform/equalize.js';
import { foldBatchNorm } from '../../src/pipeline/transform/fold.js';
import { need, root } from '../support/needs.js';

const file = path.join(root, 'examples/mobilenet/mobilenet.h5');
const kernels = await loadKernels();

test('every normalization folds; ReLU6 lets no scale pass, and each layer says so', async () => {
  const model = await openKeras(file);
  const { source, folded, left } = foldBatchNorm(model);
  assert.equal([folded.length, left.length], [25, 0]);
  assert.is(model.parameters, 156_138);
  // 4 vectors of 2,888 channels become one.
  assert.is(source.parameters, 156_138 - 3 * 2_888);
  const { pairs, left: stay } = equalize(source);
  assert.is(pairs.length, 0);
  assert.is(stay.filter(({ why }) => why.endsWith('a largest value of 6')).length, 17);
  const [before, after] = [model, source].map(
    (of) => packedBytes(quantizeModel(of, { default: { scheme: 'int4' } }, { kernels }).model).length,
  );
  assert.ok((after as number) < 0.65 * (before as number), `${before}, ${after}`);
  model.close();
});

need(
  test,
  'shared',
  'tfjs-node',
)('accuracy and loss are those that Keras measured, folded too', async ({ shared }) => {
  const { tf } = await loadTensorFlow();
  const model = await openKeras(file);
  const dataset = await openDataset(path.join(shared, 'cifar-10-batches-bin'));
  const evaluate = (source: ModelSource) =>
    evaluateModel(tf, source, dataset, { batchSize: 250, preprocess: { scale: 1 / 255 } });
  const float = await evaluate(model);
  assert.ok(Math.abs(float.top1 - 0.7895) <= 0.0002, String(float.top1));
  assert.ok(Math.abs(float.loss - 0.6243) <= 0.0001, String(float.loss));
  const folded = await evaluate(foldBatchNorm(model).source);
  assert.ok(Math.abs(folded.top1 - float.top1) <= 0.0002, String(folded.top1));
  assert.ok(Math.abs(folded.loss - float.loss) <= 1e-4, String(folded.loss));
  model.close();
});

test.run();
