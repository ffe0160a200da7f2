// The numbers of a report, counted again here from outputs and weights by the definitions.

import path from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayDataset, type Dataset } from '../../src/data/index.js';
import { BitnibbleError } from '../../src/errors.js';
import { openKeras } from '../../src/keras/index.js';
import { loadKernels } from '../../src/kernels/index.js';
import { openDataset } from '../../src/node/datasets.js';
import { openKeras as openKerasFile } from '../../src/node/models.js';
import { loadTensorFlow } from '../../src/node/tfjs.js';
import { packedBytes } from '../../src/packed/index.js';
import { divergence } from '../../src/pipeline/calibrate/divergence.js';
import { applyVariant, VARIANTS, type Variant } from '../../src/pipeline/compare.js';
import { evaluateModel } from '../../src/pipeline/evaluate.js';
import {
  calibrateModel,
  foldBatchNorm,
  measureReport,
  measureSensitivity,
  quantizeModel,
  type Report,
} from '../../src/pipeline/index.js';
import {
  accuracyByClass,
  compareAnswers,
  confusionOf,
  movedCounts,
} from '../../src/pipeline/report/classes.js';
import { estimateSeconds } from '../../src/pipeline/report/estimate.js';
import { paretoFront } from '../../src/pipeline/report/pareto.js';
import { distanceOf, predictAll } from '../../src/pipeline/report/predict.js';
import { rangeOf } from '../../src/pipeline/report/ranges.js';
import { loadLayersModel } from '../../src/tfjs/load.js';
import { dense, fakeKeras } from '../support/h5.js';
import { root } from '../support/needs.js';

const { tf } = await loadTensorFlow();
const kernels = await loadKernels();
const digits = path.join(root, 'examples/digits');
const preprocess = { scale: 1 / 255 };

const digitsData = await openDataset(digits);
const few = 200;
const calibrationData = await openDataset(path.join(digits, 'calibration-images-idx3-ubyte.gz'));
const model = await openKerasFile(path.join(digits, 'digits.h5'));
const options = {
  ...{ kernels, dataset: digitsData, preprocess, limit: few, seed: 3, bins: 32 },
  calibration: { dataset: calibrationData, samples: 96 },
};
const before = tf.memory().numTensors;
const seen = new Map<string, number[]>();
const estimates: { seconds: number; before: readonly string[] }[] = [];
const report = await measureReport(tf, model, {
  ...options,
  onEstimate: (seconds) => estimates.push({ seconds, before: [...seen.keys()] }),
  onProgress: (part, done, total) => seen.set(part, [...(seen.get(part) ?? []), done / total]),
});

/** Samples as the network takes them. */
function firstOf(dataset: Dataset, count: number): Float32Array {
  const [batch] = [...dataset.batches({ batchSize: count, limit: count, preprocess })];
  return batch?.x ?? new Float32Array(0);
}

/** Answers by TensorFlow's own argmax. */
async function answersOf(variant: Variant | undefined): Promise<Int32Array> {
  const made =
    variant &&
    (await applyVariant(tf, model, variant, {
      kernels,
      preprocess,
      seed: 3,
      calibration: options.calibration,
    }));
  const network = await loadLayersModel(tf, made?.model ?? model);
  const x = firstOf(digitsData, few);
  const answers = tf.tidy(() => {
    const y = network.predict(tf.tensor(x, [few, 28, 28, 1]));
    return tf.argMax(y as ReturnType<typeof tf.tensor>, 1).dataSync() as Int32Array;
  });
  network.dispose();
  return answers;
}

const labels = (digitsData.labels as Int32Array).subarray(0, few);
const rowNamed = ({ rows }: Report, name: string) => {
  const row = rows.find((own) => own.name === name);
  assert.ok(row, name);
  return row;
};

test('nothing is left behind, and it is JSON as it stands', () => {
  assert.is(tf.memory().numTensors, before);
  assert.equal(JSON.parse(JSON.stringify(report)), report);
  assert.equal(report.left, []);
});

