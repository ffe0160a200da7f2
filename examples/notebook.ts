/**
 * The notebook that bitnibble grew from, retold: load a trained network, look at it, evaluate it, binarize it naively,
 * evaluate again, look at the new weights; then what better scales and calibration on unlabelled samples give, with the error
 * of each tensor.
 *
 *     npx tsx examples/notebook.ts [MODEL.h5 DATA]
 *
 * Without arguments it takes the bundled digits. As in the notebook, every array is binarized, biases too.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadKernels } from '../src/index.js';
import { loadModelWeights } from '../src/keras/index.js';
import { loadTensorFlow, openDataset, openKeras, saveModelWeights } from '../src/node/index.js';
import {
  calibrateModel,
  evaluateModel,
  foldBatchNorm,
  postTrainBinarization,
  postTrainQuantization,
  quantizeModel,
  type Recipe,
} from '../src/pipeline/index.js';

const digits = fileURLToPath(new URL('digits', import.meta.url));
/** Images of the digits without labels, for calibration. */
const CALIBRATION = 'calibration-images-idx3-ubyte.gz';
const [file = path.join(digits, 'digits.h5'), data = digits] = process.argv.slice(2);

const { tf, backend } = await loadTensorFlow();
const kernels = await loadKernels();
const dataset = await openDataset(data);
const options = { preprocess: { scale: 1 / 255 } };
const show = (what: string, { top1, loss }: { top1: number; loss: number }) =>
  console.log(`${what.padEnd(44)} accuracy ${top1.toFixed(4)}  loss ${loss.toFixed(4)}`);

// load_model, model.summary()
const model = await openKeras(file);
console.log(
  `${model.name}, Keras ${model.kerasVersion}, ${model.parameters} parameters, backend ${backend}\n`,
);
for (const { name, className } of model.layers) console.log(`  ${name.padEnd(28)} ${className}`);

// model.evaluate(x_test, y_test)
console.log();
show('as trained', await evaluateModel(tf, model, dataset, options));

// load_model_weights, post_train_binarization, save_model_weights, evaluate
const layers = loadModelWeights(model);
const signs = postTrainBinarization(layers);
const folder = mkdtempSync(path.join(tmpdir(), 'bitnibble-'));
try {
  const saved = path.join(folder, 'binarized.h5');
  await saveModelWeights(model, signs, saved);
  const binarized = await openKeras(saved);
  show('every array to +1 and -1', await evaluateModel(tf, binarized, dataset, options));
  binarized.close();
} finally {
  rmSync(folder, { recursive: true });
}
const first = signs.find(({ weights }) => weights.length > 0)?.weights[0];
console.log(`\n${first?.id}, the first values: ${first?.values.slice(0, 12).join(' ')}`);

// post_train_quantization: the notebook left it empty
const nibbles = postTrainQuantization(layers, kernels);
const bytes = nibbles
  .flatMap(({ weights }) => weights)
  .reduce((sum, { tensor }) => sum + tensor.codes.length, 0);
console.log(`at 4 bits all arrays take ${bytes} bytes of codes, as float32 ${model.parameters * 4}\n`);

// What better scales give, kernels only
const recipes: Record<string, Recipe> = {
  '1 bit, one scale per channel (mean |w|)': { default: { scheme: 'binary' } },
  '4 bits, one scale per channel (amax / 7)': { default: { scheme: 'int4' } },
  '4 bits, one scale per 32 weights': { default: { scheme: 'int4', granularity: 'group', groupSize: 32 } },
  '4 bits, least-squares scales': { default: { scheme: 'int4', scale: 'lsq' } },
};
for (const [name, recipe] of Object.entries(recipes)) {
  const { model: quantized, report } = quantizeModel(model, recipe, { kernels });
  show(name, await evaluateModel(tf, quantized, dataset, options));
  console.log(`  ${report.bitsPerWeight.toFixed(2)} bits per weight, ${report.bytesAfter} bytes`);
}

// Calibrated: each layer is fitted to what it gets on samples without labels
const samples = await openDataset(data === digits ? path.join(digits, CALIBRATION) : data, {
  split: 'train',
});
const calibration = { ...options, kernels, dataset: samples, samples: 512 };
const { source } = foldBatchNorm(model);
for (const scheme of ['int4', 'int2', 'binary'] as const) {
  const { model: packed, report } = await calibrateModel(tf, source, { default: { scheme } }, calibration);
  show(`${scheme}, calibrated`, await evaluateModel(tf, packed, dataset, options));
  console.log('  tensor                        lost of its outputs   signal to noise of its weights');
  for (const { id, error, fallback } of report.calibration) {
    const lost = error === undefined ? (fallback ?? '') : `${(100 * error).toFixed(2)} %`;
    const { snrDb } = report.tensors.find((row) => row.id === id) ?? {};
    console.log(`  ${id.padEnd(28)}${lost.padStart(21)}${`${snrDb?.toFixed(1) ?? '?'} dB`.padStart(33)}`);
  }
}
model.close();
