// What folding of batch normalization and cross-layer equalization do to rounded models, without any calibration.
//
//   node --import tsx bench/transforms.ts MODEL --data WHERE [--limit N]   accuracy and loss on labelled data
//   node --import tsx bench/transforms.ts MODEL.h5 ...                     of test/fixtures: signal to noise of the outputs
//
// Transforms that find nothing to do have no rows.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Tensor } from '@tensorflow/tfjs';
import { openNpz } from '../src/formats/npz.js';
import { loadKernels } from '../src/kernels/index.js';
import type { ModelSource, QuantizableModel } from '../src/model.js';
import { openDataset } from '../src/node/datasets.js';
import { openKeras } from '../src/node/models.js';
import { loadTensorFlow } from '../src/node/tfjs.js';
import { evaluateModel } from '../src/pipeline/evaluate.js';
import { scalesItself } from '../src/pipeline/input-range.js';
import { quantizeModel } from '../src/pipeline/quantize.js';
import { equalize } from '../src/pipeline/transform/equalize.js';
import { foldBatchNorm } from '../src/pipeline/transform/fold.js';
import type { QuantizeOptions } from '../src/schemes/types.js';
import { loadLayersModel } from '../src/tfjs/load.js';

const SCHEMES: readonly (readonly [name: string, options: QuantizeOptions])[] = [
  ['int4, tensor', { scheme: 'int4', granularity: 'tensor' }],
  ['int4, channel', { scheme: 'int4', granularity: 'channel' }],
  ['int4, group of 32', { scheme: 'int4', granularity: 'group', groupSize: 32 }],
  ['int4, lsq, channel', { scheme: 'int4', granularity: 'channel', scale: 'lsq' }],
  ['binary, channel', { scheme: 'binary', granularity: 'channel' }],
];
const { values: flags, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { data: { type: 'string' }, limit: { type: 'string' } },
});
if (files.length === 0) throw new TypeError('expected a model');
const kernels = await loadKernels();
const { tf, backend } = await loadTensorFlow();

/** What a model gives, as a row: accuracy and loss, or how far outputs are from those of the float model. */
type Measure = (model: ModelSource) => Promise<Record<string, string>>;

async function onData(model: ModelSource, where: string): Promise<Measure> {
  const dataset = await openDataset(where);
  const preprocess = { scale: dataset.dtype === 'uint8' && !scalesItself(model) ? 1 / 255 : 1 };
  const limit = flags.limit === undefined ? {} : { limit: Number(flags.limit) };
  return async (source) => {
    const { top1, loss } = await evaluateModel(tf, source, dataset, { preprocess, ...limit });
    return { accuracy: top1.toFixed(4), loss: loss.toFixed(4) };
  };
}

/** Inputs beside a fixture. */
async function onInputs(model: ModelSource, file: string): Promise<Measure> {
  const stored = openNpz(readFileSync(file.replace(/\.h5$/, '.npz')));
  const names = stored.names.filter((name) => name.startsWith('x'));
  const predict = async (source: ModelSource): Promise<Float32Array[]> => {
    const network = await loadLayersModel(tf, source);
    const inputs = names.map((name) => {
      const { data, shape } = stored.read(name);
      return tf.tensor(Float32Array.from(data as ArrayLike<number>, Number), [...shape]);
    });
    const result = network.predict(inputs.length === 1 ? (inputs[0] as Tensor) : inputs);
    const tensors = Array.isArray(result) ? result : [result];
    const outputs = tensors.map((tensor) => tensor.dataSync() as Float32Array);
    tf.dispose([...inputs, ...tensors]);
    network.dispose();
    return outputs;
  };
  const wanted = await predict(model);
  return async (source) => {
    const got = await predict(source);
    let signal = 0;
    let noise = 0;
    wanted.forEach((values, k) => {
      values.forEach((value, i) => {
        signal += value ** 2;
        noise += (value - ((got[k] as Float32Array)[i] as number)) ** 2;
      });
    });
    return { 'outputs, dB': (10 * Math.log10(signal / noise)).toFixed(1) };
  };
}

for (const file of files) {
  const model = await openKeras(file);
  const fold = foldBatchNorm(model);
  const plain = equalize(model);
  const both = equalize(fold.source);
  console.log(
    `\n${file} (${backend}): ${fold.folded.length} normalizations folded, ${fold.left.length} left; pairs equalized: ${plain.pairs.length}, ${both.pairs.length} after folding`,
  );
  const transforms: [name: string, model: QuantizableModel][] = [['as it is', model]];
  if (fold.folded.length > 0) transforms.push(['folded', fold.source]);
  if (plain.pairs.length > 0) transforms.push(['equalized', plain.source]);
  if (fold.folded.length > 0 && both.pairs.length > 0) transforms.push(['folded, equalized', both.source]);
  const measure = flags.data === undefined ? await onInputs(model, file) : await onData(model, flags.data);
  const rows: Record<string, string>[] = [
    { weights: 'float32', transform: 'as it is', ...(await measure(model)) },
  ];
  for (const [weights, options] of SCHEMES) {
    for (const [transform, source] of transforms) {
      const { model: quantized, report } = quantizeModel(source, { default: options }, { kernels });
      rows.push({ weights, transform, bytes: String(report.bytesAfter), ...(await measure(quantized)) });
    }
  }
  console.table(rows);
  model.close();
}