test('progress of each part goes up to its end', () => {
  const parts = ['float', 'first', 'rounding', 'sensitivity', 'calibration', 'activations', 'histograms'];
  assert.equal([...seen.keys()], parts);
  // How long it takes is said once, when the float model and one calibrated row have been measured and nothing else.
  assert.equal(
    estimates.map(({ before }) => before),
    [['float', 'first']],
  );
  const { quantize, evaluate } = rowNamed(report, 'int4, calibrated per channel').seconds;
  const calibration = { seconds: quantize, rows: 2 + 4 };
  const rounded = VARIANTS.length - 1;
  assert.is(estimates[0]?.seconds, estimateSeconds({ evaluation: evaluate, rounded, calibration }));
  for (const [part, shares] of seen) {
    assert.is(shares.at(-1), 1, part);
    assert.ok(
      shares.every((share, i) => i === 0 || share >= (shares[i - 1] as number)),
      part,
    );
  }
  assert.is(report.seconds.length, parts.length);
});

test('the float row is what evaluate says; every scheme has a row', async () => {
  const own = await evaluateModel(tf, model, digitsData, { limit: few, preprocess });
  const { classes, bytes, bitsPerWeight, divergence: distance } = rowNamed(report, 'float32');
  assert.is(classes?.top1, own.top1);
  assert.is(classes?.top5, own.top5);
  assert.ok(Math.abs((classes?.loss ?? 9) - own.loss) < 1e-6);
  assert.equal([bytes, bitsPerWeight, distance], [4 * model.parameters, 32, 0]);
  assert.equal(
    report.rows.slice(0, VARIANTS.length).map(({ name }) => name),
    VARIANTS.map(({ name }) => name),
  );
  const kinds = (kind: string) => report.rows.filter((row) => row.kind === kind).length;
  assert.is(kinds('calibrated'), 3);
  assert.ok(kinds('mixed') >= 2);
});

for (const name of ['float32', 'binary, scale per channel', 'int2, calibrated per channel']) {
  test(`classes and confusion of ${name}, counted from TensorFlow's argmax`, async () => {
    const row = rowNamed(report, name);
    const variant: Variant | undefined = row.recipe && {
      ...{ name, recipe: row.recipe },
      ...(row.kind === 'calibrated' ? { calibrated: true } : {}),
    };
    const answers = await answersOf(variant);
    const float = await answersOf(undefined);
    const at = (own: Int32Array, label: number, answer: number) =>
      labels.reduce((sum, l, i) => sum + Number(l === label && own[i] === answer), 0);
    for (let label = 0; label < 10; label++) {
      const all = labels.filter((l) => l === label).length;
      assert.is(row.classes?.perClass[label], all === 0 ? null : at(answers, label, label) / all);
      for (let answer = 0; answer < 10; answer++) {
        const moved = row.classes?.moved.find(([l, a]) => l === label && a === answer)?.[2] ?? 0;
        assert.is(moved, at(answers, label, answer) - at(float, label, answer), `${label}, ${answer}`);
        const count = report.confusion?.find(([l, a]) => l === label && a === answer)?.[2] ?? 0;
        assert.is(count, at(float, label, answer));
      }
    }
    const right = (own: Int32Array) => labels.filter((label, i) => own[i] === label).length;
    assert.is(row.classes?.top1, right(answers) / few);
    assert.ok(Math.abs((row.classes?.drop ?? 9) - (right(float) - right(answers)) / few) < 1e-12);
    const { broken, repaired, other } = row.classes?.changed ?? { broken: -1, repaired: -1, other: -1 };
    assert.is(broken + repaired + other, answers.filter((answer, i) => answer !== float[i]).length);
    assert.is(broken, labels.filter((label, i) => float[i] === label && answers[i] !== label).length);
  });
}

test('sums: all samples are in the confusion, none come or go', () => {
  assert.is(
    report.confusion?.reduce((sum, [, , n]) => sum + n, 0),
    few,
  );
  for (const { name, classes } of report.rows) {
    const net = classes?.moved.reduce((sum, [, , n]) => sum + n, 0);
    assert.is(net, 0, name);
  }
});

test('bytes are those of the packed file, errors of the weights those of the quantizer', () => {
  for (const name of ['int4, scale per channel', 'binary, scale per group of 128 rows']) {
    const row = rowNamed(report, name);
    const { model: packed, report: own } = quantizeModel(model, row.recipe ?? {}, { kernels });
    assert.is(row.bytes, packedBytes(packed).length);
    const wanted = own.tensors.filter(({ result }) => result !== 'kept');
    assert.equal(
      row.tensors.map(({ id, snrDb, bytes }) => [id, snrDb, bytes]),
      wanted.map(({ id, snrDb, bytesAfter }) => [id, snrDb, bytesAfter]),
    );
  }
});

test('a calibrated row has the errors that calibration reports', async () => {
  const row = rowNamed(report, 'binary, calibrated per channel');
  const { source } = foldBatchNorm(model);
  const given = { kernels, ...options.calibration, preprocess, batchSize: 100, seed: 3 };
  const { report: own } = await calibrateModel(tf, source, row.recipe ?? {}, given);
  assert.equal(
    row.tensors.map(({ id, error }) => [id, error]),
    own.calibration.map(({ id, error }) => [id, error]),
  );
  const { rows } = await measureSensitivity(tf, source, given);
  assert.equal(report.calibration?.sensitivity, JSON.parse(JSON.stringify(rows)));
});

test('a histogram of each kernel at each scheme counts every weight', () => {
  const ids = rowNamed(report, 'int4, calibrated per channel').tensors.map(({ id }) => id);
  assert.equal(
    report.weights.map(({ id }) => id),
    ids,
  );
  for (const { histograms, parameters } of report.weights) {
    assert.equal(
      histograms.map(({ scheme }) => scheme),
      ['binary', 'int2', 'int4'],
    );
    for (const { counts, levels, weights } of histograms) {
      assert.is(counts.length, 32);
      assert.is(weights, parameters);
      assert.is(
        levels.reduce((sum, { count }) => sum + count, 0),
        parameters,
      );
    }
  }
});

test('ranges of activations are those of the values that TensorFlow gives', async () => {
  const { source } = foldBatchNorm(model);
  const network = await loadLayersModel(tf, source);
  const samples = options.calibration.samples;
  const x = firstOf(calibrationData, samples);
  for (const name of ['conv1', 'conv3', 'pool2', 'dense1']) {
    const part = tf.model({ inputs: network.inputs, outputs: network.getLayer(name).output });
    const values = tf.tidy(() => {
      const y = part.predict(tf.tensor(x, [samples, 28, 28, 1])) as ReturnType<typeof tf.tensor>;
      return Float32Array.from(y.dataSync()).sort();
    });
    const range = report.activations?.find(({ layer }) => layer === name);
    const at = (p: number) => values[Math.ceil(p * values.length) - 1] as number;
    const near = (got: number | undefined, want: number) =>
      assert.ok(
        Math.abs((got ?? Number.NaN) - want) <= 1e-5 * (1 + Math.abs(want)),
        `${name}: ${got}, ${want}`,
      );
    near(range?.min, values[0] as number);
    near(range?.max, values.at(-1) as number);
    near(range?.low, at(0.01));
    near(range?.high, at(0.99));
    assert.is(range?.values, values.length);
    near(range?.zeros, values.filter((v) => v === 0).length / values.length);
    assert.is(range?.samples, samples);
  }
  network.dispose();
});

const finiteFloat = fc.float({ noNaN: true, noDefaultInfinity: true });

test('a range of any values: sorted and looked up', () => {
  const pieces = fc.array(fc.array(finiteFloat, { maxLength: 40 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(pieces, fc.constantFrom(0.01, 0.1, 0.25), (lists, share) => {
      const arrays = lists.map((list) => Float32Array.from(list));
      const all = Float32Array.from(lists.flat()).sort();
      const range = rangeOf(() => arrays, share);
      if (all.length === 0) return assert.is(range, undefined);
      const at = (p: number) => all[Math.max(0, Math.ceil(p * all.length - 1e-9) - 1)] as number;
      const zeros = all.filter((v) => v === 0).length / all.length;
      const { values, notFinite } = { values: all.length, notFinite: 0 };
      const [min, low, high, max] = [all[0] as number, at(share), at(1 - share), all.at(-1) as number];
      // Zeros of either sign are one number.
      assert.equal(range, {
        min: min + 0,
        low: low + 0,
        high: high + 0,
        max: max + 0,
        zeros,
        values,
        notFinite,
      });
    }),
  );
});

test('a range: corner values', () => {
  const of = (...values: number[]) => rangeOf(() => [Float32Array.from(values)]);
  assert.is(of(), undefined);
  assert.is(of(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY), undefined);
  const range = of(-0, Number.NaN, 1.5, Number.NEGATIVE_INFINITY, -(2 ** -149), 0);
  assert.equal(range, {
    ...{ min: -(2 ** -149), low: -(2 ** -149), high: 1.5, max: 1.5, zeros: 0.5, values: 4, notFinite: 2 },
  });
  assert.ok(Object.is(of(-0)?.min, 0));
  const integers = rangeOf(() => [Int32Array.of(-3, 7), Int32Array.of(7)]);
  assert.equal([integers?.min, integers?.max, integers?.values], [-3, 7, 3]);
});

test('the Pareto front is that of the definition', () => {
  const rows = fc.array(
    fc.record({ bytes: fc.integer({ min: 1, max: 6 }), quality: fc.constantFrom(0, 1, 2, 3, Number.NaN) }),
    { maxLength: 9 },
  );
  fc.assert(
    fc.property(rows, (list) => {
      const q = (i: number) => {
        const { quality } = list[i] as (typeof list)[number];
        return Number.isNaN(quality) ? -1 : quality;
      };
      const b = (i: number) => (list[i] as (typeof list)[number]).bytes;
      const wanted = list.map((_, i) => {
        let isBeaten = false;
        for (let j = 0; j < list.length; j++)
          if (b(j) <= b(i) && q(j) >= q(i) && (b(j) < b(i) || q(j) > q(i))) isBeaten = true;
        return !isBeaten;
      });
      assert.equal(paretoFront(list), wanted);
    }),
  );
  const placed = report.rows.map(({ bytes, classes }) => ({ bytes, quality: classes?.top1 ?? Number.NaN }));
  assert.equal(
    report.rows.map(({ isPareto }) => isPareto),
    paretoFront(placed),
  );
});

test('answers: by hand', () => {
  const truth = Int32Array.of(0, 0, 1, 1, 2);
  const float = { labels: truth, answers: Int32Array.of(0, 1, 1, 0, -1) };
  const later = { labels: truth, answers: Int32Array.of(1, 0, 1, 2, -1) };
  assert.equal(confusionOf(float), [
    [0, 0, 1],
    [0, 1, 1],
    [1, 0, 1],
    [1, 1, 1],
    [2, -1, 1],
  ]);
  assert.equal(accuracyByClass(confusionOf(float), 4), [0.5, 0.5, 0, null]);
  assert.equal(movedCounts(confusionOf(float), confusionOf(later)), [
    [1, 0, -1],
    [1, 2, 1],
  ]);
  assert.equal(compareAnswers(float, later), {
    ...{ drop: 0, dropError: Math.sqrt(2) / 5, changed: { broken: 1, repaired: 1, other: 1 } },
  });
});

test('the distance of outputs is the divergence that calibration takes', async () => {
  const { model: rounded } = quantizeModel(model, { default: { scheme: 'int2' } }, { kernels });
  const [a, b] = [
    await predictAll(tf, model, digitsData, { limit: 50, preprocess, batchSize: 17 }),
    await predictAll(tf, rounded, digitsData, { limit: 50, preprocess }),
  ];
  const pair = [a, b].map(({ outputs }) => tf.tensor(outputs[0]?.values as Float32Array, [50, 10]));
  const [p, q] = pair as [(typeof pair)[number], (typeof pair)[number]];
  const outputs = [{ float: [p], quantized: [q] }];
  const own = divergence(outputs, 'probabilities');
  assert.ok(Math.abs(distanceOf(a, b, 'probabilities') - own) < 1e-5 * own);
  const other = divergence(outputs, 'probability');
  assert.ok(Math.abs(distanceOf(a, b, 'probability') - other) < 1e-4 * other);
  tf.dispose(pair);
});

const wave = (i: number) => Math.sin(i * 12.9898) * 0.5;
const smallBytes = await fakeKeras([
  {
    ...dense('first', 6, 400, wave),
    config: { units: 400, activation: 'relu', batch_input_shape: [null, 6] },
  },
  { ...dense('last', 400, 1, wave), config: { units: 1, activation: 'linear' } },
]);
const numbers = (more: Partial<Dataset> = {}) =>
  arrayDataset({
    ...{
      name: 'numbers',
      inputShape: [6],
      values: Float32Array.from({ length: 6 * 90 }, (_, i) => wave(i * 7)),
    },
    ...more,
  });

test('a regression: no classes, the distance from the float outputs instead', async () => {
  const small = await openKeras(smallBytes, 'small.h5');
  const dataset = numbers();
  const own = await measureReport(tf, small, { kernels, dataset, calibration: { dataset } });
  assert.equal(own.task, { kind: 'other', why: 'the output is one number, not a number for each class' });
  assert.match(own.left[0] ?? '', /^Accuracy, classes and confusion: the output is one number/);
  assert.is(own.confusion, undefined);
  assert.ok(own.rows.every(({ classes, divergence: distance }) => !classes && distance !== null));
  const front = own.rows.filter(({ isPareto }) => isPareto);
  assert.ok(front.length >= 2 && front.some(({ kind }) => kind === 'float'));
  assert.is(own.distance, 'squared-error');
  assert.ok(own.calibration?.sensitivity.every(({ divergence: alone }) => (alone ?? 0) > 0));
  assert.equal(JSON.parse(JSON.stringify(own)), own);
});

test('without samples to calibrate with, what needs them is left out and said to be', async () => {
  const small = await openKeras(smallBytes, 'small.h5');
  const own = await measureReport(tf, small, { kernels, dataset: numbers() });
  assert.is(own.calibration, undefined);
  assert.is(own.activations, undefined);
  assert.is(own.left.length, 2);
  assert.match(own.left[1] ?? '', /no samples to calibrate with/);
  assert.is(own.rows.filter(({ isMain }) => isMain).length, 4);
});

test('labels beyond the classes and data without labels', async () => {
  const strange = Int32Array.from({ length: digitsData.count }, (_, i) => (i === 7 ? 11 : 0));
  try {
    await measureReport(tf, model, {
      kernels,
      dataset: { ...digitsData, labels: strange },
      preprocess,
      limit: 20,
    });
    assert.unreachable();
  } catch (error) {
    assert.instance(error, BitnibbleError);
    assert.match((error as Error).message, /label 11, the model has 10 classes/);
  }
  const { labels: _, ...bare } = digitsData;
  const own = await measureReport(tf, model, { kernels, dataset: bare, preprocess, limit: 20 });
  assert.equal(own.task, { kind: 'other', why: 'the data has no labels' });
  assert.is(own.distance, 'kullback-leibler');
});

test.run();
